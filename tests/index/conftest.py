"""Real vectors and their indexes, made once a test run."""

from __future__ import annotations

import pytest

from lsr.index.seismic import SeismicIndex
from lsr.vectors import SparseVectors
from tests.data import load_vectors


@pytest.fixture(scope="session")
def packages() -> SparseVectors:
    """Short documents: 46 components."""
    return load_vectors("packages-500k")[:20000]


@pytest.fixture(scope="session")
def package_queries() -> SparseVectors:
    return load_vectors("packages-queries")[:200]


@pytest.fixture(scope="session")
def passages() -> SparseVectors:
    """Long documents: 180 components."""
    return load_vectors("wiki-passages")[:5000]


@pytest.fixture(scope="session")
def passage_queries() -> SparseVectors:
    return load_vectors("wiki-queries")


@pytest.fixture(scope="session")
def packages_index(packages: SparseVectors) -> SeismicIndex:
    return SeismicIndex.build(packages)


@pytest.fixture(scope="session")
def passages_index(passages: SparseVectors) -> SeismicIndex:
    return SeismicIndex.build(passages)
