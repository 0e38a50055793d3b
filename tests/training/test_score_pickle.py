"""Pickles of scores: what Python writes is read, what would run is refused, and nothing else gets through."""

from __future__ import annotations

import gzip
import os
import pickle
import pickletools
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import CollectionError
from lsr.training.data.score_pickle import read_score_pickle

PROTOCOLS = (2, 3, 4, 5)
IDS = st.one_of(st.integers(-(1 << 70), 1 << 70), st.integers(0, 300), st.text(min_size=1, max_size=9))
SCORES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(1 << 40), 1 << 40))
FEW = {7: {1: 10.5, 2: -3.0}, 8: {300: 0.25}, 9: {70_000: 1.0, 5: 2.0, 6: 3.0}}


def as_read(scores: dict[Any, dict[Any, float]]) -> list[tuple[str, dict[str, float]]]:
    return [(str(query), {str(document): float(each) for document, each in of.items()}) for query, of in scores.items()]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "scores.pkl"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickles")


@given(
    st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=5), max_size=5),
    st.sampled_from(PROTOCOLS),
)
def test_pickles_written_by_python_are_read(folder: Path, scores: dict[Any, dict[Any, float]], protocol: int) -> None:
    path = written(folder, pickle.dumps(scores, protocol))
    assert list(read_score_pickle(path)) == as_read(scores)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("documents", [1, 2, 999, 1000, 1001, 2001])
def test_dicts_longer_than_pickle_writes_at_once(tmp_path: Path, protocol: int, documents: int) -> None:
    """Pickle writes 1,000 pairs at a time, and a pair that is left over by itself."""
    scores = {query: {f"d{document}": query + document / 7 for document in range(documents)} for query in range(3)}
    many = {query: {1: 0.5} for query in range(documents)}
    for each in (scores, many):
        packed = tmp_path / "scores.pkl.gz"
        packed.write_bytes(gzip.compress(pickle.dumps(each, protocol)))
        assert list(read_score_pickle(packed)) == as_read(each)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_texts_that_are_written_once_and_come_again(tmp_path: Path, protocol: int) -> None:
    names = [f"document {number}" for number in range(400)]
    scores = {f"query {query}": dict.fromkeys(names, query / 3) for query in range(5)}
    content = pickle.dumps(scores, protocol)
    assert any(instruction.name in ("BINGET", "LONG_BINGET") for instruction, _, _ in pickletools.genops(content))
    assert list(read_score_pickle(written(tmp_path, content))) == as_read(scores)


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


ATTACKS: dict[str, Callable[[Attack], Any]] = {
    "instead": lambda attack: attack,
    "as all scores of a query": lambda attack: {1: attack},
    "as a score": lambda attack: {1: {2: attack}},
    "as an id": lambda attack: {1: {(attack,): 1.0}},
    "after good ones": lambda attack: {**FEW, 10: {1: attack}},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pickle_that_would_run_a_command_is_refused(tmp_path: Path, attack: str, protocol: int) -> None:
    mark = tmp_path / "mark"
    content = pickle.dumps(ATTACKS[attack](Attack(mark)), protocol)
    with pytest.raises(CollectionError, match=r"scores\.pkl: .*; expected a pickle of \{query id") as told:
        list(read_score_pickle(written(tmp_path, content)))
    assert not mark.exists() and "\n" not in str(told.value)
    if protocol > 1 and attack == "after good ones":
        assert "after query '9'" in str(told.value)
    pickle.loads(content)
    assert mark.exists()  # it is an attack indeed


FOLLOWED = {"PROTO", "FRAME", "STOP", "MARK", "EMPTY_DICT", "SETITEM", "SETITEMS", "MEMOIZE", "BINPUT", "LONG_BINPUT",
            "BINGET", "LONG_BINGET", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
            "SHORT_BINUNICODE", "BINUNICODE8"}  # fmt: skip


@pytest.mark.parametrize(
    "instruction",
    [each for each in pickletools.opcodes if each.name not in FOLLOWED],
    ids=lambda each: each.name,
)
def test_no_other_instruction_is_followed(tmp_path: Path, instruction: pickletools.OpcodeInfo) -> None:
    for begin in (b"\x80\x04", b"\x80\x04}", b"\x80\x04}(K\x01}"):
        for argument in (b"", b"\0" * 16, b"os\nsystem\n", b"1\n", b"'a'\n", b"\x01\0\0\0\0\0\0\0a"):
            content = begin + instruction.code.encode("latin-1") + argument + b"."
            with pytest.raises(CollectionError):
                list(read_score_pickle(written(tmp_path, content)))


@given(st.integers(0, len(pickle.dumps(FEW)) - 1), st.integers(1, 255), st.booleans())
def test_damage_is_told(folder: Path, at: int, change: int, cut: bool) -> None:
    content = bytearray(pickle.dumps(FEW))
    content[at] ^= change
    path = written(folder, bytes(content[:at]) if cut else bytes(content))
    try:
        found = list(read_score_pickle(path))
    except CollectionError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert not cut
        assert all(isinstance(score, float) for _, scores in found for score in scores.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({1: {2: float("nan")}}, "a score that is not a finite number"),
        ({1: {2: 1 << 2000}}, "a score that is not a finite number|of 251 bytes|cannot be read"),
        ({1: {2: True}}, "the instruction NEWTRUE"),
        ({1: {2: np.float32(1.0)}}, "the instruction|in text"),
        ({1: {2: {3: 1.0}}}, "dicts instead of scores"),
        ({1: {2: "a"}}, "a score that is not a finite number"),
        ({1: {2: [1.0]}}, "the instruction EMPTY_LIST"),
        ({1: {1.5: 1.0}}, "an id that is neither a text nor a whole number"),
        ({1: {"": 1.0}}, "an id that is neither a text nor a whole number"),
        ({1: {"\ud800": 1.0}}, "an id"),
        ({1: {}}, "no dict of documents for query '1'"),
        ({1: 2.0}, "no dict of documents for query '1'"),
        ({"x" * 5000: {1: 1.0}}, "of 5000 bytes cannot be an id"),
        ([1, 2], "the instruction EMPTY_LIST"),
        (1.0, "not a dict of dicts"),
        (None, "the instruction NONE"),
    ],
    ids=str,
)  # fmt: skip
def test_other_content_is_told(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(CollectionError, match=said):
        list(read_score_pickle(written(tmp_path, pickle.dumps(content, 4))))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04X\xff\xff\xff\x7f",  # a text of two gigabytes
        b"\x80\x04}X\xff\xff\xff\x7fabc",
        b"\x80\x04}(" + b"K\x01" * 3_000_000,  # and ids without end
        b"",
        b"\x80\x04u.",
        b"\x80\x04\x94.",
        b"\x80\x04}h\x00.",
        b"no pickle",
    ],
    ids=len,
)
def test_little_is_held_whatever_a_pickle_says(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    tracemalloc.start()
    try:
        with pytest.raises(CollectionError):
            list(read_score_pickle(path))
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_one_query(tmp_path: Path) -> None:
    scores = {query: {query * 200 + number: number / 3 for number in range(200)} for query in range(1500)}
    path = written(tmp_path, pickle.dumps(scores, 4))
    del scores
    tracemalloc.start()
    try:
        assert sum(len(each) for _, each in read_score_pickle(path)) == 300_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20 < path.stat().st_size
    finally:
        tracemalloc.stop()
