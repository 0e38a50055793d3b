"""Golden cards: published scores, weights and orders that `lsr verify` compares with a model."""

from __future__ import annotations

import os
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from lsr.checks import expanded, shown
from lsr.errors import EncoderError, ParameterError
from lsr.toml import read_toml, table

_FOLDER, _SUFFIX = "cards", ".toml"


@table
class ScoreCheck:
    """The scores of some documents for a query.

    tolerance: the allowed difference, as a share of the expected score, or of 1 if that is larger. source: where the
        scores were published. doubt: why the published scores may be wrong; a difference is then not a failure.
    """

    query: str
    documents: tuple[str, ...]
    expected: tuple[float, ...]
    tolerance: float = 0.001
    source: str = ""
    doubt: str = ""

    def __post_init__(self) -> None:
        if len(self.documents) != len(self.expected) or not self.expected:
            raise ParameterError(
                f"expected has {len(self.expected)} scores for {len(self.documents)} documents; give one score per "
                "document"
            )
        _check_tolerance(self.tolerance)


@table
class WeightCheck:
    """The weights of some tokens in a text; 0 for a token without a weight. query: whether the text is a query.

    tolerance, source, doubt: as in ScoreCheck.
    """

    text: str
    expected: dict[str, float]
    query: bool = False
    tolerance: float = 0.001
    source: str = ""
    doubt: str = ""

    def __post_init__(self) -> None:
        if not self.expected:
            raise ParameterError("expected has no tokens; give at least one with its weight")
        _check_tolerance(self.tolerance)


@table
class OrderCheck:
    """Documents, best first. Each must score at least `factor` times as much as the next.

    source, doubt: as in ScoreCheck.
    """

    query: str
    documents: tuple[str, ...]
    factor: float = 1.0
    source: str = ""
    doubt: str = ""

    def __post_init__(self) -> None:
        if len(self.documents) < 2 or self.factor < 1:
            raise ParameterError("an order needs at least two documents, and a factor of at least 1; correct the order")


@table
class GoldenCard:
    """The published reference scores and weights of a model.

    model: a Hugging Face id.
    also: other names of the model.
    queries: "network", or "table" if their weights are looked up.
    parameters, languages, license: as the model's page states them; "" if it does not, or if they are not known here.
    needs: what lsr needs to read the model, beside the extra `encode`.
    components: the dimension of its vectors.
    traps: known pitfalls, which `lsr verify` prints.
    scores, weights, orders: the checks.

    Raises ParameterError for a card with nothing to check.
    """

    model: str
    also: tuple[str, ...] = ()
    queries: Literal["network", "table"] | None = None
    parameters: str = ""
    languages: str = ""
    license: str = ""
    needs: str = ""
    components: int | None = None
    traps: tuple[str, ...] = ()
    scores: tuple[ScoreCheck, ...] = ()
    weights: tuple[WeightCheck, ...] = ()
    orders: tuple[OrderCheck, ...] = ()

    def __post_init__(self) -> None:
        if not (self.scores or self.weights or self.orders):
            raise ParameterError(f"the card of {self.model!r} checks nothing; give it scores, weights or orders")

    @property
    def checks(self) -> int:
        """The number of compared numbers."""
        lists = (*(each.documents for each in self.scores), *(each.expected for each in self.weights))
        orders = sum(len(each.documents) - 1 for each in self.orders)
        return sum(map(len, lists)) + orders + (self.components is not None)


def known_cards() -> dict[str, GoldenCard]:
    """The cards that come with lsr, by the id of the model."""
    return dict(_cards())


def find_card(name: str | os.PathLike[str]) -> GoldenCard:
    """The card of a model, by its id or other name, or the card in a TOML file.

    Raises EncoderError for a model without a card, ParameterError for a file that is not a card.
    """
    if not isinstance(name, str | os.PathLike):
        raise EncoderError(
            f"the card is {shown(name)}, of type {type(name).__name__}; give a model's id or a TOML file"
        )
    text = str(os.fspath(name))
    for card in _cards().values():
        if text == card.model or text in card.also:
            return card
    if text.endswith(_SUFFIX):
        return read_toml(Path(expanded(text)), GoldenCard)
    near = get_close_matches(text, _cards(), 1)
    hint = f"perhaps {near[0]}? " if near else ""
    raise EncoderError(
        f"{text}: lsr has no golden card of this model; {hint}`lsr verify` lists the models with a card; to check by "
        "another model's card or your own TOML file, give --card"
    )


@cache
def _cards() -> dict[str, GoldenCard]:
    folder = files("lsr.encoders") / _FOLDER
    paths = sorted((each for each in folder.iterdir() if each.name.endswith(_SUFFIX)), key=lambda each: each.name)
    cards = (read_toml(path, GoldenCard) for path in paths)
    return {card.model: card for card in cards}


def _check_tolerance(tolerance: float) -> None:
    if not 0 < tolerance < 1:
        raise ParameterError(f"tolerance is {tolerance}; it must be above 0 and below 1")
