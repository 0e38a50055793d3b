"""Losses over the scores of a batch, with or without a teacher.

s+ and s- are the scores of a query's positive document and of a negative one, t+ and t- the teacher's; a batch has B
queries with a group of documents each, the positive first. CE is the cross-entropy after a softmax over the named
scores. Every loss is a mean over the queries.

    in-batch             CE of s+ over the positives of the whole batch and the query's own negatives: naver's
                         InBatchPairwiseNLL (SPLADE, Formal et al. 2021; there each query has one negative)
    multiple-negatives   CE of s+ over all documents of the batch (sentence-transformers, the unified framework)
    contrastive          CE of s+ over itself and every negative of the batch; other queries' positives are not used
                         (naver's code for SPLADE-v3)
    pairwise             CE of s+ over the query's own documents alone (naver's PairwiseNLL)
    negative-likelihood  1 - p, p the softmax share of s+ among the query's own documents (EPIC, MacAvaney et al. 2020,
                         in the unified framework's code)
    margin-mse           mean of ((s+ - s-) - (t+ - t-))^2 over the negatives (Hofstätter et al. 2020)
    margin-mse-all       mean of ((s_a - s_b) - (t_a - t_b))^2 over all pairs (a, b) of own documents, (a, a) included
                         (naver's code for SPLADE-v3)
    kl                   KL(softmax t || softmax s) over the documents that the teacher scored: the query's own (Lin et
                         al. 2020), or the whole batch's

The temperature divides scores before a softmax, also those of the teacher. kl is then multiplied by temperature^2, so
that gradients keep their size (Hinton et al. 2015). sentence-transformers does this, too, with a default of 2; naver
and OpenSearch use 1, where it makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, mse_loss

from lsr.checks import check_choice
from lsr.errors import ParameterError


class Candidates(NamedTuple):
    """The scores of one batch of B queries, each with a group of documents, its positive first.

    scores: float32 [B, B * group], every query against every document; the own documents of query i are in columns
        i * group to (i + 1) * group.
    teacher: float32 [B, group], scores of the own documents, or [B, B * group], of all; None without a teacher.
    known: bool [B, B * group], documents that are known to be relevant to a query: they are never among its negatives
        in the losses over a batch (in-batch, multiple-negatives, contrastive). The query's own positive may be marked.
    """

    scores: Tensor
    teacher: Tensor | None = None
    known: Tensor | None = None


class Total(NamedTuple):
    """A weighted sum of losses or penalties.

    total: a scalar with gradients. parts: the values without weights and without gradients, for logging.
    """

    total: Tensor
    parts: tuple[Tensor, ...]


class TermTargets(NamedTuple):
    """Target weights of terms: in text texts[k], component components[k] should have weights[k].

    texts, components: int64 [targets], without duplicate pairs. weights: float32 [targets].
    """

    texts: Tensor
    components: Tensor
    weights: Tensor


@dataclass(frozen=True, slots=True)
class LossSpec:
    """A loss and its weight in the total loss.

    name: one of LOSSES.
    weight: the factor of the loss.
    temperature: divides the scores before the softmax; not for losses over margins.

    Raises ParameterError.
    """

    name: str
    weight: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_choice("loss", self.name, tuple(LOSSES))
        for what, value in (("weight", self.weight), ("temperature", self.temperature)):
            if isinstance(value, bool) or not 0 < value < float("inf"):
                raise ParameterError(f"loss {self.name}: {what} is {value!r}; it must be a number above 0")
        if self.temperature != 1 and not LOSSES[self.name].softmax:
            raise ParameterError(f"loss {self.name} does not support temperature; remove it")

    def check(self, group: int, teacher: bool, whole_batch: bool = False) -> None:
        """Raises ParameterError if batches will not have the data that the loss needs, before a training.

        group: documents of a query. teacher: whether there are a teacher's scores; whole_batch: of all documents.
        """
        kind = LOSSES[self.name]
        if kind.teacher and not teacher:
            raise _no_teacher(self.name)
        if kind.negatives and group < 2 and not (self.name == "kl" and whole_batch):
            raise _no_negatives(self.name)


def combined_loss(losses: Sequence[LossSpec], candidates: Candidates) -> Total:
    """The weighted sum of some losses. Raises ParameterError if the batch lacks data that one of them needs."""
    values = [LOSSES[loss.name].compute(candidates, loss.temperature) for loss in losses]
    weighted = [loss.weight * value for loss, value in zip(losses, values, strict=True)]
    return Total(torch.stack(weighted).sum(), tuple(value.detach() for value in values))


def term_mse(weights: Tensor, targets: TermTargets) -> Tensor:
    """Mean squared error over all texts and components. Without a target, the target is 0.

    weights: float32 [texts, components]. The mean is over texts * components. The unified framework's TermMSE is the
        sum of this for queries and for documents, with the same targets (Nguyen et al. 2023, for DeepCT).
    """
    wanted = torch.zeros_like(weights)
    wanted[targets.texts, targets.components] = targets.weights.to(weights.dtype)
    return mse_loss(weights, wanted)


def _in_batch(candidates: Candidates, temperature: float) -> Tensor:
    scores = _by_group(_masked(candidates))
    logits = torch.cat([scores[:, :, 0], _own(scores)[:, 1:]], 1)
    return cross_entropy(logits / temperature, torch.arange(len(logits), device=logits.device))


def _multiple_negatives(candidates: Candidates, temperature: float) -> Tensor:
    logits = _masked(candidates)
    rows = torch.arange(len(logits), device=logits.device)
    return cross_entropy(logits / temperature, rows * _group_size(logits))


def _contrastive(candidates: Candidates, temperature: float) -> Tensor:
    scores = _by_group(_masked(candidates))
    if scores.shape[2] < 2:
        raise _no_negatives("contrastive")
    logits = torch.cat([_own(scores)[:, :1], scores[:, :, 1:].flatten(1)], 1)
    return _first_is_right(logits / temperature)


def _pairwise(candidates: Candidates, temperature: float) -> Tensor:
    own = _own(_by_group(candidates.scores))
    if own.shape[1] < 2:
        raise _no_negatives("pairwise")
    return _first_is_right(own / temperature)


def _negative_likelihood(candidates: Candidates, temperature: float) -> Tensor:
    own = _own(_by_group(candidates.scores))
    if own.shape[1] < 2:
        raise _no_negatives("negative-likelihood")
    return (1 - (own / temperature).softmax(1)[:, 0]).mean()


def _margin_mse(candidates: Candidates, temperature: float) -> Tensor:
    errors = _errors(candidates, "margin-mse")
    return (errors[:, :1] - errors[:, 1:]).square().mean()


def _margin_mse_all(candidates: Candidates, temperature: float) -> Tensor:
    # The mean of (e_a - e_b)^2 over all pairs is twice the variance of e = s - t.
    errors = _errors(candidates, "margin-mse-all")
    return 2 * errors.var(1, correction=0).mean()


def _kl(candidates: Candidates, temperature: float) -> Tensor:
    scores, teacher = candidates.scores, _teacher(candidates, "kl")
    if teacher.shape != scores.shape:
        scores = _own(_by_group(scores))
        if scores.shape[1] < 2:
            raise _no_negatives("kl")
    student_log, teacher_log = ((each / temperature).log_softmax(1) for each in (scores, teacher))
    return kl_div(student_log, teacher_log, reduction="batchmean", log_target=True) * temperature**2


class _Loss(NamedTuple):
    """A loss function. teacher, negatives: whether it needs them. softmax: whether it has a temperature."""

    compute: Callable[[Candidates, float], Tensor]
    teacher: bool
    negatives: bool
    softmax: bool


LOSSES = {
    "in-batch": _Loss(_in_batch, teacher=False, negatives=False, softmax=True),
    "multiple-negatives": _Loss(_multiple_negatives, teacher=False, negatives=False, softmax=True),
    "contrastive": _Loss(_contrastive, teacher=False, negatives=True, softmax=True),
    "pairwise": _Loss(_pairwise, teacher=False, negatives=True, softmax=True),
    "negative-likelihood": _Loss(_negative_likelihood, teacher=False, negatives=True, softmax=True),
    "margin-mse": _Loss(_margin_mse, teacher=True, negatives=True, softmax=False),
    "margin-mse-all": _Loss(_margin_mse_all, teacher=True, negatives=True, softmax=False),
    "kl": _Loss(_kl, teacher=True, negatives=True, softmax=True),
}


def _group_size(scores: Tensor) -> int:
    queries, documents = scores.shape
    if not queries or documents % queries or not documents:
        raise ParameterError(f"scores have shape {[*scores.shape]}; it must be [queries, queries * group]")
    return documents // queries


def _by_group(scores: Tensor) -> Tensor:
    """The scores as [queries, queries of the documents, group]."""
    return scores.reshape(len(scores), len(scores), _group_size(scores))


def _own(grouped: Tensor) -> Tensor:
    """The scores of the own documents, [queries, group], from [queries, queries, group]."""
    return grouped.diagonal(dim1=0, dim2=1).T


def _masked(candidates: Candidates) -> Tensor:
    """The scores, with -inf for documents known to be relevant except the query's own positive."""
    scores, known = candidates.scores, candidates.known
    if known is None:
        return scores
    rows = torch.arange(len(scores), device=scores.device)
    dropped = known.clone()
    dropped[rows, rows * _group_size(scores)] = False
    return scores.masked_fill(dropped, float("-inf"))


def _first_is_right(logits: Tensor) -> Tensor:
    return cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def _errors(candidates: Candidates, name: str) -> Tensor:
    """The differences s - t of the own documents: [queries, group]."""
    scores, teacher = candidates.scores, _teacher(candidates, name)
    own = _own(_by_group(scores))
    if own.shape[1] < 2:
        raise _no_negatives(name)
    return own - (teacher if teacher.shape == own.shape else _own(_by_group(teacher)))


def _teacher(candidates: Candidates, name: str) -> Tensor:
    scores, teacher = candidates.scores, candidates.teacher
    if teacher is None:
        raise _no_teacher(name)
    group = _group_size(scores)
    if teacher.shape not in ((len(scores), group), scores.shape):
        raise ParameterError(
            f"loss {name}: the teacher's scores have shape {[*teacher.shape]}; it must be {[len(scores), group]}, or "
            f"{[*scores.shape]} for the whole batch"
        )
    return teacher.detach()


def _no_teacher(name: str) -> ParameterError:
    return ParameterError(f"loss {name} needs a teacher's scores; use data with scores, or add a teacher")


def _no_negatives(name: str) -> ParameterError:
    return ParameterError(f"loss {name} needs negatives; use at least two documents per query (group)")
