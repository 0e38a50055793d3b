"""Compiling all kernels of searches and builds into Numba's cache on disk, so that no user has to wait."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np

from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig, Layout, SearchParams
from lsr.index.seismic.build.graph import build_graph
from lsr.index.seismic.build.superblock_pages import fill_pages
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.exact_lists import ENOUGH
from lsr.index.seismic.seismic_files import State
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.progress import progress_bar
from lsr.threads import processors, thread_pool
from lsr.vectors.sparse_vectors import SparseVectors

# MANY components need 32-bit numbers; kernels are compiled for both widths.
FEW, MANY = 100, (1 << 16) + 1
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
DOCUMENTS = 50
MEMORY = 1 << 30  # bytes


def warm_up(progress: bool = False) -> None:
    """Compile the kernels of all kinds of indexes, on all processors. progress: a bar on standard error."""
    kinds = list(product((FEW, MANY), LAYOUTS))
    with progress_bar("compiling", len(kinds), "kinds of index", progress) as advance:
        # Numba compiles in one thread per process.
        with ThreadPoolExecutor(min(processors(), len(kinds))) as pool:
            for _ in pool.map(_compile_in_process, kinds):
                advance(1)
        # Two processes that store a kernel at once lose one of its compilations. This process compiles it, then.
        for kind in kinds:
            compile_kind(*kind)


def _compile_in_process(kind: tuple[int, Layout]) -> None:
    code = f"from {__name__} import compile_kind; compile_kind{kind!r}"
    with suppress(OSError):  # this process then compiles it
        subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False)


def compile_kind(dim: int, layout: Layout) -> None:
    """Build small indexes of one kind and search them in every way."""
    vectors = _all_components(dim)
    config = IndexConfig(layout=layout)
    with thread_pool(1) as executor:
        engine = BlockEngine.build(vectors, config, executor, progress=False)
    engine.graph = build_graph(engine, 1, 1, progress=False)
    fill_pages(0, 1, config.block_size, engine.forward)  # only large collections have pages
    blocks = SeismicIndex(State(engine, config, None, {}), None)
    for index in (blocks, ExactIndex.build(vectors)):
        for params in (SearchParams(), SearchParams(exact=True)):
            index.search(vectors[:2], 1, params)
        index.search(vectors[:2], 1, allowed=[0])
        index.gather(np.arange(2))
        index.vector(0)
    blocks.search(vectors[:2], 1, SearchParams(knn=1))
    engine.exact_lists.after(ENOUGH)
    with TemporaryDirectory() as folder:
        vectors.write(Path(folder, "vectors"))
        SeismicIndex.build_from(Path(folder, "vectors"), Path(folder, "index"), config, memory=MEMORY)


def _all_components(dim: int) -> SparseVectors:
    """Vectors that have each component once."""
    indptr = np.linspace(0, dim, DOCUMENTS + 1).astype(np.int64)
    return SparseVectors(indptr, np.arange(dim), np.ones(dim, np.float32), dim)
