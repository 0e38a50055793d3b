"""SeismicIndex on disk: its manifest, its arrays, and what is checked of them before kernels read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lsr.errors import IndexFormatError
from lsr.index.document_ids import Ids
from lsr.index.inverted.inverted_kernels import Inverted
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.in_memory import Parts
from lsr.index.seismic.build.summarize import WINDOW, Blocks
from lsr.index.seismic.forward import HEAD_STEP, MAX_HEAD, Components, Forward
from lsr.index.tools.tuning import TunedPreset, presets_as_json, read_presets
from lsr.storage.arrays import Array, read_only
from lsr.storage.manifest import StringColumn, load_array, read_manifest

KIND = "seismic"
FORMAT_VERSION = 3

# Every array of a saved index and its type; None is the type of the components, uint16 or uint32.
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

BLOCK_ARRAYS = ("rows", "positions", "blocks", "summary_windows", "summary_starts", "summaries")

NO_GRAPH = read_only(np.empty((0, 0), np.uint32))


class State(NamedTuple):
    """All that a SeismicIndex is made of."""

    dim: int
    postings: int
    config: IndexConfig
    parts: Parts
    inverted: Inverted | None
    ids: Ids | None
    graph: Array  # uint32[documents, neighbors], in the order of the blocks
    sample_recall: float | None
    presets: Mapping[float, TunedPreset]


def manifest_of(state: State) -> dict[str, Any]:
    """What manifest.json says of an index, besides its files."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "config": asdict(state.config),
        "documents": len(state.parts.blocks.rows),
        "dim": state.dim,
        "postings": state.postings,
        "head_size": state.parts.forward.head_size,
        "frequent_components": state.parts.blocks.n_frequent,
        "knn": state.graph.shape[1],
        "has_ids": state.ids is not None,
        "flat": state.inverted is not None,
        "sample_recall": state.sample_recall,
        "presets": presets_as_json(state.presets),
    }


def arrays_of(state: State) -> dict[str, Array]:
    """The arrays of an index by the names of their files."""
    components, forward, blocks = state.parts
    arrays = {
        "components": components.external,
        "heads": forward.heads,
        "tails": forward.tails,
        "scale": forward.scale,
        "rows": blocks.rows,
        "positions": blocks.positions,
        "blocks": blocks.offsets,
        "summary_windows": blocks.windows,
        "summary_starts": blocks.starts,
        "summaries": blocks.stream,
    }
    if state.graph.shape[1]:
        arrays["graph"] = state.graph
    if state.inverted:
        arrays |= {f"whole_{name}": array for name, array in state.inverted._asdict().items()}
    return arrays


def open_files(folder: str | os.PathLike[str]) -> State:
    """The index in `folder`; its arrays are mapped into memory, not read.

    Raises IndexFormatError for a folder that holds no such index, or a damaged or newer one.
    """
    manifest = read_manifest(folder, FORMAT_VERSION, KIND)
    try:
        config = IndexConfig(**manifest["config"])
        dim, documents, postings, head_size, n_frequent, knn = (
            int(manifest[name]) for name in ("dim", "documents", "postings", "head_size", "frequent_components", "knn")
        )
        has_ids, flat = bool(manifest["has_ids"]), bool(manifest["flat"])
        sample_recall = None if manifest["sample_recall"] is None else float(manifest["sample_recall"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise IndexFormatError(f"{folder}: the manifest is damaged ({error}); build the index again") from error
    arrays = {name: load_array(folder, name) for name in (*ARRAYS, "tails")}
    _check_arrays(Path(folder), arrays, documents, head_size, n_frequent)
    inverted = Inverted(*(load_array(folder, f"whole_{name}") for name in Inverted._fields)) if flat else None
    if inverted and not inverted.fits():
        raise IndexFormatError(f"{folder}: its posting lists do not fit together; build the index again")
    ids = StringColumn.open(folder, "ids") if has_ids else None
    if ids is not None and len(ids) != documents:
        raise IndexFormatError(f"{folder}: {len(ids)} ids for {documents} documents; build the index again")
    graph = load_array(folder, "graph") if knn else NO_GRAPH
    if graph.dtype != np.uint32 or (knn and graph.shape != (documents, knn)):
        raise IndexFormatError(f"{folder}: its kNN graph does not fit; build the index again")
    parts = Parts(
        Components.of(arrays["components"]),
        Forward.of(arrays["heads"], arrays["tails"], arrays["scale"], head_size),
        Blocks.of([arrays[name] for name in BLOCK_ARRAYS], n_frequent),
    )
    presets = read_presets(manifest, folder)
    return State(dim, postings, config, parts, inverted, ids, graph, sample_recall, presets)


def _check_arrays(folder: Path, arrays: Mapping[str, Array], documents: int, head_size: int, n_frequent: int) -> None:
    """Kernels trust their arrays: see that the sizes fit together before one reads beyond an end."""
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
    if fits:
        offsets, windows, starts = (arrays[name] for name in ("blocks", "summary_windows", "summary_starts"))
        n_blocks, n_windows = len(offsets) - 1, len(windows) - 1
        fits = (
            n_windows >= 0
            and n_blocks >= 0
            and n_windows == -(-n_blocks // WINDOW)
            and offsets[0] == windows[0] == 0
            and int(offsets[-1]) == documents
            and int(windows[-1]) == len(arrays["summaries"])
            and len(starts) == n_windows * (len(arrays["components"]) + 1)
            and bool((starts.reshape(n_windows, -1)[:, -1] <= np.diff(windows)).all() if n_windows else True)
        )
    if not fits:
        raise IndexFormatError(f"{folder}: its arrays do not fit together; build the index again")
