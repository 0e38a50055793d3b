"""An index of vectors is given its encoder and its texts, and is then what an index of the documents is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr import Searcher, SparseVectors, build_index
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.own_encoder import encoder_from
from lsr.errors import CollectionError, EncoderError, ParameterError
from lsr.index.segments.generation import open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.attach import attach

TEXTS = {f"d{number}": f"alpha word{number % 3} beta{number}" for number in range(9)}
DOCUMENTS = [{"id": name, "text": text} for name, text in TEXTS.items()]


@pytest.fixture
def encoder() -> BM25Encoder:
    return BM25Encoder().fit(TEXTS.values())


def found(searcher: Searcher, query: str = "alpha word1 beta4") -> list[Any]:
    return [(hit.doc_id, round(hit.score, 5), hit.text) for hit in searcher.search(query, k=9)]


@pytest.mark.parametrize("former", [False, True])
def test_encoder_and_texts(tmp_path: Path, encoder: BM25Encoder, former: bool) -> None:
    vectors = encoder.encode_documents(list(TEXTS.values())).with_ids(list(TEXTS))
    if former:
        SeismicIndex.build(vectors, vocabulary=encoder.vocabulary).save(tmp_path / "index")
    else:
        vectors.write(tmp_path / "v.npz", encoder.vocabulary)
        build_index(tmp_path / "v.npz", tmp_path / "index")
    with pytest.raises(EncoderError, match="has no encoder"):
        Searcher.open(tmp_path / "index")
    attach(tmp_path / "index", encoder)
    whole = build_index(DOCUMENTS, tmp_path / "whole", encoder=BM25Encoder())
    searcher = Searcher.open(tmp_path / "index")
    assert [each[:2] for each in found(searcher)] == [each[:2] for each in found(whole)]
    assert searcher.texts is None

    shuffled = [*DOCUMENTS, {"id": "other", "text": "alpha"}]
    random.Random(1).shuffle(shuffled)
    attach(tmp_path / "index", documents=shuffled)
    assert searcher.refresh()
    assert found(searcher) == found(whole)
    searcher.add([{"id": "new", "text": "omega"}])
    searcher.commit()
    assert [hit.text for hit in searcher.search("omega")] == ["omega"]
    with pytest.raises(ParameterError, match="has texts; use lsr update"):
        attach(tmp_path / "index", documents=DOCUMENTS)
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "index").iterdir() if path.is_dir()) == [
        "encoder",
        *["segment"] * len(open_generation(tmp_path / "index").segments),
    ]


@pytest.mark.parametrize("named", [True, False])
def test_texts_for_several_segments_with_deletions(tmp_path: Path, encoder: BM25Encoder, named: bool) -> None:
    texts = list(TEXTS.values())
    names = list(TEXTS)
    with IndexWriter.create(tmp_path / "index") as writer:
        for rows in (slice(0, 4), slice(4, 9)):
            vectors = encoder.encode_documents(texts[rows])
            path = writer.new_segment()
            SeismicIndex.build(vectors.with_ids(names[rows]) if named else vectors).save(path)
            writer.add_segment(path)
        if named:
            writer.delete(["d1", "d8"])
        writer.commit()
    left = [document for document in DOCUMENTS if not named or document["id"] not in ("d1", "d8")]
    before = open_generation(tmp_path / "index").number
    with pytest.raises(
        CollectionError,
        match=r"document 'd0' of the index is missing|has \d+ documents, but the index has \d+;",
    ):
        attach(tmp_path / "index", documents=left[1:])
    assert open_generation(tmp_path / "index").number == before
    attach(tmp_path / "index", encoder, left)
    searcher = Searcher.open(tmp_path / "index")
    for document in left:
        hit = searcher.search(document["text"].split()[-1])[0]
        assert hit.text == document["text"]
        assert hit.doc_id == (document["id"] if named else document["id"][1:])
    assert searcher.vocabulary == encoder.vocabulary


@pytest.mark.parametrize("whole", [True, False])
def test_components_are_matched_by_token(tmp_path: Path, encoder: BM25Encoder, whole: bool) -> None:
    tokens = list(encoder.vocabulary.tokens)
    random.Random(2).shuffle(tokens)
    tokens = tokens if whole else [token for token in tokens if token != "beta3"]
    rows = [
        {token: float(weight) for token in tokens if (weight := row[encoder.vocabulary.id_of(token) or 0]) > 0}
        for row in encoder.encode_documents(list(TEXTS.values())).to_dense()
    ]
    vectors = SparseVectors.from_dicts(rows, tokens, list(TEXTS))
    SeismicIndex.build(vectors, vocabulary=tokens).save(tmp_path / "index")
    attach(tmp_path / "index", encoder)
    searcher = Searcher.open(tmp_path / "index")
    fresh = build_index(DOCUMENTS, tmp_path / "fresh", encoder=BM25Encoder())
    assert [each[:2] for each in found(searcher)] == [each[:2] for each in found(fresh)]
    assert list(searcher.vocabulary.tokens if searcher.vocabulary else ()) == tokens


def test_encoders_and_texts_that_do_not_match_are_refused(tmp_path: Path, encoder: BM25Encoder) -> None:
    build_index(DOCUMENTS, tmp_path / "index", encoder=encoder)
    before = open_generation(tmp_path / "index").number
    for other, said in (
        (BM25Encoder(), "not fitted"),
        (BM25Encoder().fit(["other words"]), "vectors of 2 components, but those of the index have"),
        (BM25Encoder().fit([text.replace("alpha", "omega") for text in TEXTS.values()]), "another vocabulary"),
        (encoder_from(lambda texts: np.ones((len(texts), 5), np.float32), dim=5), "5 components"),
    ):
        with pytest.raises(EncoderError, match=said):
            attach(tmp_path / "index", other)
    with pytest.raises(ParameterError, match="nothing to attach"):
        attach(tmp_path / "index")
    assert open_generation(tmp_path / "index").number == before


def test_pages_keep_the_ids_that_they_have_in_their_folder(tmp_path: Path, encoder: BM25Encoder) -> None:
    for name in TEXTS:
        page = tmp_path / "notes" / "sub" / f"{name}.txt"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(TEXTS[name])
    vectors = encoder.encode_documents(list(TEXTS.values())).with_ids([f"sub/{name}.txt" for name in TEXTS])
    SeismicIndex.build(vectors, vocabulary=encoder.vocabulary).save(tmp_path / "index")
    attach(tmp_path / "index", encoder, tmp_path / "notes")
    searcher = Searcher.open(tmp_path / "index")
    assert searcher.update(tmp_path / "notes" / "sub" / "d1.txt", dry_run=True)[:3] == (0, 1, 0)
