"""What a shard takes from the collection that it is a part of, so that it scores as an index of the whole would."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsr.index.seismic.forward import Components, component_maxima, scale_of, weight_scale
from lsr.storage.arrays import Array, read_only
from lsr.vectors.sparse_vectors import SparseVectors


class WholeCollection(NamedTuple):
    """rows: of all shards. maxima: float32[dim], the largest weight of each component in any of them."""

    rows: int
    maxima: Array


def count_rows(own: int, whole: WholeCollection | None) -> int:
    """The rows by which the kind of storage is chosen."""
    return own if whole is None else max(own, whole.rows)


def add_maxima(vectors: SparseVectors, maxima: Array) -> None:
    """Raise maxima float32[dim] to the largest weights of vectors."""
    component_maxima(read_only(vectors.indices), read_only(vectors.values), maxima)


def shared_scale(components: Components, internal: Array, values: Array, whole: WholeCollection | None) -> Array:
    """As weight_scale; by the maxima of the whole collection where these are known."""
    if whole is None:
        return weight_scale(internal, values, len(components.external))
    return scale_of(np.asarray(whole.maxima, np.float32)[components.external])
