"""The test data: links are followed, and what is missing is a failure."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.data import collection_path, data_path, load_vectors


@pytest.mark.parametrize("name", ["wiki30k-fever", "wiki30k-hotpotqa", "wiki30k-climate-fever", "scifact"])
def test_every_collection_has_a_corpus(tmp_path: Path, name: str) -> None:
    folder = collection_path(name, tmp_path)
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as corpus:
        assert "_id" in json.loads(next(corpus))
    assert (folder / "qrels" / "test.tsv").exists()
    assert (folder / "queries.jsonl.gz").exists()


def test_links_are_followed() -> None:
    assert data_path("wiki30k-fever", "corpus.jsonl.gz") == data_path("wiki30k", "corpus.jsonl.gz").resolve()


def test_missing_data_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.fail.Exception, match="no-such-collection is missing from the test data"):
        data_path("no-such-collection")
    monkeypatch.setenv("LSR_TEST_DATA", str(tmp_path / "nothing"))
    with pytest.raises(pytest.fail.Exception, match=r"there is no test data in .*nothing; set LSR_TEST_DATA"):
        data_path("scifact")


def test_vectors_have_the_documented_size() -> None:
    assert (len(load_vectors("packages-queries")), load_vectors("packages-queries").dim) == (10_000, 30_522)
