"""lsr check"""

from __future__ import annotations

from contextlib import suppress

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json, say
from lsr.display import counted
from lsr.errors import IndexFormatError


def check(index: options.IndexFolder, json: options.Json = False) -> None:
    """Check all files of an index against their checksums. Exits with status 1 if the index is damaged."""
    from lsr.distributed.sharded_folder import is_sharded
    from lsr.index.tools.check import check_index
    from lsr.storage.manifest import read_manifest

    sharded = False
    with suppress(IndexFormatError):  # check_index reports it
        sharded = is_sharded(index)
    if sharded:
        read_manifest(index)  # raises an error with the commands for sharded indexes
    report = check_index(index, progress=not json)
    if json:
        print_json(report.as_json())
    else:
        print_columns([each.file, each.problem] for each in report.findings)
        for remark in report.remarks:
            say(remark)
        segments = f" in {counted(report.segments, 'segment')}" if report.segments > 1 else ""
        state = "intact" if report.intact else counted(len(report.findings), "damaged file")
        say(f"{counted(report.documents, 'document')}{segments}, {counted(report.bytes, 'byte')}: {state}")
        if not report.intact and report.generation is not None:
            say(f"run lsr repair {index} to leave out the damaged segments")
    if not report.intact:
        raise typer.Exit(1)
