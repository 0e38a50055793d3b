"""Checking a model against its golden card."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lsr.display import HasFacts, beginning, counted
from lsr.encoders.base import Dtype, Encoder
from lsr.encoders.golden_card import GoldenCard, OrderCheck, ScoreCheck, WeightCheck, find_card
from lsr.encoders.load import EncoderLike, as_encoder, load_encoder

_SHOWN = 40  # characters of a text


@dataclass(frozen=True, slots=True)
class CardCheck:
    """One comparison.

    what: the compared number, in words.
    expected: the published value.
    found: the value of the encoder; None if there is no such value.
    allowed: the allowed difference.
    least: whether any larger value also passes.
    source: where the value was published.
    doubt: why the published value may be wrong; "" if there is no doubt.
    """

    what: str
    expected: float
    found: float | None
    allowed: float = 0.0
    least: bool = False
    source: str = ""
    doubt: str = ""

    @property
    def passed(self) -> bool:
        """Whether the found value matches the expected one."""
        if self.found is None:
            return False
        if self.least:
            return self.found >= self.expected and self.found > 0
        return abs(self.found - self.expected) <= self.allowed


@dataclass(frozen=True, repr=False)
class Verification(HasFacts):
    """The result of verify_encoder.

    model: the encoder's name.
    card: the model of the card.
    checks: all comparisons.
    traps: known pitfalls of the model.
    """

    model: str
    card: str
    checks: tuple[CardCheck, ...]
    traps: tuple[str, ...]

    @property
    def failed(self) -> tuple[CardCheck, ...]:
        """The failed checks, without those whose expected values are uncertain."""
        return tuple(each for each in self.checks if not each.passed and not each.doubt)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        """The result as `lsr verify --json` prints it."""
        checks = [{**asdict(each), "passed": each.passed} for each in self.checks]
        return {"model": self.model, "card": self.card, "passed": self.passed, "checks": checks, "traps": [*self.traps]}

    def _facts(self) -> dict[str, object]:
        return {
            "name": self.model,
            "card": self.card if self.card != self.model else None,
            "checks": len(self.checks),
            "failed": counted(len(self.failed), "check") if self.failed else None,
        }


def verify_encoder(
    encoder: EncoderLike,
    card: GoldenCard | str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    dtype: Dtype = "float32",
) -> Verification:
    """Compare an encoder with published scores and weights.

    encoder: an encoder, a name for load_encoder, or an argument for encoder_from.
    card: the id of a model, a TOML file, or a GoldenCard. Default: the card of the encoder's name.
    device, dtype: for an encoder by name; see load_encoder.

    Raises EncoderError for a model without a card, and if the model cannot be loaded; ParameterError for a file that is
    not a card.
    """
    if isinstance(encoder, str | os.PathLike):
        found = _card_of(os.fspath(encoder) if card is None else card)
        model = load_encoder(encoder, device=device, dtype=dtype)
    else:
        model = as_encoder(encoder, device=device)
        found = _card_of(model.name if card is None else card)
    checks = list(_components(model, found))
    for scores in found.scores:
        checks += _scores(model, scores)
    for weights in found.weights:
        checks += _weights(model, weights)
    for order in found.orders:
        checks += _orders(model, order)
    return Verification(model.name, found.model, tuple(checks), found.traps)


def _card_of(card: GoldenCard | str | os.PathLike[str]) -> GoldenCard:
    return card if isinstance(card, GoldenCard) else find_card(card)


def _components(model: Encoder, card: GoldenCard) -> Iterator[CardCheck]:
    if card.components is not None:
        yield CardCheck("components", card.components, model.dim)


def _scores(model: Encoder, check: ScoreCheck) -> Iterator[CardCheck]:
    for document, expected, found in zip(
        check.documents, check.expected, _products(model, check.query, check.documents), strict=True
    ):
        yield CardCheck(
            f"score of {_quoted(document)} for {_quoted(check.query)}",
            expected,
            found,
            _allowed(check.tolerance, expected),
            source=check.source,
            doubt=check.doubt,
        )


def _weights(model: Encoder, check: WeightCheck) -> Iterator[CardCheck]:
    encode = model.encode_queries if check.query else model.encode_documents
    row = encode([check.text]).to_dense()[0]
    side = "query" if check.query else "document"
    for token, expected in check.expected.items():
        component = model.vocabulary.id_of(token)
        yield CardCheck(
            f"weight of {token!r} in the {side} {_quoted(check.text)}",
            expected,
            None if component is None else float(row[component]),
            _allowed(check.tolerance, expected),
            source=check.source,
            doubt=check.doubt,
        )


def _orders(model: Encoder, check: OrderCheck) -> Iterator[CardCheck]:
    scores = _products(model, check.query, check.documents)
    for place, (better, worse) in enumerate(pairwise(scores)):
        first, second = check.documents[place : place + 2]
        times = f"{check.factor:g} times that" if check.factor > 1 else "that"
        yield CardCheck(
            f"score of {_quoted(first)} for {_quoted(check.query)}, at least {times} of {_quoted(second)}",
            check.factor * worse,
            better,
            least=True,
            source=check.source,
            doubt=check.doubt,
        )


def _products(model: Encoder, query: str, documents: Sequence[str]) -> list[float]:
    rows = model.encode_documents(list(documents)).to_dense().astype(np.float64)
    scores: list[float] = (rows @ model.encode_queries([query]).to_dense()[0]).tolist()
    return scores


def _allowed(tolerance: float, expected: float) -> float:
    return tolerance * max(1.0, abs(expected))


def _quoted(text: str) -> str:
    return f'"{beginning(text, _SHOWN)}"'
