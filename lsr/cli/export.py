"""lsr export"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, remark, say
from lsr.display import counted


def export(
    index: options.IndexFolder,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The file or folder to write.")],
    format: options.ExchangeFormat,
    scale: Annotated[
        float | None,
        typer.Option(
            help="What weights are multiplied by before they are rounded (ciff, anserini); by default 100 for "
            "anserini, and for ciff what makes 255 of the largest weight"
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write the documents of an index as a file of another tool: vectors and ids, and texts where it has them.

    Deleted documents are left out. OUT is complete or as it was before.
    """
    from lsr.exchange.exporting import export_index

    if not output.is_dir():  # which the format may replace
        options.check_output(output)
    report = export_index(index, output, format, scale=scale, progress=not json)
    if json:
        print_json({**asdict(report), "path": str(report.path)})
        return
    dropped = f", {counted(report.dropped, 'weight')} dropped" if report.dropped else ""
    scaled = "" if report.scale is None else f"; impacts are weights times {report.scale:g}, rounded"
    say(f"{output}: {counted(report.documents, 'row')}, {counted(report.weights, 'weight')}{dropped}{scaled}")
    for note in report.notes:
        remark(note)
