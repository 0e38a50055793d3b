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
    output: Annotated[Path, typer.Argument(metavar="OUT", help="File or folder to write.")],
    format: options.ExchangeFormat,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Factor by which weights are multiplied before they are rounded (ciff, anserini). Default: 100 for "
            "anserini; for ciff, the factor that makes the largest weight 255."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Export the documents of an index in the format of another tool: vectors, ids, and texts if there are any.

    Deleted documents are left out. If the export fails, OUT does not change.
    """
    from lsr.exchange.exporting import export_index

    if not output.is_dir():  # some formats replace a folder
        options.check_output(output)
    report = export_index(index, output, format, scale=scale, progress=not json)
    if json:
        print_json({**asdict(report), "path": str(report.path)})
        return
    dropped = f", {counted(report.dropped, 'weight')} dropped" if report.dropped else ""
    scaled = "" if report.scale is None else f"; weights were multiplied by {report.scale:g} and rounded"
    say(f"{output}: {counted(report.documents, 'row')}, {counted(report.weights, 'weight')}{dropped}{scaled}")
    for note in report.notes:
        remark(note)
