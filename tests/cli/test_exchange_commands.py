"""lsr export and lsr import, and published vectors as they are: indexed, searched, measured, given an encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Lsr, rejected
from tests.data import LIBRARY


@pytest.fixture
def index(lsr: Lsr, tmp_path: Path) -> Path:
    assert lsr("index", LIBRARY, tmp_path / "library.index", "--encoder", "bm25").status == 0
    return tmp_path / "library.index"


def test_vectors_come_back_and_take_their_encoder(lsr: Lsr, index: Path, tmp_path: Path) -> None:
    out, vectors, texts, again = (tmp_path / name for name in ("out.jsonl.gz", "vectors", "texts.jsonl", "again.index"))
    exported = lsr("export", index, out, "--format", "seismic", "--json")
    assert exported.json == {
        "path": str(out),
        "format": "seismic",
        "documents": 82,
        "weights": exported.json["weights"],
        "dropped": 0,
        "scale": None,
        "notes": [],
    }
    imported = lsr("import", out, vectors, "--format", "seismic", "--documents", texts)
    assert imported.out.splitlines() == [
        f"{vectors}: 82 rows, {exported.json['weights']:,} weights, 228 components",
        f"{texts}: 82 documents",
    ]
    encoder = next(index.glob("encoder-*"))
    assert lsr("index", vectors, again).status == 0
    query = "subject index of the university"
    expected = lsr("search", index, query, "--json").json["hits"]
    assert "has no encoder" in rejected(lsr("search", again, query))
    named = lsr("search", again, query, "--encoder", encoder, "--json").json["hits"]
    assert [hit["doc_id"] for hit in named] == [hit["doc_id"] for hit in expected]
    assert lsr("attach", again, "--encoder", encoder, "--texts", texts).status == 0
    found = lsr("search", again, query, "--json").json["hits"]
    assert [(hit["doc_id"], hit["text"]) for hit in found] == [(hit["doc_id"], hit["text"]) for hit in expected]
    assert [hit["score"] for hit in found] == pytest.approx([hit["score"] for hit in expected])


def test_published_vectors_are_indexed_searched_and_measured(lsr: Lsr, tmp_path: Path) -> None:
    """Whole numbers as ids, tokens as names, queries as vectors, as SPLADE's files are published."""
    rows = [{"id": 7, "content": "", "vector": {"heart": 3, "##s": 1}}, {"id": 10, "vector": {"salt": 2, "heart": 1}}]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "queries.jsonl").write_text('{"id": 1, "vector": {"salt": 1.5, "unseen": 9}}\n')
    (tmp_path / "qrels").write_text("1 0 10 1\n")
    assert lsr("import", tmp_path / "docs.jsonl", tmp_path / "vectors", "--format", "seismic").status == 0
    for source in ("docs.jsonl", "vectors"):
        assert lsr("index", tmp_path / source, tmp_path / "index").status == 0
        ran = lsr("run", tmp_path / "index", tmp_path / "queries.jsonl", tmp_path / "run")
        assert "1 tokens are not in the index and were dropped, such as 'unseen'" in ran.err
        assert (tmp_path / "run").read_text() == "1 Q0 10 1 3.0 lsr\n"
        assert "RR@10    1.0000" in lsr("evaluate", tmp_path / "run", tmp_path / "qrels").out


def test_bad_input_is_one_line(lsr: Lsr, index: Path, tmp_path: Path) -> None:
    assert "must be one of ciff" in rejected(lsr("export", index, tmp_path / "out", "--format", "parchment"))
    assert "remove the scale" in rejected(lsr("export", index, tmp_path / "out", "--format", "qdrant", "--scale", "10"))
    assert "is not an index" in rejected(lsr("export", tmp_path / "none", tmp_path / "out", "--format", "ciff"))
    assert "expected" in rejected(lsr("import", LIBRARY / "corpus.jsonl", tmp_path / "out", "--format", "ciff"))
    assert "is a stream" in rejected(lsr("export", index, "-", "--format", "datasets"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["library.index"]
    (tmp_path / "taken").mkdir()
    assert "a folder has this name" in rejected(lsr("export", index, tmp_path / "taken", "--format", "ciff"))


def test_standard_output_takes_lines(lsr: Lsr, index: Path) -> None:
    exported = lsr("export", index, "-", "--format", "qdrant")
    points = [json.loads(line) for line in exported.out.splitlines()]
    assert len(points) == 82
    assert points[0]["payload"]["id"] == "1"
    assert "82 rows" in exported.err
