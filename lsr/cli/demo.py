"""lsr demo"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json, print_next, say


def demo(
    k: options.Depth = 3,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="Encoder: tiny, bm25, the folder of a model, or a Hugging Face id.")
    ] = "tiny",
    index: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of the index. It is kept for further searches.")
    ] = Path("lsr-demo"),
    json: options.Json = False,
) -> None:
    """Index the documentation of Python's standard library, search it, and evaluate the results. Works offline."""
    from lsr.demo import run_demo
    from lsr.demo.scoring import MEASURES, MICROSECONDS

    shown = run_demo(k=k, encoder=encoder, index=index, show=not json)
    if json:
        print_json({**shown._asdict(), "built": asdict(shown.built)})
        return
    print(f"\nevaluation on {shown.questions} questions\n")
    rows = [
        [name, way, *(f"{figures[each]:.3f}" for each in MEASURES), f"{figures[MICROSECONDS]:,.0f}"]
        for name, ways in shown.scores.items()
        for way, figures in ways.items()
    ]
    print_columns([["encoder", "search", *MEASURES, "µs per search"], *rows])
    print()
    say(f"the index is kept in {index}")
    print_next(
        ["search", index, "shuffle a deck of cards", "--explain"],
        ["why", index, "is it a leap year?", "calendar.monthrange"],
        ["inspect", encoder, "is it a leap year?"] if encoder != "bm25" else ["info", index],
    )
