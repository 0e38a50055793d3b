"""Where tests find collections and vectors: those of this repository, and real ones that lie elsewhere.

Real ones are in $LSR_TEST_DATA, by default `../shared/data` beside the repository; tests/README.md says what is there.
Tests that need them are marked with `data`. They are left out where there is no such folder, and the last lines of the
run say so. What is missing from a folder that is there is a failure: a test that did not run has shown nothing.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from lsr.vectors.sparse_vectors import SparseVectors

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST_LINK = 256

# Made by fixtures/make.py: collections of 82 documents and 35 queries, and of 400 and 60; see there.
FIXTURES = REPOSITORY / "tests" / "fixtures"
LIBRARY = FIXTURES / "library"
NEWS = FIXTURES / "news"

# Whether the test that runs may look at real data; conftest.py sets it.
marked = True


def data_folder() -> Path:
    """The folder of real data, which may not be there."""
    return Path(os.environ.get("LSR_TEST_DATA") or REPOSITORY.parent / "shared" / "data")


def data_path(*parts: str) -> Path:
    """A file or folder of the real data, such as data_path("scifact", "qrels", "test.tsv").

    Some files of the data are links that were copied as small files holding a relative path: these are followed.
    """
    if not marked:
        pytest.fail("this test looks at real data; mark it with @pytest.mark.data")
    path = data_folder().joinpath(*parts)
    if not path.exists():
        pytest.fail(f"{path} is missing from the test data; set LSR_TEST_DATA to a complete folder")
    return follow_link(path)


def follow_link(path: Path) -> Path:
    """Where `path` leads to if it is a small file that holds the relative path of another; else `path` itself."""
    if path.is_file() and path.stat().st_size <= LONGEST_LINK:
        content = path.read_bytes()
        if content.startswith(b"../"):
            target = (path.parent / content.decode().strip()).resolve()
            if not target.exists():
                pytest.fail(f"{path} leads to {target}, which is missing from the test data")
            return target
    return path


def collection_path(name: str, folder: Path) -> Path:
    """A BEIR folder of the real data; where it holds flattened links, a copy of it, in `folder`, made of real ones."""
    source = data_path(name)
    corpus = source / "corpus.jsonl.gz"
    if follow_link(corpus) == corpus:
        return source
    copy = folder / name
    copy.mkdir(parents=True)
    for path in source.iterdir():
        (copy / path.name).symlink_to(follow_link(path).resolve())
    return copy


def load_vectors(name: str) -> SparseVectors:
    """All rows of vectors/NAME.npz, read once a test run; slice them."""
    return _read(data_path("vectors", f"{name}.npz"))


@cache
def _read(path: Path) -> SparseVectors:
    return SparseVectors.read(path)
