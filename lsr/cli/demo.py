"""lsr demo"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options


def demo(
    k: options.Depth = 3,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="Encoder to show; see lsr index.", rich_help_panel=options.ENCODER)
    ] = "tiny",
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the index; by default one in the user's cache.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Index the documentation of Python's standard library, search it, and measure the result. Downloads nothing."""
    from lsr.demo import run_demo

    run_demo(k=k, encoder=encoder, index=index, json=json)
