"""The test data: links are followed, what is missing is a failure, and what is made can be made again."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.data import FIXTURES, collection_path, data_path, load_vectors
from tests.fixtures.make import make_all


@pytest.mark.data
@pytest.mark.parametrize("name", ["wiki30k-fever", "wiki30k-hotpotqa", "wiki30k-climate-fever", "scifact"])
def test_every_collection_has_a_corpus(tmp_path: Path, name: str) -> None:
    folder = collection_path(name, tmp_path)
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as corpus:
        assert "_id" in json.loads(next(corpus))
    assert (folder / "qrels" / "test.tsv").exists()
    assert (folder / "queries.jsonl.gz").exists()


@pytest.mark.data
def test_links_are_followed() -> None:
    assert data_path("wiki30k-fever", "corpus.jsonl.gz") == data_path("wiki30k", "corpus.jsonl.gz").resolve()


@pytest.mark.data
def test_missing_data_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.fail.Exception, match="no-such-collection is missing from the test data"):
        data_path("no-such-collection")
    monkeypatch.setenv("LSR_TEST_DATA", str(tmp_path / "nothing"))
    with pytest.raises(pytest.fail.Exception, match=r"nothing/scifact is missing .*; set LSR_TEST_DATA"):
        data_path("scifact")


@pytest.mark.data
def test_vectors_have_the_documented_size() -> None:
    assert (len(load_vectors("packages-queries")), load_vectors("packages-queries").dim) == (10_000, 30_522)


def test_fixtures_are_as_their_script_makes_them(tmp_path: Path) -> None:
    make_all(tmp_path)
    made = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 6
    for path in made:
        assert path.read_bytes() == (FIXTURES / path.relative_to(tmp_path)).read_bytes()


def test_a_test_without_the_mark_sees_no_real_data() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"mark it with @pytest\.mark\.data"):
        data_path("scifact")
