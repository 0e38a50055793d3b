"""Penalties on the weights of a batch, which keep vectors sparse.

w_ij is the weight of component j in row i of N rows:

    flops       sum_j ((1/N) sum_i |w_ij|)^2 (Paria et al. 2020; SPLADE, Formal et al. 2021)
    l1          (1/N) sum_i sum_j |w_ij| (of queries: Efficient SPLADE, Lassance and Clinchant 2022)
    df-flops    sum_j (a_j (1/N) sum_i |w_ij|)^2, a_j near 1 for components of many documents, near 0 for those of few:
                see document_frequency_factors (Porco et al. 2025)
    idf-flops   sum_j (1 / idf_j) ((1/N) sum_i |w_ij|)^2. This is not the "IDF-aware penalty" of OpenSearch's
                inference-free encoders (Geng et al. 2024), which is flops, with the IDF in the score alone
    anti-zero   1 / (sum_ij w_ij)^2, which keeps a batch from becoming empty (naver's code for SPLADE-v3)

The meaning of a strength depends on the rows that are pooled, by up to the size of a group:

    all      all documents of the batch: sentence-transformers, naver's code for SPLADE-v3
    halves   R(positives) / 2 + R(negatives) / 2: naver's native trainer, light-splade
    slots    R of the first documents of all queries, plus R of the second ones, and so on: OpenSearch

A component is non-zero if its weight is above 0, as in SparseVectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from lsr.checks import check_choice
from lsr.errors import ParameterError
from lsr.training.losses import Total

PenaltyKind = Literal["flops", "l1", "df-flops", "idf-flops", "anti-zero"]
PenaltyPooling = Literal["all", "halves", "slots"]
PENALTIES: tuple[PenaltyKind, ...] = get_args(PenaltyKind)
PENALTY_POOLINGS: tuple[PenaltyPooling, ...] = get_args(PenaltyPooling)
FLOPS, L1, DF_FLOPS, IDF_FLOPS, ANTI_ZERO = PENALTIES
ALL, HALVES, SLOTS = PENALTY_POOLINGS
ALPHA, BETA = 0.1, 10.0
# The penalty divides by the IDF, and a table can have 0, for missing tokens, or nearly 0, for tokens of all documents.
# This limit is below all IDFs of MS MARCO, where the full stop has the lowest, .016.
LEAST_IDF = 0.01
LEAST_SUM = 1e-3  # least sum of a batch's weights for anti-zero: 1 / 0 has no useful gradient
HALF_LIFE = 10_000  # documents; the error of a frequency of .1 is then about .002


@dataclass(frozen=True, slots=True)
class Penalty:
    """A penalty on the documents, or on the queries.

    kind: "flops", "l1", "df-flops", "idf-flops" or "anti-zero".
    strength: lambda, the factor of the penalty.
    pooling: the documents that are pooled: "all" of the batch; "halves", half the penalty of the positives plus half
        that of the negatives; or "slots", the sum over the places in a group. "all" for queries.
    above: the l0 mask: rows of at most this number of non-zeros count as zeros, while the mean still divides by all
        rows (Shen et al. 2025). None for no mask.
    alpha: the document frequency, as a share, at which half of a weight counts (only df-flops).
    beta: the steepness of the curve at alpha (only df-flops).

    Raises ParameterError for values out of range.
    """

    kind: PenaltyKind
    strength: float
    pooling: PenaltyPooling = ALL
    above: int | None = None
    alpha: float = ALPHA
    beta: float = BETA

    def __post_init__(self) -> None:
        check_choice("penalty", self.kind, PENALTIES)
        check_choice("pooling", self.pooling, PENALTY_POOLINGS)
        if isinstance(self.strength, bool) or not 0 < self.strength < math.inf:
            raise ParameterError(f"penalty {self.kind}: strength is {self.strength!r}; it must be a number above 0")
        if self.above is not None and (type(self.above) is not int or self.above < 1):
            raise ParameterError(
                f"penalty {self.kind}: above is {self.above!r}; it must be a whole number of at least 1"
            )
        if self.kind == ANTI_ZERO and (self.pooling != ALL or self.above is not None):
            raise ParameterError("penalty anti-zero does not support pooling and above; remove them")
        if self.kind != DF_FLOPS and (self.alpha, self.beta) != (ALPHA, BETA):
            raise ParameterError(
                f"penalty {self.kind} does not support alpha and beta, only df-flops does; remove them"
            )
        if not (0 < self.alpha < 1 and 0 < self.beta < math.inf):
            raise ParameterError(
                f"penalty {self.kind}: alpha is {self.alpha!r} and beta {self.beta!r}; alpha must be between 0 and 1, "
                "beta above 0"
            )

    def check(self, group: int | None) -> None:
        """Raises ParameterError if the rows cannot be pooled like this, before a training.

        group: documents of a query; None for a penalty on queries.
        """
        if group is None and self.pooling != ALL:
            raise ParameterError(f"penalty {self.kind}: pooling is {self.pooling!r}; on queries it must be 'all'")
        if group == 1 and self.pooling == HALVES:
            raise ParameterError(f"penalty {self.kind}: pooling is 'halves', which needs negatives; use 'all'")


class DocumentFrequencies:
    """The share of documents with each component, from the batches so far. Old batches fade.

    half_life: number of documents after which a document counts half. The documents are those of the training,
        positives and negatives, not a sample of the collection.

    Raises ParameterError.
    """

    def __init__(self, components: int, half_life: float = HALF_LIFE, device: torch.device | str | None = None) -> None:
        if not 0 < half_life < math.inf:
            raise ParameterError(f"half_life is {half_life!r}; it must be a number of documents above 0")
        self.half_life = half_life
        # For each component, the faded number of documents with it; last, the faded number of all documents. Both fade
        # alike, so that shares are right from the first batch on.
        self._counts = torch.zeros(components + 1, device=device)

    @torch.no_grad()
    def update(self, documents: Tensor) -> None:
        """Count the rows of weights float32 [..., components]."""
        rows = documents.flatten(0, -2)
        self._counts *= 0.5 ** (len(rows) / self.half_life)
        self._counts[:-1] += (rows > 0).sum(0)
        self._counts[-1] += len(rows)

    def shares(self) -> Tensor:
        """float32 [components], from 0 to 1; all 0 before the first update."""
        return self._counts[:-1] / self._counts[-1].clamp(min=torch.finfo(torch.float32).tiny)

    def state(self) -> Tensor:
        """A copy of all counts, float32 [components + 1], for a checkpoint."""
        return self._counts.clone()

    def restore(self, state: Tensor) -> None:
        """Restore a state. Raises ParameterError for another number of components."""
        if state.shape != self._counts.shape:
            raise ParameterError(
                f"the checkpoint has document frequencies of {len(state) - 1} components, the encoder has "
                f"{len(self._counts) - 1} components; resume with the same encoder"
            )
        self._counts.copy_(state)


def penalize(
    penalties: Sequence[Penalty],
    weights: Tensor,
    share: float = 1.0,
    frequencies: DocumentFrequencies | None = None,
    idf: Tensor | None = None,
) -> Total:
    """The sum of some penalties, each times its strength and `share`.

    weights: float32 [queries, group, components] of documents, the positive first, or [queries, components].
    share: the share of the strengths at the present step, from schedules.share_at. anti-zero always has its full
        strength, as in naver's code, because it must keep vectors from becoming empty from the first step on.
    frequencies: the document frequencies for df-flops, already updated with this batch.
    idf: float32 [components], for idf-flops.

    Raises ParameterError if one of these is missing, and like Penalty.check.
    """
    total, parts = weights.new_zeros(()), []
    for penalty in penalties:
        penalty.check(weights.shape[1] if weights.ndim == 3 else None)
        value = _value(penalty, weights, _coefficients(penalty, frequencies, idf))
        total = total + value * (penalty.strength * (1.0 if penalty.kind == ANTI_ZERO else share))
        parts.append(value.detach())
    return Total(total, tuple(parts))


def document_frequency_factors(shares: Tensor, alpha: float = ALPHA, beta: float = BETA) -> Tensor:
    """a_j = 1 / (1 + (x^(log_alpha 2) - 1)^beta), where x is the share of documents with component j; 1/2 at alpha."""
    exponent = math.log(2) / math.log(alpha)  # below 0: a share of 0 gives infinity, and a factor of 0
    return 1 / (1 + (shares**exponent - 1).clamp(min=0) ** beta)


def inverse_idf(idf: Tensor) -> Tensor:
    """1 / idf, with idf at least LEAST_IDF."""
    return 1 / idf.clamp(min=LEAST_IDF)


@torch.no_grad()
def mean_nonzeros(weights: Tensor) -> Tensor:
    """The mean number of non-zeros of a row, for logging: a scalar of weights float32 [..., components]."""
    return (weights > 0).sum(-1).float().mean()


def _value(penalty: Penalty, weights: Tensor, coefficients: Tensor | None) -> Tensor:
    if penalty.kind == ANTI_ZERO:
        return weights.sum().clamp(min=LEAST_SUM) ** -2
    if penalty.above is not None:
        weights = weights * ((weights > 0).sum(-1, keepdim=True) > penalty.above)
    pools = _pools(weights, penalty.pooling)
    values = torch.stack([_of_pool(penalty.kind, pool, coefficients) for pool in pools])
    return values.mean() if penalty.pooling == HALVES else values.sum()


def _pools(weights: Tensor, pooling: str) -> Sequence[Tensor]:
    """The rows that are averaged together, each pool [rows, components]."""
    if pooling == SLOTS:
        return weights.unbind(1)
    if pooling == HALVES:
        return weights[:, 0], weights[:, 1:].flatten(0, 1)
    return (weights.flatten(0, -2),)


def _of_pool(kind: str, rows: Tensor, coefficients: Tensor | None) -> Tensor:
    means = rows.abs().mean(0)
    if kind == L1:
        return means.sum()
    squares = means.square()
    return (squares if coefficients is None else squares * coefficients).sum()


def _coefficients(penalty: Penalty, frequencies: DocumentFrequencies | None, idf: Tensor | None) -> Tensor | None:
    """The factors of the squares of components, float32 [components]; None for 1."""
    if penalty.kind == DF_FLOPS:
        if frequencies is None:
            raise ParameterError("penalty df-flops needs document frequencies; pass them")
        return document_frequency_factors(frequencies.shares(), penalty.alpha, penalty.beta).square()
    if penalty.kind == IDF_FLOPS:
        if idf is None:
            raise ParameterError("penalty idf-flops needs an IDF table; pass one, or use flops")
        return inverse_idf(idf)
    return None
