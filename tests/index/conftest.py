"""Made vectors and their indexes, made once a test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.index.samples import always_blocks


@pytest.fixture(scope="module", autouse=True)
def _blocks() -> Iterator[None]:
    """What is tested here are blocks; a module that wants what is shipped has a fixture of this name that does nothing.

    Fixtures of the session are made before it, and have blocks by themselves.
    """
    with always_blocks():
        yield


@pytest.fixture(scope="session")
def packages() -> SparseVectors:
    """Short documents, as descriptions of packages are."""
    return made_vectors.short_documents(20_000)


@pytest.fixture(scope="session")
def package_queries() -> SparseVectors:
    return made_vectors.short_queries(200)


@pytest.fixture(scope="session")
def passages() -> SparseVectors:
    """Long documents."""
    return made_vectors.long_documents(5000)


@pytest.fixture(scope="session")
def passage_queries() -> SparseVectors:
    return made_vectors.long_queries(1000)


@pytest.fixture(scope="session")
def packages_index(packages: SparseVectors) -> SeismicIndex:
    with always_blocks():
        return SeismicIndex.build(packages)


@pytest.fixture(scope="session")
def compact_index(packages: SparseVectors) -> SeismicIndex:
    with always_blocks():
        return SeismicIndex.build(packages, IndexConfig(layout="compact"))


@pytest.fixture(scope="session")
def passages_index(passages: SparseVectors) -> SeismicIndex:
    with always_blocks():
        return SeismicIndex.build(passages)
