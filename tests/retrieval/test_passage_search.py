"""Documents that are split into passages: searched by these, found as documents, shown by the best one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.collections.passages import PassageRows, PassageSplit
from lsr.collections.sources import Document
from lsr.encoders.bm25 import BM25Encoder
from lsr.errors import ParameterError
from lsr.index.dense.dense_index import DenseIndex
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.dense_side import Dense
from lsr.retrieval.request import DENSE, SPARSE, SearchRequest
from lsr.retrieval.snapshot import Snapshot
from lsr.storage.arrays import save_arrays
from lsr.storage.id_column import IdColumn
from lsr.storage.manifest import MANIFEST
from lsr.storage.strings import StringColumn

FILLER = "Nothing of interest is said in this sentence at all. " * 6
DOCUMENTS = [
    Document("tides", "Tides", f"{FILLER}The moon moves the seas. {FILLER}The moon and the sun make spring tides."),
    Document("moon", "The moon", f"The moon has no seas of water. {FILLER}"),
    Document("gone", "Moon moon", f"{FILLER}moon moon moon seas seas"),
    Document("bread", "", f"{FILLER}Bread needs salt. {FILLER}"),
    Document("empty", "", ""),
]
SPLIT = PassageSplit(40, 8)
TEXTS = [each.full_text for each in DOCUMENTS]


class MeanOfWords:
    """A dense encoder of queries: how often three words occur."""

    name, dim = "words", 3

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        return np.array([[text.lower().count(word) for word in ("moon", "salt", "sun")] for text in texts], np.float32)


@pytest.fixture(scope="module")
def encoder() -> BM25Encoder:
    return BM25Encoder().fit(TEXTS)


@pytest.fixture(scope="module")
def snapshot(encoder: BM25Encoder, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("passages") / "index"
    with IndexWriter.create(folder) as writer:
        for some in (DOCUMENTS[:2], DOCUMENTS[2:]):
            rows = PassageRows(some, SPLIT)
            ids, texts = zip(*rows, strict=True)
            assert len(ids) > len(some)

            def beside(new: Path, some: Any = some, rows: Any = rows, texts: Any = texts) -> Mapping[str, Any]:
                save_arrays(new, {"passages.starts": rows.starts, "passages.spans": rows.spans})
                IdColumn.write(new, "ids", (each.doc_id for each in some))
                StringColumn.write(new, "texts", (each.full_text for each in some))
                DenseIndex.build(MeanOfWords().encode_queries(texts) + np.float32(0.01)).save(new / "dense")
                return {"has_ids": True, "has_texts": True}

            path = writer.new_segment()
            SeismicIndex.build(encoder.encode_documents(texts)).save(path, extra=beside)
            assert (path / MANIFEST).exists()
            writer.add_segment(path)
        assert writer.delete(["gone"]) == 1
        writer.commit()
    index = SeismicIndex.open(folder)
    assert index.generation is not None
    dense = Dense.of_generation(index.generation)
    assert dense is not None
    return Snapshot(index, encoder, index.generation.texts, Dense(dense.index, MeanOfWords()))  # type: ignore[arg-type]


def test_documents_are_found_and_shown_by_their_best_passage(snapshot: Snapshot, encoder: BM25Encoder) -> None:
    (hits,) = snapshot.hits(["moon seas"], SearchRequest(10))
    assert hits.ids == ["moon", "tides"]
    query = encoder.encode_queries(["moon seas"]).to_scipy()
    for hit in hits:
        document = next(each for each in DOCUMENTS if each.doc_id == hit.doc_id)
        rows = PassageRows([document], SPLIT)
        scores = (query @ encoder.encode_documents([text for _, text in rows]).to_scipy().T).toarray()[0]
        assert hit.score == pytest.approx(scores.max(), rel=1e-3) == sum(hit.explain().values())
        assert hit.text == document.full_text and hit.passage == tuple(rows.spans[scores.argmax()].tolist())
        assert hit.as_dict()["passage"] == list(hit.passage)
        snippet = hit.snippet(60)
        assert hit.passage[0] <= snippet.begin <= snippet.end <= hit.passage[1]
        assert {snippet.text[begin:end].lower() for begin, end in snippet.highlights} == {"moon", "seas"}


def test_the_two_sides_may_find_different_passages_of_a_document(snapshot: Snapshot) -> None:
    one = {side: snapshot.hits(["sun seas seas seas seas"], SearchRequest(5, side=side))[0] for side in (SPARSE, DENSE)}  # type: ignore[arg-type]
    assert one[SPARSE].ids == ["tides", "moon"] and one[DENSE].ids[0] == "tides"
    assert one[SPARSE][0].passage != one[DENSE][0].passage
    (both,) = snapshot.hits(["sun seas seas seas seas"], SearchRequest(5, interpolate="after"))
    assert both.ids[0] == "tides" and len(set(both.ids)) == len(both.ids) == 4
    assert both[0].row == one[SPARSE][0].row
    assert both[0].scores == {side: pytest.approx(one[side][0].score) for side in (SPARSE, DENSE)}


def test_a_document_that_is_allowed_is_searched_with_all_its_passages(snapshot: Snapshot) -> None:
    for side in (SPARSE, DENSE):
        every = snapshot.hits(["sun seas seas seas seas"], SearchRequest(5, side=side))[0]
        (hit,) = snapshot.hits(["sun seas seas seas seas"], SearchRequest(5, side=side, allowed=["tides"]))[0]
        assert (hit.doc_id, hit.row, hit.score) == (every[0].doc_id, every[0].row, pytest.approx(every[0].score))
    ids = snapshot.index.ids
    assert ids is not None
    assert [ids[row] for row in ids.all_rows(["bread", "tides"]).tolist()].count("bread") > 1
    assert set(ids.all_rows(["empty", "gone", "moon"]).tolist()) >= {-1}
    with pytest.raises(ParameterError, match="'gone', which is not in the index"):
        snapshot.hits(["sun"], SearchRequest(5, allowed=["moon", "gone"]))


def test_a_document_with_the_id_of_the_query_is_dropped_with_all_its_passages(snapshot: Snapshot) -> None:
    for request in (SearchRequest(5), SearchRequest(5, interpolate="after")):
        run = snapshot.rankings({"tides": "moon seas"}, request, drop_same_id=True)
        assert "moon" in run["tides"] and "tides" not in run["tides"]
