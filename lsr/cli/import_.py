"""lsr import"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, print_next, say
from lsr.display import counted


def import_(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="File or folder to read.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of vectors to write, for lsr index.")],
    format: options.ExchangeFormat,
    documents: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the texts and metadata of SOURCE, as .jsonl or .jsonl.gz."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Convert a file of another tool to vectors for lsr index.

    OUT appears only when the import is complete. Tokens in the file become the vocabulary.
    """
    from lsr.exchange.importing import import_vectors

    options.check_output(documents)
    report = import_vectors(source, output, format, documents=documents, progress=not json)
    if json:
        print_json({**asdict(report), "path": str(report.path)})
        return
    say(
        f"{output}: {counted(report.rows, 'row')}, {counted(report.weights, 'weight')}, "
        f"{counted(report.components, 'component')}"
    )
    if documents is not None:
        say(f"{documents}: {counted(report.documents or 0, 'document')}")
    index = output.with_suffix(".index")
    attach = [] if documents is None else [["attach", index, "--texts", documents]]
    print_next(["index", output, index], *attach)
