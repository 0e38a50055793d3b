"""Real collections and vectors: in $LSR_TEST_DATA, by default `../shared/data` beside the repository.

Data that is missing is a failure, never a skip: a test that did not run has shown nothing.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from lsr.vectors.sparse_vectors import SparseVectors

REPOSITORY = Path(__file__).resolve().parent.parent
LONGEST_LINK = 256


def data_path(*parts: str) -> Path:
    """A file or folder of the test data, such as data_path("scifact", "qrels", "test.tsv").

    Some files of the data are links that were copied as small files holding a relative path: these are followed.
    """
    root = Path(os.environ.get("LSR_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not root.is_dir():
        pytest.fail(f"there is no test data in {root}; set LSR_TEST_DATA to the folder that holds it")
    path = root.joinpath(*parts)
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
    """A BEIR folder of the test data; where it holds flattened links, a copy of it, in `folder`, made of real ones."""
    source = data_path(name)
    corpus = source / "corpus.jsonl.gz"
    if follow_link(corpus) == corpus:
        return source
    copy = folder / name
    copy.mkdir(parents=True)
    for path in source.iterdir():
        (copy / path.name).symlink_to(follow_link(path).resolve())
    return copy


@cache
def load_vectors(name: str) -> SparseVectors:
    """All rows of vectors/NAME.npz, read once a test run; slice them."""
    return SparseVectors.read(data_path("vectors", f"{name}.npz"))
