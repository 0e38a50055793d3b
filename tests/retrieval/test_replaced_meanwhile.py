"""What is opened while another index takes its place is one of the two, whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

import lsr.encoders.load
import lsr.retrieval.snapshot_reader
from lsr import IndexFormatError, Searcher, StorageError, build_index
from lsr.index.segments.upgrade import upgrade_index
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.hits import Hits

FIRST, SECOND = ([f"{name}{number} is the number {number} of {name}" for number in range(20)] for name in "ab")


def replace(folder: Path) -> None:
    build_index(SECOND, folder, "bm25")


def texts_of(hits: Hits) -> set[str | None]:
    return {hit.text for hit in hits}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(FIRST, tmp_path / "index", "bm25")
    return tmp_path / "index"


def test_a_searcher_is_of_one_index(folder: Path) -> None:
    """The encoder takes a second to load, between the index and its texts; meanwhile the index is replaced."""
    replaced = []
    load: Callable[..., object] = lsr.encoders.load.load_encoder

    def slow(*arguments: object, **options: object) -> object:
        if not replaced:
            replaced.append(folder)
            replace(folder)
        return load(*arguments, **options)

    with patch.object(lsr.encoders.load, "load_encoder", slow):
        searcher = Searcher.open(folder)
    found = texts_of(searcher.search("number", 20))
    assert found == set(FIRST) or found == set(SECOND)
    assert searcher.texts is not None and found == set(searcher.texts)
    assert texts_of(Searcher.open(folder).search("number", 20)) == set(SECOND)


def test_a_searcher_goes_on_with_what_it_opened(folder: Path) -> None:
    searcher = Searcher.open(folder)
    replace(folder)
    assert texts_of(searcher.search("number", 20)) == set(FIRST)
    assert searcher.refresh()
    assert texts_of(searcher.search("number", 20)) == set(SECOND)
    assert not searcher.refresh()


def test_a_searcher_that_follows_sees_what_takes_the_place(folder: Path) -> None:
    searcher = Searcher.open(folder, follow=True)
    assert texts_of(searcher.search("number", 20)) == set(FIRST)
    replace(folder)
    assert texts_of(searcher.search("number", 20)) == set(SECOND)


def test_an_index_that_is_removed_and_built_again_has_an_encoder_of_its_own(folder: Path) -> None:
    """Its files have the names of those before."""
    follower, writer = Searcher.open(folder, follow=True), Searcher.open(folder)
    shutil.rmtree(folder)
    replace(folder)
    assert texts_of(follower.search("b1", 20)) == {SECOND[1]}
    with pytest.raises(StorageError, match="the encoder has changed"):
        writer.add(["a1 again"])
    assert follower.add([{"id": "new", "text": "b1 again"}]) == 1


def test_a_searcher_that_follows_tries_again(folder: Path) -> None:
    searcher = Searcher.open(folder, follow=True)
    replace(folder)
    with patch.object(lsr.retrieval.snapshot_reader, "open_generation", side_effect=IndexFormatError("no descriptor")):
        with pytest.raises(IndexFormatError, match="no descriptor"):
            searcher.search("number")
    assert texts_of(searcher.search("number", 20)) == set(SECOND)


def test_an_index_of_the_former_format_may_be_upgraded_under_a_reader(tmp_path: Path, folder: Path) -> None:
    SeismicIndex.open(folder).save(tmp_path / "former")
    former = SeismicIndex.open(tmp_path / "former")
    ids = list(former.ids or [])
    assert upgrade_index(tmp_path / "former") and former.ids is not None
    assert list(former.ids) == ids == list(SeismicIndex.open(tmp_path / "former").ids or [])
