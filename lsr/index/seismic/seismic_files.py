"""SeismicIndex on disk: its manifest, its arrays, and what is checked of them before kernels read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from lsr.index.index_folder import IndexFolder, StoredVocabulary
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.inverted.inverted_files import open_inverted
from lsr.index.parameters import IndexConfig
from lsr.index.segments.segmented_engine import SegmentedEngine
from lsr.index.seismic.build.summarize import WINDOW
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.forward import HEAD_STEP, MAX_HEAD
from lsr.index.tools.tuning import TunedPreset, presets_as_json, read_presets
from lsr.storage.arrays import Array
from lsr.storage.id_column import IdColumn

KIND = "seismic"
FORMAT_VERSION = 4
FORMATS = (3, FORMAT_VERSION)

# How posting lists are stored, under "storage" in the manifest.
BLOCKS, INVERTED = "blocks", "inverted"

# Every array of a saved index of blocks and its type; None is the type of the components, uint16 or uint32.
ARRAYS: dict[str, type[np.generic] | None] = {
    "components": np.uint32,
    "heads": None,
    "scale": np.float32,
    "rows": np.uint32,
    "positions": np.uint32,
    "blocks": np.uint32,
    "summary_windows": np.int64,
    "summary_starts": np.uint32,
    "summaries": np.uint16,
}


class State(NamedTuple):
    """All that a SeismicIndex is made of, but for its documents' ids."""

    engine: BlockEngine | InvertedEngine | SegmentedEngine
    config: IndexConfig
    sample_recall: float | None
    presets: Mapping[float, TunedPreset]


def manifest_of(state: State) -> dict[str, Any]:
    """What manifest.json says of an index, besides its documents and files."""
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
    """The index in `folder`, its documents' ids, if they have any, and its vocabulary; arrays are mapped into memory.

    Raises IndexFormatError for a folder that holds no such index, or a damaged or newer one.
    """
    stored = IndexFolder(folder, KIND, FORMATS)
    return open_state(stored), stored.ids(), stored.vocabulary


def open_state(stored: IndexFolder) -> State:
    """The index in a folder, without its ids; arrays are mapped into memory. Raises IndexFormatError."""
    config = stored.entry("config", lambda entries: IndexConfig(**entries))
    recall = stored.entry("sample_recall", lambda number: None if number is None else float(number))
    return State(open_engine(stored), config, recall, read_presets(stored.manifest, stored.path))


def open_engine(stored: IndexFolder) -> BlockEngine | InvertedEngine:
    """The engine in a folder; its arrays are mapped into memory. Raises IndexFormatError."""
    if stored.version == 3:
        # Inverted lists stood beside blocks, which nobody searched any more.
        inverted = stored.entry("flat", bool)
        return open_inverted(stored, "whole_", with_rows=False) if inverted else _open_blocks(stored)
    return open_inverted(stored) if stored.entry("storage", (BLOCKS, INVERTED).index) else _open_blocks(stored)


def _open_blocks(stored: IndexFolder) -> BlockEngine:
    dim, documents, postings, head_size, n_frequent, knn = (
        stored.number(name) for name in ("dim", "documents", "postings", "head_size", "frequent_components", "knn")
    )
    arrays = {name: stored.array(name) for name in (*ARRAYS, "tails")}
    stored.check(_fit(arrays, documents, head_size, n_frequent))
    if knn:
        graph = arrays["graph"] = stored.array("graph")
        stored.check(graph.dtype == np.uint32 and graph.shape == (documents, knn), "documents and kNN graph")
    return BlockEngine.of(arrays, head_size, n_frequent, dim, postings)


def _fit(arrays: Mapping[str, Array], documents: int, head_size: int, n_frequent: int) -> bool:
    """Kernels trust their arrays: whether the sizes fit together, so that none reads beyond an end."""
    heads, component_dtype = arrays["heads"], arrays["heads"].dtype
    fits = (
        component_dtype in (np.uint16, np.uint32)
        and all(arrays[name].dtype == (dtype or component_dtype) for name, dtype in ARRAYS.items())
        and arrays["tails"].dtype in (np.uint8, component_dtype)
        and all(array.ndim == (2 if name == "heads" else 1) for name, array in arrays.items())
        and head_size in range(HEAD_STEP, MAX_HEAD + 1, HEAD_STEP)
        and heads.flags.c_contiguous
        and heads.shape[1] * component_dtype.itemsize >= head_size * (component_dtype.itemsize + 1) + 8
        and heads.shape[1] * component_dtype.itemsize % 8 == 0
        and len(heads) == len(arrays["rows"]) == len(arrays["positions"]) == documents
        and len(arrays["scale"]) == len(arrays["components"])
        and 0 <= n_frequent <= len(arrays["components"])
    )
    if not fits:
        return False
    offsets, windows, starts = (arrays[name] for name in ("blocks", "summary_windows", "summary_starts"))
    n_blocks, n_windows = len(offsets) - 1, len(windows) - 1
    return (
        n_windows >= 0
        and n_blocks >= 0
        and n_windows == -(-n_blocks // WINDOW)
        and offsets[0] == windows[0] == 0
        and int(offsets[-1]) == documents
        and bool((offsets[1:] >= offsets[:-1]).all())
        and all(bool((arrays[name] < documents).all()) for name in ("rows", "positions"))
        and int(windows[-1]) == len(arrays["summaries"])
        and len(starts) == n_windows * (len(arrays["components"]) + 1)
        and bool((starts.reshape(n_windows, -1)[:, -1] <= np.diff(windows)).all() if n_windows else True)
    )
