"""What a published model gives for which texts, and what goes wrong with it: data that `lsr verify` compares with."""

from __future__ import annotations

import os
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from lsr.checks import expanded, shown
from lsr.errors import EncoderError, ParameterError
from lsr.toml import read_toml, table

_FOLDER, _SUFFIX = "cards", ".toml"


@table
class ScoreCheck:
    """The scores of some documents for a query.

    tolerance: by how much a score may differ: a share of what is expected, or of 1 where less is. source: who gives the
    numbers. doubt: why they may not hold; then a difference is told and is no failure.
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
                f"expected has {len(self.expected)} scores for {len(self.documents)} documents; give one for each"
            )
        _check_tolerance(self.tolerance)


@table
class WeightCheck:
    """The weights of some tokens in a text; 0 is that of a token without one. query: whether the text is a query.

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
    """Documents, best first, each of which scores at least `factor` times as much as the next. source: as above."""

    query: str
    documents: tuple[str, ...]
    factor: float = 1.0
    source: str = ""
    doubt: str = ""

    def __post_init__(self) -> None:
        if len(self.documents) < 2 or self.factor < 1:
            raise ParameterError("an order needs at least two documents, and a factor of at least 1")


@table
class GoldenCard:
    """model: a Hugging Face id. also: other names of the same. components: of its vectors. traps: what goes wrong.

    Raises ParameterError for a card with nothing to check.
    """

    model: str
    also: tuple[str, ...] = ()
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
        """How many numbers are compared."""
        lists = (*(each.documents for each in self.scores), *(each.expected for each in self.weights))
        orders = sum(len(each.documents) - 1 for each in self.orders)
        return sum(map(len, lists)) + orders + (self.components is not None)


def known_cards() -> dict[str, GoldenCard]:
    """The cards that come with lsr, by the model's id."""
    return dict(_cards())


def find_card(name: str | os.PathLike[str]) -> GoldenCard:
    """The card of a model by its id or other name, or the one in a TOML file.

    Raises EncoderError for a model without one, ParameterError for a file that is not one.
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
        f"{text}: lsr has no card of this model, and does not know what it must give; {hint}`lsr verify` lists the "
        "models that have one, and --card names one of these, or a TOML file of your own"
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
