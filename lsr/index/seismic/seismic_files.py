"""SeismicIndex on disk: its manifest, its arrays, and checks before kernels read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from lsr.errors import IndexFormatError
from lsr.index.index_folder import IndexFolder, StoredVocabulary
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.inverted.inverted_files import open_inverted
from lsr.index.parameters import IndexConfig
from lsr.index.segments.segmented_engine import SegmentedEngine
from lsr.index.seismic.block_checks import ARRAYS, OF_SUMMARIES, documents_fit, summaries_fit
from lsr.index.seismic.engine import BlockEngine
from lsr.index.tools.tuning import TunedPreset, presets_as_json, read_presets
from lsr.storage.id_column import IdColumn

KIND = "seismic"
FORMAT_VERSION = 6  # 5 is COMMIT_FORMAT
FORMATS = (3, 4, FORMAT_VERSION)

# Values of "storage" in the manifest.
BLOCKS, INVERTED = "blocks", "inverted"

# Formats with blocks of an earlier version, of which only the documents are read.
_NO_SUMMARIES = {
    "summary_windows": np.zeros(1, np.int64),
    **{name: np.empty(0, dtype) for name, dtype in OF_SUMMARIES.items() if name != "summary_windows"},
}


class State(NamedTuple):
    """The parts of a SeismicIndex, except the ids of its documents."""

    engine: BlockEngine | InvertedEngine | SegmentedEngine
    config: IndexConfig
    sample_recall: float | None
    presets: Mapping[float, TunedPreset]


def manifest_of(state: State) -> dict[str, Any]:
    """The entries of manifest.json, without documents and files."""
    engine = state.engine
    manifest = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "storage": INVERTED if isinstance(engine, InvertedEngine) else BLOCKS,
        "config": asdict(state.config),
        "dim": engine.dim,
        "postings": engine.postings,
        "sample_recall": state.sample_recall,
        "presets": presets_as_json(state.presets),
    }
    if isinstance(engine, BlockEngine):
        manifest["head_size"] = engine.forward.head_size
        manifest["frequent_components"] = engine.blocks.n_frequent
        manifest["knn"] = engine.knn
    return manifest


def open_files(folder: str | os.PathLike[str]) -> tuple[State, IdColumn | None, StoredVocabulary]:
    """The index in `folder`, the ids of its documents, if there are any, and its vocabulary. Arrays are memory-mapped.

    Raises IndexFormatError if the folder has no such index, a damaged or newer one, or blocks of an earlier version.
    """
    stored = IndexFolder(folder, KIND, FORMATS)
    if has_earlier_blocks(stored.manifest):
        raise earlier_blocks(stored.path)
    return open_state(stored), stored.ids(), stored.vocabulary


def open_state(stored: IndexFolder) -> State:
    """The index in a folder, without ids. Arrays are memory-mapped. Raises IndexFormatError."""
    config = stored.entry("config", IndexConfig.from_json)
    recall = stored.entry("sample_recall", lambda number: None if number is None else float(number))
    return State(open_engine(stored), config, recall, read_presets(stored.manifest, stored.path))


def has_earlier_blocks(manifest: Mapping[str, Any]) -> bool:
    """Whether an index has blocks of formats 3 or 4. Only its documents are read, to rebuild the blocks."""
    version = manifest.get("format_version")
    return (version == 3 and not manifest.get("flat")) or (version == 4 and manifest.get("storage") != INVERTED)


def earlier_blocks(folder: str | os.PathLike[str]) -> IndexFormatError:
    """The error for searching or changing an index that has_earlier_blocks."""
    folder = os.fspath(folder)
    return IndexFormatError(f"{folder}: has blocks of an earlier version; convert it with lsr upgrade {folder}")


def open_engine(stored: IndexFolder) -> BlockEngine | InvertedEngine:
    """The engine in a folder. Arrays are memory-mapped. Raises IndexFormatError.

    If the folder has_earlier_blocks, documents can be gathered, but not searched.
    """
    if stored.version == 3:
        # Posting lists were stored with blocks, which were no longer searched.
        inverted = stored.entry("flat", bool)
        return open_inverted(stored, "whole_", with_rows=False) if inverted else _open_blocks(stored)
    return open_inverted(stored) if stored.entry("storage", (BLOCKS, INVERTED).index) else _open_blocks(stored)


def _open_blocks(stored: IndexFolder) -> BlockEngine:
    earlier = has_earlier_blocks(stored.manifest)
    dim, documents, postings, head_size, n_frequent, knn = (
        stored.number(name) for name in ("dim", "documents", "postings", "head_size", "frequent_components", "knn")
    )
    block_size = stored.entry("config", IndexConfig.from_json).block_size
    names = (name for name in (*ARRAYS, "tails") if not (earlier and name in OF_SUMMARIES))
    arrays = {name: stored.array(name) for name in names} | (_NO_SUMMARIES if earlier else {})
    fit = documents_fit(arrays, documents, dim, head_size, n_frequent)
    stored.check(fit and (earlier or summaries_fit(arrays, documents, block_size)))
    if knn and not earlier:
        graph = arrays["graph"] = stored.array("graph")
        stored.check(graph.dtype == np.uint32 and graph.shape == (documents, knn), "documents and kNN graph")
    return BlockEngine.of(arrays, head_size, block_size, n_frequent, dim, postings)
