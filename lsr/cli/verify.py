"""lsr verify"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json, say, while_loading
from lsr.display import counted

if TYPE_CHECKING:
    from lsr.encoders.verification import CardCheck

_LEAST = ("source",)  # columns that a narrow terminal does not show
_LEAST_OF_LIST = ("license", "parameters", "queries")


def verify(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Model to check: tiny, a folder, or a Hugging Face id. Without it, list the models that have a golden "
            "card.",
        ),
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(
            metavar="CARD",
            help="Golden card to check against: the id of a model, or a TOML file. Default: the card of MODEL.",
        ),
    ] = None,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Compare a model with its published scores (golden card). Exits with status 1 if it does not reproduce them."""
    if model is None:
        _list(json)
        return

    from lsr.encoders.golden_card import find_card
    from lsr.encoders.verification import verify_encoder

    found = find_card(model if card is None else card)
    with while_loading(model):
        result = verify_encoder(model, found, device=device, dtype=dtype)
    if json:
        print_json(result.as_json())
    else:
        rows = [_row(each) for each in result.checks]
        print_columns([("", "check", "expected", "found", "allowed", "source"), *rows], least=_LEAST)
        for trap in result.traps:
            say(f"note: {trap}")
        for doubt in dict.fromkeys(each.doubt for each in result.checks if each.doubt and not each.passed):
            say(f"uncertain: {doubt}")
        state = "all match" if result.passed else f"{counted(len(result.failed), 'check')} failed"
        of = "" if result.card == result.model else f", by the card of {result.card}"
        say(f"{result.model}{of}: {counted(len(result.checks), 'check')}, {state}")
    if not result.passed:
        raise typer.Exit(1)


def _list(json: bool) -> None:
    from lsr.encoders.golden_card import known_cards

    cards = known_cards().values()
    if json:
        print_json([asdict(card) for card in cards])
    else:
        rows = [
            (each.model, ", ".join(each.also), each.queries or "", each.parameters, each.license, str(each.checks))
            for each in sorted(cards, key=lambda card: card.model.lower())
        ]
        print_columns([("model", "also", "queries", "parameters", "license", "checks"), *rows], least=_LEAST_OF_LIST)


def _row(check: CardCheck) -> tuple[str, ...]:
    mark = "ok" if check.passed else "doubtful" if check.doubt else "FAILED"
    allowed = "or more" if check.least else f"{check.allowed:.2g}" if check.allowed else "0"
    found = "-" if check.found is None else f"{check.found:.6g}"
    return mark, check.what, f"{check.expected:.6g}", found, allowed, check.source
