"""The order of documents whose sketches are on the disk, against that of cluster and halve_windows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build import external_order
from lsr.index.seismic.build.cluster import LEAF, SKETCH, Sketches, cluster
from lsr.index.seismic.build.external_order import growing_bytes, order_groups, split_groups
from lsr.index.seismic.build.halving import halve_windows
from lsr.index.seismic.build.in_memory import all_sketches
from lsr.index.seismic.forward import count_components
from lsr.storage.arrays import Array, save_arrays
from lsr.vectors.sparse_vectors import SparseVectors


def in_memory(sketches: Sketches, n_components: int, config: IndexConfig) -> Array:
    with ThreadPoolExecutor(1) as executor:
        rows = cluster(sketches, n_components, config, executor)
        halve_windows(rows, sketches, n_components, config, executor)
    return rows


def on_disk(
    folder: Path, sketches: Sketches, n_components: int, config: IndexConfig, documents: int, dealt: list[int]
) -> Array:
    """The order that ranges of so many documents give, or of a group; `dealt` gets how many each has."""
    save_arrays(folder, sketches._asdict())
    with ThreadPoolExecutor(2) as executor, pytest.MonkeyPatch.context() as patch:
        grow = external_order.grow_groups

        def counted(groups: Sequence[Array], *others: object) -> Array:
            dealt.append(sum(map(len, groups)))
            return grow(groups, *others)

        patch.setattr(external_order, "grow_groups", counted)
        patch.setattr(external_order, "BATCH", 700)
        groups = split_groups(folder, n_components, config, map)
        room = documents * growing_bytes(n_components)
        rows = order_groups(folder, groups, n_components, config, executor, map, room)
    assert not list(folder.iterdir())
    assert sum(dealt) == len(rows)
    return rows


@pytest.mark.parametrize("documents", [0, 1500, 1 << 30])
@pytest.mark.parametrize("block_size", [1, 4, 7])
@pytest.mark.parametrize("n", [0, 1, LEAF, LEAF + 1, 6000])
def test_the_order_of_real_vectors(
    packages: SparseVectors, tmp_path: Path, n: int, block_size: int, documents: int
) -> None:
    vectors = packages[:n]
    components = count_components(vectors)
    n_components, config = len(components.external), IndexConfig(block_size=block_size, seed=n)
    internal = components.renumber(vectors.indices, np.dtype(np.uint16))
    with ThreadPoolExecutor(1) as executor:
        sketches = all_sketches(vectors.indptr, internal, vectors.values, executor)
    dealt: list[int] = []
    rows = on_disk(tmp_path, sketches, n_components, config, documents, dealt)
    assert rows.dtype == np.uint32
    assert rows.tolist() == in_memory(sketches, n_components, config).tolist()
    if n == 6000 and documents < n:
        assert len(dealt) > (6 if documents == 0 else 2)


@pytest.mark.parametrize("documents", [0, 1 << 30])
def test_documents_with_nothing_and_copies_of_one(tmp_path: Path, documents: int) -> None:
    sketches = Sketches(np.zeros((5000, SKETCH), np.uint16), np.zeros((5000, SKETCH), np.float32))
    sketches.weights[::3, 0] = 1
    rows = on_disk(tmp_path, sketches, 1, IndexConfig(), documents, [])
    assert rows.tolist() == in_memory(sketches, 1, IndexConfig()).tolist()
