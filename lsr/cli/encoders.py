"""lsr encoders"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json

if TYPE_CHECKING:
    from lsr.encoders.method_preset import MethodPreset
    from lsr.encoders.published_training import PublishedPenalty, PublishedRegularizer, Supervision, Training
    from lsr.encoders.spec import HeadSpec

_LEAST = ("supervision", "regularizer")  # columns that a narrow terminal does not show


def encoders(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show the details of this method preset.", autocompletion=options.methods),
    ] = None,
    json: options.Json = False,
) -> None:
    """List the method presets, from which lsr build and lsr train make encoders.

    Regularizers are shown as queries / documents.
    """
    from lsr.encoders.presets import PRESETS, find_preset

    chosen = None if name is None else find_preset(name)
    if json:
        print_json([_as_json(preset) for preset in PRESETS.values()] if chosen is None else _as_json(chosen))
    elif chosen is None:
        rows = [_summary(preset) for preset in PRESETS.values()]
        print_columns([("method", "queries", "documents", "regularizer", "supervision"), *rows], least=_LEAST)
    else:
        print_columns((label, value) for label, value in _details(chosen) if value)


def _summary(preset: MethodPreset) -> tuple[str, ...]:
    return (
        preset.name,
        _side(preset.query),
        _side(preset.document) + (f" on {preset.expanded}" if preset.expanded else ""),
        _penalties(preset.regularizer),
        _supervision(preset.supervision),
    )


def _details(preset: MethodPreset) -> list[tuple[str, str]]:
    return [
        ("method", preset.name),
        ("paper", preset.paper),
        ("queries", _side(preset.query, everything=True)),
        ("documents", _side(preset.document, everything=True)),
        ("networks", _networks(preset)),
        ("expansion", f"documents are expanded by {preset.expanded} first" if preset.expanded else ""),
        ("echo", "each text is repeated, and the second copy is encoded" if preset.echo else ""),
        ("attention", "bidirectional" if preset.bidirectional else ""),
        ("max length", f"{preset.max_length} tokens"),
        ("backbone", f"{preset.backbone} ({preset.backbone_kind})"),
        ("query backbone", preset.query_backbone),
        ("regularizer", _penalties(preset.regularizer)),
        ("schedule", _schedule(preset.regularizer)),
        ("loss", preset.supervision.loss),
        ("negatives", preset.supervision.negatives),
        ("training", _training(preset.training)),
        ("note", preset.note),
        ("not certain", preset.doubt),
    ]


def _side(side: HeadSpec | str, everything: bool = False) -> str:
    if isinstance(side, str):
        return side
    extras = {
        "no special components": everything and not side.special_components,
        "no special positions": everything and not side.special_positions and side.pooling not in ("first", "last"),
        "literal": side.literal_only,
        "importance": side.importance,
        "quality": side.quality,
        "residual": side.residual,
        f"lexical {side.lexical}": side.lexical is not None,
        f"window {side.window}": side.window is not None,
        "unit length": side.unit_length,
    }
    named = [extra for extra, is_so in extras.items() if is_so]
    return ", ".join([f"{side.kind} {side.activation} {side.pooling}", *named])


def _networks(preset: MethodPreset) -> str:
    for side, looked_up, other in (("documents", preset.query, "queries"), ("queries", preset.document, "documents")):
        if isinstance(looked_up, str):
            return f"one, for {side}; {other} use a lookup table"
    return "one for both sides" if preset.shared else "one for each side"


def _penalties(regularizer: PublishedRegularizer) -> str:
    if regularizer.query is None and regularizer.document is None:
        return "none"
    return f"{_penalty(regularizer.query)} / {_penalty(regularizer.document)}"


def _penalty(penalty: PublishedPenalty | None) -> str:
    if penalty is None:
        return "-"
    return penalty.kind if penalty.strength is None else f"{penalty.kind} {penalty.strength:g}"


def _supervision(supervision: Supervision) -> str:
    if supervision.loss == supervision.negatives:  # neither is published
        return supervision.loss
    return f"{supervision.loss}, negatives: {supervision.negatives}"


def _schedule(regularizer: PublishedRegularizer) -> str:
    parts = []
    if regularizer.steps is not None:
        parts.append(f"quadratic over {regularizer.steps:,} steps")
    if regularizer.epochs is not None:
        parts.append(f"quadratic over {regularizer.epochs:g} epochs")
    if regularizer.above is not None:
        parts.append(f"for documents of more than {regularizer.above} components")
    return ", ".join(parts)


def _training(training: Training) -> str:
    parts = {
        "batch": training.batch,
        "learning rate": training.rate,
        "steps": None if training.steps is None else f"{training.steps:,}",
        "epochs": training.epochs,
        "warm-up": training.warm_up or None,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _as_json(preset: MethodPreset) -> dict[str, Any]:
    """Every field. A side without a network is {"lookup": name}."""
    record = asdict(preset)
    sides = {"query": preset.query, "document": preset.document}
    return record | {name: {"lookup": side} for name, side in sides.items() if isinstance(side, str)}
