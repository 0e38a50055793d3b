"""lsr info, refit and attach on indexes that change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lsr.encoders.bm25 import BM25Encoder
from tests.cli.commands import Lsr, rejected


def write(path: Path, texts: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in texts.items()))
    return path


def test_drift_is_printed_and_refit_removes_it(lsr: Lsr, tmp_path: Path) -> None:
    index = tmp_path / "index"
    first = write(tmp_path / "first.jsonl", {"a": "alpha beta", "b": "beta gamma"})
    assert lsr("index", first, index, "--encoder", "bm25").status == 0
    assert lsr("info", index, "--json").json["drift"]["idf_change"] == 0
    more = write(tmp_path / "more.jsonl", {"c": "delta delta delta beta", "d": "delta beta"})
    assert lsr("add", index, more).status == 0
    drift = lsr("info", index, "--json").json["drift"]
    assert (drift["documents"], drift["fitted_documents"], drift["new_tokens"]) == (4, 2, 1)
    said = " ".join(lsr("info", index).out.split())
    assert "fitted on 2 rows; now 4, 2 more" in said
    assert "new words 1" in said
    assert "average length 2.0 words; now 2.5, +25.0%" in said
    assert "lsr refit" in said
    done = lsr("refit", index)
    assert done.status == 0
    assert "BM25 statistics are now those of 4 rows" in done.out
    after = lsr("info", index, "--json").json["drift"]
    assert (after["idf_change"], after["new_tokens"], after["average_length"]) == (0, 0, 2.5)
    assert lsr("refit", index, "--json").json["before"] == after


@pytest.mark.parametrize("words", [("refit",), ("attach", "--encoder", "bm25")])
def test_no_index(lsr: Lsr, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "is not an index" in rejected(lsr(words[0], tmp_path, *words[1:]))


def test_vectors_become_searchable(lsr: Lsr, tmp_path: Path) -> None:
    texts = {"a": "alpha beta", "b": "beta gamma"}
    encoder = BM25Encoder().fit(texts.values())
    encoder.save(tmp_path / "encoder")
    vectors, index = tmp_path / "vectors.npz", tmp_path / "index"
    encoder.encode_documents(list(texts.values())).with_ids(list(texts)).write(vectors, encoder.vocabulary)
    assert lsr("index", vectors, index).status == 0
    assert "bm25" in rejected(lsr("refit", index))
    assert "nothing to attach" in rejected(lsr("attach", index))
    assert "found vectors" in rejected(lsr("attach", index, "--texts", vectors))
    told = lsr("attach", index, "--encoder", tmp_path / "encoder", "--json").json
    assert told == {"index": str(index), "encoder": "bm25", "texts": False, "generation": 2}
    done = lsr("attach", index, "--encoder", tmp_path / "encoder", "--texts", write(tmp_path / "t.jsonl", texts))
    assert (done.status, done.out) == (0, f"{index}: attached encoder bm25 and texts\n")
    hits = lsr("search", index, "gamma", "--json").json["hits"]
    assert [(hit["doc_id"], hit["text"]) for hit in hits] == [("b", "beta gamma")]
