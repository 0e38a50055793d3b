"""Dense vectors beside an index: built with it or later, interrupted, of other documents."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from lsr.collections.passages import PassageSplit
from lsr.collections.sources import Document
from lsr.encoders.dense.dense_collection import encode_dense_collection
from lsr.encoders.dense.dense_encoder import DenseEncoder, load_dense_encoder
from lsr.errors import CollectionError, EncoderError, IndexFormatError, ParameterError, StorageError
from lsr.index.dense import dense_index
from lsr.index.dense.dense_index import DenseIndex
from lsr.index.dense_config import DenseConfig
from lsr.index.segments.index_writer import IndexWriter
from lsr.retrieval.dense_building import add_dense, build_dense
from lsr.retrieval.dense_side import DENSE_FOLDER, Dense
from lsr.retrieval.indexing import build_index
from lsr.retrieval.searcher import Searcher
from lsr.storage.manifest import verify
from tests.retrieval.test_indexing import Doc, Listed, files

TEXTS = ["the sun is a star", "a cat sleeps", "stars shine at night", "dogs bark", "", "cats purr"]


@pytest.fixture(scope="module")
def minilm() -> DenseEncoder:
    return load_dense_encoder("minilm", device="cpu")


@pytest.fixture
def collection() -> Listed:
    return Listed([Doc(f"d{row}", text) for row, text in enumerate(TEXTS)])


def counted(encoder: DenseEncoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the encoder is asked for from now on."""
    asked: list[str] = []
    encode = encoder.encode_documents

    def counting(texts: list[str], batch_size: int | None = None) -> np.ndarray:
        asked.extend(texts)
        return encode(texts, batch_size)

    monkeypatch.setattr(encoder, "encode_documents", counting)
    return asked


def test_built_with_the_sparse_index(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    verify(tmp_path / "index")
    searcher = Searcher.open(tmp_path / "index")
    found = searcher.search("night sky", k=6, side="dense")
    scores = minilm.encode_documents(TEXTS) @ minilm.encode_queries(["night sky"])[0]
    assert [hit.row for hit in found] == np.argsort(-scores, kind="stable").tolist()
    assert [hit.score for hit in found] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-5)
    assert found[0].text == "stars shine at night"
    assert searcher.search("night sky", k=1, side="sparse")[0].doc_id == "d2"


def test_added_later_it_is_the_same(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "at-once", "bm25", dense=minilm)
    before = build_index(collection, tmp_path / "index", "bm25")
    assert add_dense(tmp_path / "index", minilm) == 2
    assert files(tmp_path / "index" / "segment-000002") == files(tmp_path / "at-once" / "segment-000001")
    assert before.dense is None
    searchers = [Searcher.open(tmp_path / name) for name in ("at-once", "index")]
    first, second = (searcher.search("night sky", k=6, side="dense") for searcher in searchers)
    assert (first.ids, first.scores) == (second.ids, second.scores)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at-once", "index"]


@pytest.mark.parametrize("title", [True, False])
def test_added_later_to_passages_it_is_the_same(minilm: DenseEncoder, tmp_path: Path, title: bool) -> None:
    sentences = [f"{text or 'Nothing'} in year {year}." for year in range(6) for text in TEXTS]
    documents = [
        Document(f"d{row}", name, " ".join(sentences[row : row + 20]))
        for row, name in enumerate(["Stars", "", "  Of cats and dogs ", "A title of very many words " * 3])
    ]
    split = PassageSplit(24, 4, title)
    build_index(documents, tmp_path / "at-once", "bm25", dense=minilm, passages=split)
    build_index(documents, tmp_path / "index", "bm25", passages=split)
    add_dense(tmp_path / "index", minilm, documents=documents)
    added, built = tmp_path / "index" / "segment-000002", tmp_path / "at-once" / "segment-000001"
    assert files(added) == files(built)
    with Searcher.open(tmp_path / "index") as searcher:  # and what is left of several segments
        searcher.add([Document("e0", "Moons", documents[0].text)])
        searcher.delete("d1")
        searcher.merge(everything=True)
        kept = searcher.dense
        assert kept is not None
        vectors = kept.index.gather(np.arange(len(searcher.index)))
    add_dense(tmp_path / "index", minilm, documents=[Document("e0", "", ""), *documents[2:], documents[0]])
    with Searcher.open(tmp_path / "index") as searcher:
        assert searcher.dense is not None
        np.testing.assert_allclose(searcher.dense.index.gather(np.arange(len(searcher.index))), vectors, atol=1e-5)


def test_added_documents_are_encoded_with_the_same_dense_encoder(
    collection: Listed, minilm: DenseEncoder, tmp_path: Path
) -> None:
    build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    searcher = Searcher.open(tmp_path / "index")
    searcher.search("night sky", side="dense")
    encoder = searcher.dense and searcher.dense.encoder
    searcher.add([{"id": "new", "text": "the moon lights the night sky"}])
    searcher.delete("d1")
    searcher.commit()
    for _ in range(2):
        found = searcher.search("night sky", k=9, side="dense")
        assert found.ids[0] == "new" and len(found) == 6 and "d1" not in found.ids
        assert searcher.search("night moon", k=1, interpolate="after").ids == ["new"]
        assert searcher.dense is not None and searcher.dense.encoder is encoder
        searcher.merge(everything=True)


def test_a_follower_opens_only_what_is_new(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    add_dense(tmp_path / "index", minilm, DenseConfig("hnsw"))
    following, writer = Searcher.open(tmp_path / "index", follow=True), Searcher.open(tmp_path / "index")
    open_ = DenseIndex.open
    opened = []

    def counting(folder: Path) -> DenseIndex:
        opened.append(folder.parent.name)
        return open_(folder)

    for row in range(4):
        with patch.object(DenseIndex, "open", counting):
            found = following.search("night sky", k=9, side="dense")
        assert len(found) == 6 + row
        again = Searcher.open(tmp_path / "index").search("night sky", k=9, side="dense")
        assert (found.ids, found.scores) == (again.ids, again.scores)
        with patch.object(IndexWriter, "merge_in_background", lambda self: None):
            writer.add([{"id": f"new{row}", "text": "the moon lights the night sky"}])
            writer.commit()
    assert len(opened) == len(set(opened)) == 4
    build_index(collection, tmp_path / "other", "bm25", dense=minilm)
    shutil.rmtree(tmp_path / "index")  # another index with segments of the same names
    (tmp_path / "other").rename(tmp_path / "index")
    add_dense(tmp_path / "index", minilm, DenseConfig("flat", "cosine"))
    assert following.search("night sky", k=9, side="dense").scores == pytest.approx(
        Searcher.open(tmp_path / "index").search("night sky", k=9, side="dense").scores
    )
    assert following.dense is not None and following.dense.index.config.kind == "flat"


@pytest.mark.parametrize("how", ["encoder", "metric", "none"])
def test_other_dense_vectors_are_refused_by_who_has_not_seen_them(
    collection: Listed, minilm: DenseEncoder, tmp_path: Path, how: str
) -> None:
    if how == "none":
        build_index(collection, tmp_path / "index", "bm25")
    else:
        build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    stale = Searcher.open(tmp_path / "index")
    other = load_dense_encoder("minilm", device="cpu", max_length=16) if how == "encoder" else minilm
    add_dense(tmp_path / "index", other, DenseConfig(metric="cosine" if how == "metric" else "inner-product"))
    with pytest.raises(StorageError, match="the dense vectors have changed; refresh the searcher"):
        stale.add([{"id": "new", "text": "the moon"}])
    assert stale.refresh() and stale.add([{"id": "new", "text": "the moon"}]) == 1
    stale.commit()
    stale.close()
    assert Searcher.open(tmp_path / "index").search("moon", side="dense")[0].doc_id == "new"


def test_one_kind_takes_the_place_of_another(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    add_dense(tmp_path / "index", minilm, DenseConfig("hnsw", "cosine"))
    segment = tmp_path / "index" / "segment-000002"
    assert DenseIndex.open(segment / DENSE_FOLDER).config == DenseConfig("hnsw", "cosine")
    assert {"dense/graph.faiss"} <= files(segment).keys() and "dense/vectors.npy" not in files(segment)
    assert not (tmp_path / "index" / "segment-000001").exists()


def test_rebuilding_without_dense_vectors_leaves_none(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    build_index(collection, tmp_path / "index", "bm25")
    assert Searcher.open(tmp_path / "index").dense is None


def test_interrupted_it_goes_on(
    collection: Listed, minilm: DenseEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(collection, tmp_path / "index", "bm25")
    before = files(tmp_path / "index")
    pairs = [(document.doc_id, document.full_text) for document in collection.texts]

    def cut_short() -> object:
        yield from pairs[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_dense_collection(minilm, cut_short(), tmp_path / "index.dense.encoding", rows_per_part=2)
    asked = counted(minilm, monkeypatch)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(dense_index, "write_dense", interrupted)
        add_dense(tmp_path / "index", minilm)
    assert asked == TEXTS[4:]
    assert files(tmp_path / "index") == before
    add_dense(tmp_path / "index", minilm)
    assert asked == TEXTS[4:]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    index = DenseIndex.open(tmp_path / "index" / "segment-000002" / DENSE_FOLDER)
    # batches of other sizes round otherwise
    np.testing.assert_allclose(index.gather(np.arange(6)), minilm.encode_documents(TEXTS), atol=1e-5)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([Doc("x", "other"), Doc("d1", "")], "document 1, 'x', is not in the index; give the collection"),
        ([Doc(f"d{row}", text) for row, text in enumerate([*TEXTS, "more"])], "document 7, 'd6', is not in the index"),
        ([Doc("d0", TEXTS[0])], "1 document instead of 6"),
    ],
)
def test_other_documents_are_refused_and_not_encoded(
    collection: Listed,
    minilm: DenseEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    documents: list[Doc],
    said: str,
) -> None:
    build_index(collection, tmp_path / "index", "bm25")
    asked = counted(minilm, monkeypatch)
    before = files(tmp_path / "index")
    with pytest.raises(CollectionError, match=said):
        add_dense(tmp_path / "index", minilm, documents=Listed(documents))
    assert asked == []
    assert files(tmp_path / "index") == before


def test_dense_vectors_of_other_documents_are_not_searched(
    collection: Listed, minilm: DenseEncoder, tmp_path: Path
) -> None:
    built = build_index(collection, tmp_path / "index", "bm25")
    for name, documents in (("order", collection.texts[::-1]), ("fewer", collection.texts[:3])):
        build_dense(Listed(documents), tmp_path / name, minilm)
        searcher = Searcher(built.index, built.encoder, built.texts, Dense.open(tmp_path / name))
        assert searcher.search("cat", k=1)[0].doc_id == "d1"
        with pytest.raises(ParameterError, match="build both from one collection"):
            searcher.search("cat", side="dense")


def test_damaged_dense_vectors_are_told(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    path = tmp_path / "index" / "segment-000001" / DENSE_FOLDER / "vectors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexFormatError, match=r"vectors\.npy: its checksum"):
        verify(tmp_path / "index")
    path.write_bytes(content[:-4])
    searcher = Searcher.open(tmp_path / "index")
    assert searcher.search("cat", k=1)[0].doc_id == "d1"  # what is sparse needs nothing of it
    with pytest.raises(IndexFormatError, match=r"vectors\.npy"):
        searcher.search("cat", interpolate="after")


def test_dense_vectors_without_an_encoder_are_no_matter_for_sparse_search(
    collection: Listed, minilm: DenseEncoder, tmp_path: Path
) -> None:
    built = build_index(collection, tmp_path / "index", "bm25")
    ids = [document.doc_id for document in collection.texts]
    DenseIndex.build(minilm.encode_documents(TEXTS), ids=ids).save(tmp_path / "dense")
    searcher = Searcher(built.index, built.encoder, built.texts, Dense.open(tmp_path / "dense"))
    assert searcher.search("cat", k=1)[0].doc_id == "d1"
    with pytest.raises(EncoderError, match="have no encoder"):
        searcher.search("cat", side="dense")


def test_other_files_in_the_folder_stay(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    gathered = tmp_path / "index.dense.encoding"
    gathered.mkdir()
    (gathered / "thesis.tex").write_text("mine")
    build_index(collection, tmp_path / "index", "bm25")
    assert (gathered / "thesis.tex").read_text() == "mine"
    with pytest.raises(StorageError, match="index.dense.encoding"):
        build_index(collection, tmp_path / "index", "bm25", dense=minilm)
    assert [path.name for path in gathered.iterdir()] == ["thesis.tex"]


def test_an_index_may_be_named_dense(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "project.dense.encoding").mkdir()
    build_index(collection, folder / "dense", "bm25", dense=minilm)
    assert Searcher.open(folder / "dense").search("night sky", k=1, side="dense")[0].doc_id == "d2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "project.dense.encoding"]
    assert [path.name for path in folder.iterdir()] == ["dense"]


def test_dense_vectors_need_text(collection: Listed, minilm: DenseEncoder, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="a dense index needs text"):
        build_index(tmp_path / "vectors.npz", tmp_path / "index", "bm25", dense=minilm)


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16", "max_length": 20}])
def test_an_encoder_saved_by_name_is_loaded_with_its_options(tmp_path: Path, options: dict[str, object]) -> None:
    saved = load_dense_encoder("minilm", device="cpu", **options)
    saved.save(tmp_path / "encoder")
    assert sum(path.stat().st_size for path in (tmp_path / "encoder").iterdir()) < 2000
    loaded = load_dense_encoder(tmp_path / "encoder", device="cpu")
    assert loaded.describe() == saved.describe()
    texts = ["one text", "another " * 40]
    assert np.array_equal(loaded.encode_documents(texts), saved.encode_documents(texts))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"kind": "dense"}', b'{"kind": "sparse", "name": "tiny"}'])
def test_a_damaged_reference_is_an_encoder_error(tmp_path: Path, minilm: DenseEncoder, content: bytes) -> None:
    minilm.save(tmp_path / "encoder")
    (tmp_path / "encoder" / "encoder.json").write_bytes(content)
    with pytest.raises(EncoderError, match="encoder"):
        load_dense_encoder(tmp_path / "encoder", device="cpu")
