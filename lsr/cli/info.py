"""lsr info"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json


def info(
    index: options.IndexFolder,
    verify: Annotated[bool, typer.Option("--verify", help="Also read every file and compare its checksum.")] = False,
    json: options.Json = False,
) -> None:
    """Show what an index, and the dense one in it, holds and how it was built."""
    from lsr.index.storage import verify as verify_checksums
    from lsr.retrieval.searcher import DENSE_FOLDER

    described = _describe(index)
    if verify:  # before faiss reads a graph, which it does unchecked
        verify_checksums(index)
    dense = _describe_dense(index / DENSE_FOLDER) if (index / DENSE_FOLDER).is_dir() else None
    if json:
        print_json({**described, "dense": dense, "verified": verify})
        return
    _print(described, verify)
    if dense is not None:
        print("\ndense vectors\n")
        _print(dense, verify)


def _describe(folder: Path) -> dict[str, Any]:
    from lsr.index.seismic import FORMAT_VERSION, KIND, SeismicIndex
    from lsr.index.storage import read_manifest

    opened = SeismicIndex.open(folder)
    return _with_sizes(read_manifest(folder, FORMAT_VERSION, KIND), opened.nbytes)


def _describe_dense(folder: Path) -> dict[str, Any]:
    from lsr.index.storage import read_manifest
    from lsr.retrieval.dense import FORMAT_VERSION, KIND, DenseIndex

    opened = DenseIndex.open(folder)
    return _with_sizes(read_manifest(folder, FORMAT_VERSION, KIND), opened.nbytes)


def _with_sizes(manifest: dict[str, Any], nbytes: dict[str, int]) -> dict[str, Any]:
    files = {name: entry["bytes"] for name, entry in manifest.pop("files").items()}
    return {**manifest, "bytes": nbytes, "files": files}


def _print(described: dict[str, Any], verified: bool) -> None:
    nbytes, files = described.pop("bytes"), described.pop("files")
    print_columns([name.replace("_", " "), _shown(value)] for name, value in described.items())
    print()
    print_columns([part, f"{size:,} bytes"] for part, size in nbytes.items())
    print(f"\n{len(files)} files, {sum(files.values()):,} bytes on disk{', all intact' if verified else ''}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    return "-" if value is None else str(value)
