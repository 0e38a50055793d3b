"""Searchers, indexes and encoders between processes: by their folder or name where they have one, else by value."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from lsr import (
    BM25Encoder,
    DenseConfig,
    DenseIndex,
    EncoderError,
    ExactIndex,
    Searcher,
    SearchParams,
    SeismicIndex,
    StorageError,
    build_encoder,
    build_index,
    load_dense_encoder,
    load_encoder,
    store_presets,
)
from lsr.index.index_folder import FromFolder
from lsr.retrieval.dense_side import Dense
from tests import made_vectors
from tests.index.samples import always_blocks
from tests.processes import run_python
from tests.retrieval.test_indexing import Doc, Listed

T = TypeVar("T")
TEXTS = ["aspirin thins blood", "the heart pumps blood", "salt raises pressure"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    build_index(Listed([Doc(f"d{i}", text) for i, text in enumerate(TEXTS)]), folder / "bm25", "bm25")
    return folder / "bm25"


def again(thing: T, size: int) -> T:
    stored = pickle.dumps(thing)
    assert len(stored) < size
    read: T = pickle.loads(stored)
    return read


def test_a_pickle_of_an_opened_searcher_opens_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    searcher = Searcher.open("bm25")
    index = SeismicIndex.open("bm25")
    monkeypatch.chdir("/")
    assert again(searcher, 500).search("blood") == searcher.search("blood")
    assert again(Searcher.open(folder, encoder=searcher.encoder), 1500).search("salt") == searcher.search("salt")
    assert len(again(index, 500)) == 3
    index.tune(searcher.encoder.encode_queries(TEXTS * 10), [0.9])
    assert again(index, 5000).presets == index.presets != {}


def test_a_pickle_does_not_open_another_index_in_the_folder(tmp_path: Path) -> None:
    def build(*words: str) -> None:
        build_index(Listed([Doc(f"d{i}", text) for i, text in enumerate(words)]), tmp_path / "bm25", "bm25")

    build(*TEXTS)
    searcher, index = Searcher.open(tmp_path / "bm25"), SeismicIndex.open(tmp_path / "bm25")
    query = searcher.encoder.encode_queries(["salt"])
    stored = [pickle.dumps(each) for each in (searcher, index)]
    index.tune(searcher.encoder.encode_queries(TEXTS * 10), [0.9])
    store_presets(tmp_path / "bm25", index.tune(searcher.encoder.encode_queries(TEXTS * 10), [0.9]))
    assert pickle.loads(stored[0]).search("salt").ids == ["d2"]  # tuned, but the same
    build("salt", "pepper")
    for each in stored:
        found = pickle.loads(each)  # of the generation that is still open here
        assert (found.search("salt") if isinstance(found, Searcher) else found.search(query)[0]).ids == ["d2"]
    for copied in (copy.copy, copy.deepcopy):
        assert copied(index).search(query)[0].ids == ["d2"] and copied(searcher).search("salt").ids == ["d2"]
        assert copied(index) is not index and copied(index).engine is index.engine
        assert copied(index).presets == index.presets != {}
    assert pickle.loads(pickle.dumps(Searcher.open(tmp_path / "bm25"))).search("salt").ids == ["d0"]
    del searcher, index, found, copied
    build("salt")
    for each in stored:
        with pytest.raises(StorageError, match="generation 1 no longer exists"):
            pickle.loads(each)


def test_another_process_gets_a_searcher_and_sends_hits_back(folder: Path, tmp_path: Path) -> None:
    searcher = Searcher.open(folder)
    (tmp_path / "sent").write_bytes(pickle.dumps((searcher, searcher.encoder)))
    ended = run_python(
        "import sys, pickle, pathlib\n"
        "searcher, encoder = pickle.loads(pathlib.Path(sys.argv[1], 'sent').read_bytes())\n"
        "found = searcher.search('blood'), searcher.index.search(encoder.encode_queries(['blood']))\n"
        "pathlib.Path(sys.argv[1], 'found').write_bytes(pickle.dumps(found))",
        tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    hits, result = pickle.loads((tmp_path / "found").read_bytes())
    assert hits.to_dicts(explain=True) == searcher.search("blood").to_dicts(explain=True)
    assert result[0].ids == hits.ids


def test_searchers_in_memory_are_pickled_as_a_whole() -> None:
    encoder = BM25Encoder().fit(TEXTS)
    searcher = Searcher(ExactIndex.build(encoder.encode_documents(TEXTS)), encoder, TEXTS)
    read = again(searcher, 5000)
    assert read.search("heart blood").to_dicts(explain=True) == searcher.search("heart blood").to_dicts(explain=True)
    rows = np.random.default_rng(0).random((50, 8), np.float32)
    for config in (DenseConfig(), DenseConfig(kind="hnsw")):
        dense = DenseIndex.build(rows, config)
        np.testing.assert_array_equal(again(dense, 50_000).search(rows, 5).rows, dense.search(rows, 5).rows)


def test_arrays_of_an_index_are_as_read_only_as_before() -> None:
    """Numba would compile all kernels of a search again for others, which takes half a minute."""
    vectors = made_vectors.short_documents(2000)
    with always_blocks():
        seismic = SeismicIndex.build(vectors)
    for index in (seismic, ExactIndex.build(vectors)):
        read: FromFolder = again(index, 4_000_000)
        assert isinstance(read, SeismicIndex | ExactIndex)
        assert not any(array.flags.writeable for array in read.engine.arrays().values())
        for params in (SearchParams(), SearchParams(exact=True)):
            found, expected = read.search(vectors[:20], 5, params), index.search(vectors[:20], 5, params)
            np.testing.assert_array_equal(found.rows, expected.rows)
            np.testing.assert_array_equal(found.scores, expected.scores)


def test_encoders_go_by_name() -> None:
    sparse, dense = load_encoder("tiny", prune_documents="top-k:3"), load_dense_encoder("minilm", max_length=32)
    read = again(sparse, 1500)
    assert read.describe() == sparse.describe() and read.encode_documents(TEXTS) == sparse.encode_documents(TEXTS)
    assert again(dense, 500).describe() == dense.describe()
    with pytest.raises(EncoderError, match=r"call save_pretrained\(folder\), and load it from there"):
        pickle.dumps(build_encoder("unicoil", "tiny"))
    read.update_spec()
    with pytest.raises(EncoderError, match=r"was trained in this process; call save_pretrained\(folder\)"):
        pickle.dumps(read)


def test_dense_vectors_stay_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DenseIndex.build(np.eye(2, dtype=np.float32), ids=["a", "b"]).save(tmp_path / "dense")
    monkeypatch.chdir(tmp_path)
    dense = Dense.open("dense")
    monkeypatch.chdir("/")
    assert list(dense.index.ids or ()) == ["a", "b"]
