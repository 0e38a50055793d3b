"""Statistics of a whole collection, with which a shard scores like an index of the whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsr.index.seismic.forward import Components, component_maxima, scale_of, weight_scale
from lsr.storage.arrays import Array, read_only
from lsr.vectors.sparse_vectors import SparseVectors


class WholeCollection(NamedTuple):
    """Statistics of all shards. rows: their number. maxima: float32[dim], the largest weight of each component."""

    rows: int
    maxima: Array


def count_rows(own: int, whole: WholeCollection | None) -> int:
    """The number of rows by which the storage is chosen."""
    return own if whole is None else max(own, whole.rows)


def add_maxima(vectors: SparseVectors, maxima: Array) -> None:
    """Update maxima float32[dim] with the largest weights of vectors."""
    component_maxima(read_only(vectors.indices), read_only(vectors.values), maxima)


def shared_scale(components: Components, internal: Array, values: Array, whole: WholeCollection | None) -> Array:
    """Like weight_scale, with the maxima of the whole collection if they are known."""
    if whole is None:
        return weight_scale(internal, values, len(components.external))
    return scale_of(np.asarray(whole.maxima, np.float32)[components.external])
