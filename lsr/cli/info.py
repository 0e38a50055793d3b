"""lsr info"""

from __future__ import annotations

from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json


def info(
    index: options.IndexFolder,
    verify: Annotated[bool, typer.Option("--verify", help="Also read every file and compare its checksum.")] = False,
    json: options.Json = False,
) -> None:
    """Show what an index holds and how it was built."""
    from lsr.index.seismic import FORMAT_VERSION, KIND, SeismicIndex
    from lsr.index.storage import read_manifest
    from lsr.index.storage import verify as verify_checksums

    opened = SeismicIndex.open(index)
    manifest = read_manifest(index, FORMAT_VERSION, KIND)
    if verify:
        verify_checksums(index)
    files = {name: entry["bytes"] for name, entry in manifest.pop("files").items()}
    if json:
        print_json({**manifest, "bytes": opened.nbytes, "files": files, "verified": verify})
        return
    print_columns([name.replace("_", " "), _shown(value)] for name, value in manifest.items())
    print()
    print_columns([part, f"{size:,} bytes"] for part, size in opened.nbytes.items())
    print(f"\n{len(files)} files, {sum(files.values()):,} bytes on disk{', all intact' if verify else ''}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    return "-" if value is None else str(value)
