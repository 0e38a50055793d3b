"""An update leaves documents alone that have not changed."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from lsr import IndexFormatError, Searcher, build_index
from lsr.encoders.bm25 import BM25Encoder

DOCUMENTS = [
    {"id": f"d{i}", "text": f"word{i} common", "year": 2000 + i, "tag": "x" if i % 2 else None} for i in range(9)
]


def test_only_what_has_changed_is_encoded(tmp_path: Path) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25")
    assert searcher.update(DOCUMENTS) == 0
    assert searcher.commit() == 1
    text, year, added = dict(DOCUMENTS[3], text="other"), dict(DOCUMENTS[5], year=1), {"id": "new", "text": "more"}
    changed = [*DOCUMENTS[:3], text, DOCUMENTS[4], year, *DOCUMENTS[6:], added]
    with patch.object(
        BM25Encoder, "encode_documents", autospec=True, side_effect=BM25Encoder.encode_documents
    ) as encode:
        assert searcher.update(changed) == 3
    assert [each for call in encode.call_args_list for each in call.args[1]] == ["other", "word5 common", "more"]
    searcher.commit()
    assert searcher.documents == 10
    assert searcher.search("word5")[0].metadata == {"year": 1, "tag": "x"}
    assert searcher.search("other").ids == ["d3"] and searcher.search("word3").ids == []


def test_after_other_changes_all_are_encoded(tmp_path: Path) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25")
    searcher.delete("d1")
    assert searcher.update(DOCUMENTS[:3]) == 3
    searcher.commit()
    assert searcher.documents == 9 and searcher.search("word1").ids == ["d1"]


@pytest.mark.parametrize("how", ["full", "sample"])
def test_changed_bytes_are_found_when_opened(tmp_path: Path, how: str) -> None:
    build_index(DOCUMENTS, tmp_path / "index", "bm25")
    path = tmp_path / "index" / "segment-000001" / "weights.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    Searcher.open(tmp_path / "index")
    with pytest.raises(IndexFormatError, match=r"weights\.npy"):
        Searcher.open(tmp_path / "index", verify=how)
