"""Storing tuned search parameters in an index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lsr.checks import expanded
from lsr.errors import StorageError
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.tools.tuning import ENTRY, Tuning, presets_as_json, read_presets
from lsr.storage.manifest import COMMIT_FORMAT, MANIFEST, load_manifest, update_manifest


def store_presets(folder: str | os.PathLike[str], tuning: Tuning, opened: Mapping[str, Any] | None = None) -> None:
    """Store the chosen parameters of a tuning in an index, in one commit. Presets for other recalls are kept.

    folder: the folder of the index.
    tuning: the result of SeismicIndex.tune.
    opened: the manifest from before the index was opened; raises StorageError if another index has replaced it.

    Raises IndexFormatError if the folder is not an index or has damaged presets, StorageError if writing fails.
    """
    if load_manifest(expanded(folder), MANIFEST).get("format_version") == COMMIT_FORMAT:
        _commit_presets(folder, tuning, opened)
        return

    def change(manifest: Mapping[str, Any]) -> dict[str, Any]:
        if opened is not None and manifest.get("files") != opened.get("files"):
            raise _replaced(folder)
        presets = {**read_presets(manifest, folder), **tuning.presets}
        return {ENTRY: presets_as_json(presets)}

    update_manifest(folder, change)


def _commit_presets(folder: str | os.PathLike[str], tuning: Tuning, opened: Mapping[str, Any] | None) -> None:
    with IndexWriter.open(folder) as writer:
        commit, tuned = writer.base, writer.generation
        if opened is not None:
            measured = {each["name"] for each in opened["segments"]}
            if measured and not measured & {each.name for each in commit.segments}:
                raise _replaced(folder)
            tuned = opened["generation"]
        writer.commit(presets={**commit.presets, **tuning.presets}, tuned=tuned)


def _replaced(folder: str | os.PathLike[str]) -> StorageError:
    return StorageError(f"{os.fspath(folder)}: the index was replaced while it was tuned; tune it again")
