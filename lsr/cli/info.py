"""lsr info"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.drift_lines import drift_lines
from lsr.cli.output import print_columns, print_json
from lsr.display import counted

if TYPE_CHECKING:
    from lsr.encoders.bm25_statistics import Drift
    from lsr.index.segments.generation import OpenedSegment

_NAMES = {"postings": "non-zeros"}  # entries of the manifest that are shown under other names


def info(
    index: options.IndexFolder,
    verify: Annotated[bool, typer.Option("--verify", help="Also check the checksums of all files.")] = False,
    json: options.Json = False,
) -> None:
    """Show the contents of an index and how it was built.

    Lists segments, metadata columns, dense vectors, sizes, stored search parameters, and the drift of BM25 statistics.
    """
    from lsr.storage.manifest import verify as verify_checksums

    described = _describe(index)
    if verify:  # before faiss reads a graph, because faiss does not check it
        verify_checksums(index)
    dense = _dense_in(index)
    drift = _drift(index, described)
    if json:
        print_json({**described, "dense": dense, "verified": verify, "drift": drift and asdict(drift)})
        return
    _print(described, verify)
    if drift is not None:
        print("\nBM25 statistics (lsr refit updates them)\n")
        print_columns(drift_lines(drift))
    if dense is not None:
        print("\ndense vectors\n")
        _print(dense, verify)


def _dense_in(folder: Path) -> dict[str, Any] | None:
    """A description of the dense vectors in an index: that of the first segment, with the counts of all segments."""
    from lsr.index.open_index import open_index
    from lsr.retrieval.dense_side import DENSE_FOLDER

    generation = getattr(open_index(folder), "generation", None)
    folders = [folder / DENSE_FOLDER] if generation is None else [each.dense for each in generation.segments]
    found = [_describe(each) for each in folders if each is not None and each.is_dir()]
    if not found:
        return None
    first = found[0]
    for other in found[1:]:
        first["documents"] += other["documents"]
        first["bytes"] = {part: size + other["bytes"].get(part, 0) for part, size in first["bytes"].items()}
        first["files"] = {
            **first["files"],
            **{f"{len(first['files'])}-{name}": size for name, size in other["files"].items()},
        }
    return first


def _describe(folder: Path) -> dict[str, Any]:
    from lsr.index.open_index import open_index
    from lsr.storage.manifest import read_manifest

    opened, manifest = open_index(folder), read_manifest(folder)
    generation = getattr(opened, "generation", None)
    if generation is not None:
        manifest = {**generation.commit.as_json(), "postings": generation.engine.postings}
    if generation is not None and generation.metadata.stored:
        manifest["metadata"] = {each.name: str(each.type) for each in generation.metadata.schema}
    files = {name: entry["bytes"] for name, entry in manifest.pop("files").items()}
    if generation is not None:
        manifest["segments"] = [_segment(each, files) for each in generation.segments]
    return {**manifest, "bytes": opened.nbytes, "files": files}


def _drift(folder: Path, described: dict[str, Any]) -> Drift | None:
    """The drift of BM25 statistics; None for an index without BM25, or one that cannot have changed."""
    from lsr.storage.manifest import COMMIT_FORMAT

    if described["format_version"] != COMMIT_FORMAT or (described.get("encoder") or {}).get("kind") != "bm25":
        return None
    from lsr.index.segments.generation import open_generation
    from lsr.retrieval.refit import drift

    return drift(open_generation(folder))


def _segment(segment: OpenedSegment, files: dict[str, int]) -> dict[str, Any]:
    """A summary of a segment. Adds its files and their sizes to `files`."""
    from lsr.index.seismic.engine import BlockEngine
    from lsr.storage.manifest import read_manifest

    listed = read_manifest(segment.folder)["files"]
    files.update({f"{segment.entry.name}/{name}": entry["bytes"] for name, entry in listed.items()})
    return {
        "name": segment.entry.name,
        "documents": segment.entry.documents,
        "rows": segment.entry.rows,
        "deleted": len(segment.deleted),
        "storage": "blocks" if isinstance(segment.engine, BlockEngine) else "inverted",
    }


def _print(described: dict[str, Any], verified: bool) -> None:
    nbytes, files = described.pop("bytes"), described.pop("files")
    presets, segments = described.pop("presets", []), described.pop("segments", [])
    print_columns([_NAMES.get(name, name.replace("_", " ")), _shown(value)] for name, value in described.items())
    if segments:
        print()
        print_columns([("segment", "documents", "deleted rows", "storage"), *map(_of_segment, segments)])
    print()
    print_columns(_sizes(nbytes, described.get("documents", 0), described.get("postings", 0)))
    if presets:
        print()
        print_columns([f"recall@{each['k']} {each['asked']:g}", _shown_preset(each)] for each in presets)
    disk = f"{counted(len(files), 'file')}, {counted(sum(files.values()), 'byte')} on disk"
    print(f"\n{disk}{', all intact' if verified else ''}")


def _of_segment(segment: dict[str, Any]) -> tuple[str, ...]:
    return segment["name"], f"{segment['documents']:,}", f"{segment['deleted']:,}", segment["storage"]


def _sizes(nbytes: dict[str, int], documents: int, postings: int) -> Iterator[list[str]]:
    """Sizes of each part and of all parts: bytes, bytes per document, and bytes per stored weight of a sparse index."""
    for part, size in [*nbytes.items(), ("total", sum(nbytes.values()))]:
        each = [f"{size / documents:,.1f} per document"] if documents else []
        each += [f"{size / postings:,.2f} per weight"] if postings else []
        yield [part, counted(size, "byte"), *each]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "-" if value is None else str(value)


def _shown_preset(preset: dict[str, Any]) -> str:
    settings = ("query_cut", "max_blocks", "knn")
    how = "exact" if preset["exact"] else ", ".join(f"{name} {preset[name]}" for name in settings)
    reached = (
        f"recall {preset['held_out']:.4f} on {counted(preset['queries'] // 2, 'held-out query', 'held-out queries')}"
    )
    return f"{how}: {reached}, {preset['microseconds']:,.0f} µs per query"
