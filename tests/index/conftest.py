"""Real vectors and their indexes, made once a test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build import trial as flat
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import load_vectors


@pytest.fixture(scope="package", autouse=True)
def _always_blocks() -> Iterator[None]:
    """What is tested here are blocks, on collections that are too small, and weights too even, for them otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "EXHAUSTIVE_BELOW", 0)
        patch.setattr(flat, "sample_recall", lambda *_: 1.0)
        yield


@pytest.fixture(scope="package")
def packages() -> SparseVectors:
    """Short documents: 46 components."""
    return load_vectors("packages-500k")[:20000]


@pytest.fixture(scope="package")
def package_queries() -> SparseVectors:
    return load_vectors("packages-queries")[:200]


@pytest.fixture(scope="package")
def passages() -> SparseVectors:
    """Long documents: 180 components."""
    return load_vectors("wiki-passages")[:5000]


@pytest.fixture(scope="package")
def passage_queries() -> SparseVectors:
    return load_vectors("wiki-queries")


@pytest.fixture(scope="package")
def packages_index(packages: SparseVectors) -> SeismicIndex:
    return SeismicIndex.build(packages)


@pytest.fixture(scope="package")
def compact_index(packages: SparseVectors) -> SeismicIndex:
    return SeismicIndex.build(packages, IndexConfig(layout="compact"))


@pytest.fixture(scope="package")
def passages_index(passages: SparseVectors) -> SeismicIndex:
    return SeismicIndex.build(passages)
