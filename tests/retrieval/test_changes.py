"""A searcher that changes its index against a dict of id -> text, beside searchers that follow it and that do not."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from random import Random
from typing import cast

import numpy as np
import pytest

import lsr
from lsr.errors import CollectionError, IndexFormatError, LsrWarning, ParameterError, StorageError
from lsr.index.segments.commit import read_commit
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.tools.stored_presets import store_presets
from lsr.retrieval.changes import Changes
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snapshot_reader import SnapshotReader
from lsr.storage.manifest import sealed
from lsr.vectors.vocabulary import Vocabulary

WORDS = [f"word{number}" for number in range(12)]
IDS = [f"d{number}" for number in range(9)]


def contents(searcher: Searcher) -> dict[str, str]:
    return {hit.doc_id: hit.text or "" for word in WORDS for hit in searcher.search(word, k=len(IDS))}


def end_merges() -> None:
    for each in threading.enumerate():
        if each.name == "lsr commit":
            each.join()


@pytest.mark.parametrize("seed", range(2))
def test_a_searcher_does_as_a_dict_does(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    committed = {"d0": "word0"}
    searcher = lsr.build_index([{"id": "d0", "text": "word0"}], tmp_path / "index", encoder="bm25")
    following = Searcher.open(tmp_path / "index", follow=True)
    kept = [(Searcher.open(tmp_path / "index"), committed)]
    for _ in range(5):
        documents = dict(committed)
        for _ in range(random.randint(1, 3)):
            some = {each: " ".join(random.sample(WORDS, 2)) for each in random.sample(IDS, 2)}
            given = [{"id": each, "text": text} for each, text in some.items()]
            match random.choice(["update", "add", "delete"]):
                case "update":
                    assert sum(searcher.update(given)[:3]) == len(some)
                    documents |= some
                case "add" if some.keys() & documents.keys():
                    with pytest.raises(CollectionError, match="is already the id of a document in the index"):
                        searcher.add(given)
                case "add":
                    assert searcher.add(given) == len(some)
                    documents |= some
                case "delete":
                    assert searcher.delete(list(some)) == len(some.keys() & documents.keys())
                    documents = {each: text for each, text in documents.items() if each not in some}
        assert contents(searcher) == contents(following) == committed
        match random.choice(["commit", "rollback", "merge"]):
            case "rollback":
                searcher.rollback()
            case "commit":
                searcher.commit()
                committed = documents
            case "merge":
                searcher.merge(everything=True)
                committed = documents
        end_merges()
        kept.append((Searcher.open(tmp_path / "index"), committed))
        for reader, held in [(searcher, committed), (following, committed), *kept]:
            assert contents(reader) == held
            assert reader.documents == len(held)
    for reader, _ in kept:
        reader.refresh()
        assert contents(reader) == committed
        assert not reader.refresh()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    searcher = lsr.build_index(["first text"], tmp_path / "index", encoder="bm25")
    other = Searcher.open(tmp_path / "index")
    searcher.add([{"id": "a", "text": "second text"}])
    with pytest.raises(StorageError, match="another writer has the lock"):
        other.delete("0")
    searcher.rollback()
    with pytest.raises(CollectionError, match="is already the id of a document in the index"):
        searcher.add([{"id": "0", "text": "another text"}])
    assert other.delete(["0", "nothing"]) == 1
    assert other.commit() == 2
    assert searcher.documents == 1 and searcher.refresh() and searcher.documents == 0


def test_vectors_and_documents_are_distinguished(tmp_path: Path) -> None:
    searcher = lsr.build_index(np.array(["red wine", "red tea"]), tmp_path / "index", encoder="bm25")
    assert searcher.generation == 1 and searcher.update(np.array(["blue wine"])).changed == 1
    assert searcher.commit() == 2
    assert searcher.generation == 2 and searcher.search("blue")[0].doc_id == "0"
    with pytest.raises(ParameterError, match="these are vectors"):
        lsr.build_index(np.ones((2, 3), np.float32), tmp_path / "other", encoder="bm25")


def test_a_searcher_that_is_dropped_lets_others_write(tmp_path: Path) -> None:
    lsr.build_index(["first text"], tmp_path / "index", encoder="bm25").delete("0")
    gc.collect()
    other = Searcher.open(tmp_path / "index")
    assert other.delete("0") == 1


def test_a_searcher_that_follows_is_not_of_one_generation(tmp_path: Path) -> None:
    lsr.build_index(["a text"], tmp_path / "index", encoder="bm25")
    with pytest.raises(ParameterError, match="remove one of the two"):
        Searcher.open(tmp_path / "index", follow=True, generation=1)


def test_an_index_in_memory_has_no_commits() -> None:
    encoder = lsr.load_encoder("bm25").fit(["a text"])
    searcher = Searcher(lsr.SeismicIndex.build(encoder.encode_documents(["a text"])), encoder)
    for change in (searcher.commit, searcher.rollback, searcher.refresh, searcher.merge, lambda: searcher.delete("0")):
        with pytest.raises(ParameterError, match="in memory only"):
            change()


def test_a_commit_leaves_no_file_of_the_generation_before(tmp_path: Path) -> None:
    searcher = lsr.build_index([{"id": str(row), "text": f"text {row}"} for row in range(9)], tmp_path / "i", "bm25")
    searcher.search("text")[0].snippet()
    searcher.add([{"id": "a", "text": "another"}])
    searcher.commit()
    searcher.merge(everything=True)
    for kind in ("generation", "encoder", "vocabulary", "segment"):
        assert len([each for each in (tmp_path / "i").iterdir() if each.name.startswith(kind)]) == 1, kind


def test_a_rollback_leaves_nothing_beside_the_index(tmp_path: Path) -> None:
    searcher = lsr.build_index([{"id": "a", "text": "first text"}], tmp_path / "index", encoder="bm25")
    for number in range(3):
        searcher.add([{"id": f"b{number}", "text": "second text"}])
    with pytest.raises(CollectionError, match="is already the id of a document in the index"):
        searcher.add([*({"id": f"c{number}", "text": "text"} for number in range(2000)), {"id": "a", "text": "third"}])
    searcher.rollback()
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_closed_searcher_has_ended_its_merges(tmp_path: Path) -> None:
    with lsr.build_index(["one", "two", "three"], tmp_path / "index", encoder="bm25") as searcher:
        searcher.add([{"id": "d", "text": "four"}])
        committed = searcher.commit()  # which begins to merge what is small
    assert searcher.generation is not None and searcher.generation > committed
    assert len(list((tmp_path / "index").glob("segment-*"))) == 1
    IndexWriter.open(tmp_path / "index").close()


def test_types_of_columns_are_those_of_what_was_added_last(tmp_path: Path) -> None:
    searcher = lsr.build_index([{"id": "a", "text": "first text"}], tmp_path / "index", encoder="bm25")
    stale = Searcher.open(tmp_path / "index")
    searcher.add([{"id": "b", "text": "first", "year": 2020}])
    with pytest.raises(
        CollectionError, match="the column 'year' of the index has type int64, but a document has 'none'"
    ):
        searcher.add([{"id": "c", "text": "first", "year": "none"}])
    searcher.commit()
    end_merges()
    with pytest.raises(CollectionError, match="the column 'year' of the index has type int64"):
        stale.add([{"id": "c", "text": "first", "year": "none"}])
    stale.rollback()
    searcher.add([{"id": "c", "text": "first", "year": "2021"}])
    searcher.merge(everything=True)
    assert [hit.doc_id for hit in searcher.search("first", where="year > 2020")] == ["c"]


def test_a_merge_that_fails_lets_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise StorageError("no space left")

    searcher = lsr.build_index([{"id": "a", "text": "first text"}], tmp_path / "index", encoder="bm25")
    searcher.delete("a")
    monkeypatch.setattr(Changes, "merge", fail)
    with pytest.raises(StorageError, match="no space"):
        searcher.merge()
    assert Searcher.open(tmp_path / "index").delete("a") == 1


@pytest.mark.parametrize("entry", [{"tokens": "x"}, {"other": 1}, 5])
def test_damaged_passages_of_a_commit(tmp_path: Path, entry: object) -> None:
    lsr.build_index([{"id": "a", "text": "first text"}], tmp_path / "index", encoder="bm25")
    content = sealed({**read_commit(tmp_path / "index").as_json(), "passages": entry})
    for name in ("manifest.json", "generation-000001.json"):
        (tmp_path / "index" / name).write_bytes(content)
    with pytest.raises(IndexFormatError, match="the passages in manifest.json are damaged"):
        Searcher.open(tmp_path / "index").add(["second text"])


@pytest.mark.parametrize("calls", [0, 1])
def test_a_commit_after_a_vocabulary_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """The encoder's, or the index's, which is written after it."""
    remaining = [None] * calls
    write = Vocabulary.write

    def fail(vocabulary: Vocabulary, path: Path) -> None:
        if not remaining:
            raise StorageError("no space left")
        remaining.pop()
        write(vocabulary, path)

    searcher = lsr.build_index([{"id": "a", "text": "one"}, {"id": "b", "text": "one"}], tmp_path / "i", encoder="bm25")
    files = read_commit(tmp_path / "i").files
    assert searcher.delete("a") == 1
    with monkeypatch.context() as patch:
        patch.setattr(Vocabulary, "write", fail)
        with pytest.raises(StorageError, match="no space"):
            searcher.add([{"id": "c", "text": "another"}])
    searcher.commit()
    assert files.items() <= read_commit(tmp_path / "i").files.items()
    assert Searcher.open(tmp_path / "i").search("one").ids == ["b"]
    end_merges()
    searcher.add([{"id": "c", "text": "another"}])
    searcher.commit()
    assert Searcher.open(tmp_path / "i").search("another").ids == ["c"]


def test_a_commit_that_cannot_be_read_is_done_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*arguments: object, **others: object) -> None:
        raise IndexFormatError("damaged")

    searcher = lsr.build_index([{"id": "a", "text": "red"}], tmp_path / "index", encoder="bm25")
    searcher.add([{"id": "b", "text": "white"}])
    with monkeypatch.context() as patched, pytest.warns(LsrWarning, match=r"generation 2 is on disk, .*damaged"):
        patched.setattr(SnapshotReader, "read", unreadable)
        assert searcher.commit() == 2
    assert searcher.generation == 1 and searcher.is_behind
    assert searcher.refresh() and searcher.search("white").ids == ["b"] and not searcher.is_behind


def test_a_refresh_takes_up_what_was_tuned(tmp_path: Path) -> None:
    searcher = lsr.build_index([f"word{number % 7}" for number in range(50)], tmp_path / "index", encoder="bm25")
    queries = searcher.encoder.encode_queries([f"word{number % 7}" for number in range(30)])
    index = cast(SeismicIndex, Searcher.open(tmp_path / "index").index)
    store_presets(tmp_path / "index", index.tune(queries, [0.9]))
    assert searcher.is_behind and searcher.refresh()
    assert [*cast(SeismicIndex, searcher.index).presets] == [0.9]
