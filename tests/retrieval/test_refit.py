"""BM25 in an index that changes: its drift, and statistics renewed as a fresh build has them."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr import SparseVectors, build_index
from lsr.collections.collection import load_collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.load import load_encoder
from lsr.errors import EncoderError
from lsr.index.segments import merging
from lsr.index.segments.generation import TEXTS, open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.refit import drift, refit_index
from lsr.storage.strings import StringColumn
from tests.data import collection_path
from tests.index.samples import always_blocks

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "果园", "the"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
NAMES = st.sampled_from([f"d{number}" for number in range(12)])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.dictionaries(NAMES, TEXT, min_size=1, max_size=4)),
        st.tuples(st.just("delete"), st.lists(NAMES, min_size=1, max_size=4, unique=True)),
    ),
    max_size=4,
)


class Living:
    """An index with BM25, a segment for each change, and the texts that are in it."""

    def __init__(self, folder: Path, texts: dict[str, str], encoder: BM25Encoder) -> None:
        self.folder, self.texts, self.encoder = folder, dict(texts), encoder.fit(texts.values())
        with IndexWriter.create(folder) as writer:
            self._write(writer, texts)

    def update(self, texts: dict[str, str]) -> None:
        self.encoder = self.encoder.extended(texts.values())
        with IndexWriter.open(self.folder) as writer:
            self._write(writer, texts)
        self.texts = {**{name: text for name, text in self.texts.items() if name not in texts}, **texts}

    def delete(self, names: list[str]) -> None:
        with IndexWriter.open(self.folder) as writer:
            writer.delete(names)
            writer.commit()
        self.texts = {name: text for name, text in self.texts.items() if name not in names}

    def _write(self, writer: IndexWriter, texts: dict[str, str]) -> None:
        def add_texts(folder: Path) -> dict[str, Any]:
            StringColumn.write(folder, TEXTS, texts.values())
            return {}

        rows = self.encoder.encode_documents(list(texts.values())).with_ids(list(texts))
        path = writer.new_segment()
        SeismicIndex.build(rows).save(path, add_texts)
        writer.add_segment(path)
        writer.set_encoder(self.encoder.save, self.encoder.describe())
        writer.set_vocabulary(self.encoder.vocabulary)
        writer.commit(source="texts")


def encoder_of(folder: Path) -> BM25Encoder:
    kept = open_generation(folder).encoder_folder
    assert kept is not None
    encoder = load_encoder(kept)
    assert isinstance(encoder, BM25Encoder)
    return encoder


def assert_as_if_new(living: Living, rtol: float = 0) -> None:
    """All weights, those of queries, and texts are what they are in an index of the same texts that is built anew."""
    with TemporaryDirectory() as temporary:
        fresh = Living(Path(temporary) / "index", living.texts, BM25Encoder(living.encoder.k1, living.encoder.b))
        ours, theirs = SeismicIndex.open(living.folder), SeismicIndex.open(fresh.folder)
        assert encoder_of(living.folder).describe() == fresh.encoder.describe()
        assert np.array_equal(encoder_of(living.folder).idf, fresh.encoder.idf)
        assert ours.vocabulary == theirs.vocabulary == fresh.encoder.vocabulary
        assert (ours.dim, len(ours)) == (theirs.dim, len(theirs))
        for mine, its in zip(ours.iter_vectors(), theirs.iter_vectors(), strict=True):
            assert mine.ids == its.ids
            assert np.array_equal(mine.indices, its.indices)
            np.testing.assert_allclose(mine.values, its.values, rtol=rtol)
        texts = open_generation(living.folder).texts
        assert texts is not None
        assert list(texts) == list(living.texts.values())


@settings(max_examples=10)
@given(first=st.dictionaries(NAMES, TEXT, max_size=6), changes=CHANGES)
def test_a_refitted_index_is_one_built_anew(
    first: dict[str, str], changes: list[tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    living = Living(tmp_path_factory.mktemp("refit") / "index", {"first": "alpha beta", **first}, BM25Encoder())
    for kind, what in [*changes, ("update", {"last": "beta"})]:
        getattr(living, kind)(what)
    refit_index(living.folder)
    assert_as_if_new(living)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.data
def test_a_real_collection(tmp_path: Path, blocks: bool) -> None:
    collection = load_collection(collection_path("scifact", tmp_path))
    texts = {document.doc_id: document.full_text for document in islice(collection.documents(), 1200)}
    names = list(texts)
    with always_blocks() if blocks else nullcontext():
        living = Living(tmp_path / "index", {name: texts[name] for name in names[:700]}, BM25Encoder(1.2, 0.75))
        living.update({name: texts[name] for name in names[600:]})
        living.delete(names[:100])
        before = drift(open_generation(living.folder))
        assert before is not None
        assert (before.documents, before.fitted_documents, before.sampled) == (1100, 700, 1100)
        assert before.new_tokens > 1000
        assert before.idf_change > 0.1
        assert refit_index(living.folder) == before
    after = drift(open_generation(living.folder))
    assert after is not None
    assert (after.idf_change, after.new_tokens, after.average_length) == (0, 0, after.fitted_average_length)
    assert SeismicIndex.open(living.folder).inverted is not blocks
    assert_as_if_new(living, rtol=1e-4 if blocks else 0)


def test_by_way_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {f"d{number}": f"alpha word{number} word{number % 7} beta" for number in range(50)}
    living = Living(tmp_path / "index", texts, BM25Encoder())
    living.update({"new": "alpha omega omega"})
    monkeypatch.setattr(merging, "BUILD_BYTES", 1 << 40)
    refit_index(living.folder, memory=1 << 30)
    assert_as_if_new(living)


def test_indexes_without_bm25_are_refused(tmp_path: Path) -> None:
    SeismicIndex.build(SparseVectors.from_dense(np.eye(3))).save(tmp_path / "vectors")
    with pytest.raises(EncoderError, match="has no encoder, and only bm25"):
        refit_index(tmp_path / "vectors")
    living = Living(tmp_path / "b1", {"a": "alpha beta", "b": "beta"}, BM25Encoder(b=1))
    before = open_generation(living.folder)
    with pytest.raises(EncoderError, match="document lengths cannot be computed"):
        refit_index(living.folder)
    assert open_generation(living.folder).number == before.number
    assert SeismicIndex.open(living.folder).ids is not None
    living = Living(tmp_path / "left-out", {"a": "alpha beta"}, BM25Encoder())
    living.encoder.extended = lambda texts: living.encoder  # type: ignore[method-assign]
    living.update({"b": "beta gamma"})
    with pytest.raises(EncoderError, match="document 'b': .*words are missing"):
        refit_index(living.folder)
    assert drift(open_generation(living.folder)) is not None
    living.delete(["a", "b"])
    with pytest.raises(EncoderError, match="none of the 0 texts has a word"):
        refit_index(living.folder)


def test_passages_are_what_is_counted(tmp_path: Path) -> None:
    texts = {f"d{number}": f"alpha word{number}. " * (number + 3) for number in range(6)}
    documents = [{"id": name, "text": text} for name, text in texts.items()]
    searcher = build_index(documents[:4], tmp_path / "living", encoder="bm25", passages=8)
    searcher.add(documents[4:])
    searcher.delete("d0")
    searcher.commit()
    searcher.merge()  # waits for the one in the background, which has the lock
    behind = refit_index(tmp_path / "living")
    build_index(documents[1:], tmp_path / "fresh", encoder="bm25", passages=8)
    assert encoder_of(tmp_path / "living").describe() == encoder_of(tmp_path / "fresh").describe()
    assert behind.documents == len(SeismicIndex.open(tmp_path / "fresh")) > 6
