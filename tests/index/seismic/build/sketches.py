"""Sketches of documents, beside those of the twin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lsr.index.seismic.build.cluster import Sketches
from lsr.index.seismic.build.in_memory import all_sketches
from lsr.index.seismic.forward import count_components
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW
from tests.naive import cluster as naive
from tests.naive.forward import internal_rows


def sketches_of(vectors: SparseVectors, dtype: type = NARROW) -> tuple[Sketches, list[naive.Sketch], int]:
    """The sketches of documents with internal components, the twin's, and the number of components."""
    components = count_components(vectors)
    internal = components.renumber(vectors.indices, np.dtype(dtype))
    with ThreadPoolExecutor(2) as executor:
        sketches = all_sketches(vectors.indptr, internal, vectors.values, executor)
    external = components.external.tolist()
    return sketches, naive.find_sketches(internal_rows(vectors, external)), len(external)
