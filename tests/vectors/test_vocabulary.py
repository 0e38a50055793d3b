"""Token <-> component, and the file of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import StorageError, VectorsError
from lsr.vectors.vocabulary import Vocabulary

token_lists = st.lists(st.text(max_size=6), unique=True, max_size=12)


@given(token_lists)
def test_ids_and_tokens_are_inverse(tokens: list[str]) -> None:
    vocabulary = Vocabulary(tokens)
    assert len(vocabulary) == len(tokens)
    assert [vocabulary.token(i) for i in range(len(tokens))] == tokens
    assert [vocabulary.id_of(token) for token in tokens] == list(range(len(tokens)))
    assert vocabulary.id_of("a token that is longer than any drawn") is None


@given(token_lists, token_lists)
def test_hash_is_equal_for_equal_lists_only(first: list[str], second: list[str]) -> None:
    assert (Vocabulary(first).hash == Vocabulary(second).hash) == (first == second)
    assert (Vocabulary(first) == Vocabulary(second)) == (first == second)


@pytest.mark.parametrize(
    ("first", "second"),
    [(["ab", "c"], ["a", "bc"]), (["a", "b"], ["b", "a"]), ([], [""]), (["a\0b"], ["a", "b"]), (["é"], ["e\u0301"])],
)
def test_hash_tells_likely_confusions_apart(first: list[str], second: list[str]) -> None:
    assert Vocabulary(first).hash != Vocabulary(second).hash


def test_hash_is_stable() -> None:
    # SHA-256 of 01 00 00 00 00 00 00 00 61: files that were written must be recognized for ever.
    assert Vocabulary(["a"]).hash == "ae6121c88ba555f64c3d812123eb799d128015541f850c5e9bf1d54c08ad8481"


@given(token_lists)
def test_file_gives_the_same_vocabulary_back(tmp_path_factory: pytest.TempPathFactory, tokens: list[str]) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "deep" / "vocabulary.json"
    Vocabulary(tokens).write(path)
    assert Vocabulary.read(path).tokens == tuple(tokens)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["a", "b", "a"], "tokens 0 and 2 of the vocabulary are both 'a'"),
        (["a", 7], "token 1 of the vocabulary: 7 is of type int; give text"),
        (["a", None], "token 1 of the vocabulary: None is of type NoneType"),
        (["a", "\ud800"], "token 1 of the vocabulary: character 0, '\\ud800', is a lone surrogate"),
    ],
)
def test_bad_tokens_are_named(tokens: list[str], message: str) -> None:
    with pytest.raises(VectorsError) as error:
        Vocabulary(tokens)
    assert message in str(error.value)


def test_components_may_be_numpy_integers() -> None:
    assert Vocabulary({"b": np.int64(1), "a": np.uint16(0)}).tokens == ("a", "b")
    for wrong in ({"a": 0.0}, {"a": False}, {"a": np.bool_(False)}, {"a": 1}, {"a": 0, "b": np.int64(0)}, {"a": []}):
        with pytest.raises(VectorsError, match="the components of . tokens must be the numbers 0 to"):
            Vocabulary(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("component", [-1, 2])
def test_component_without_token(component: int) -> None:
    with pytest.raises(VectorsError, match=f"component {component} has no token; the vocabulary has 2"):
        Vocabulary(["a", "b"]).token(component)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or not JSON"),
        (b'{"format_version": 1, "tok', "truncated or not JSON"),
        (b"\xff\xfe\x00", "truncated or not JSON"),
        (b"[" * 100_000, "truncated or not JSON"),
        (b"[1, 2]", "no list of tokens"),
        (b'{"format_version": 1}', "no list of tokens"),
        (b'{"format_version": 2, "tokens": []}', "upgrade lsr"),
        (b'{"format_version": 1, "tokens": ["a", "a"]}', "both 'a'"),
        (b'{"format_version": 1, "tokens": ["a", 3]}', "token 1 of the vocabulary: 3 is of type int"),
        (b'{"format_version": 1, "tokens": ["\\ud800"]}', "lone surrogate"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(VectorsError) as error:
        Vocabulary.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a", "é", "日本"]).write(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(VectorsError):
            Vocabulary.read(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match="No such file"):
        Vocabulary.read(tmp_path / "none.json")


def test_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"vocabulary\.json: cannot be written"):
        Vocabulary(["a"]).write(tmp_path / "file" / "vocabulary.json")


def test_file_is_plain_json(tmp_path: Path) -> None:
    Vocabulary(["the", "##ing"]).write(tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))["tokens"] == ["the", "##ing"]


def test_from_a_tokenizer() -> None:
    assert Vocabulary({"c": 2, "a": 0, "b": 1}) == Vocabulary(["a", "b", "c"])
    with pytest.raises(VectorsError, match="the components of 2 tokens must be the numbers 0 to 1, each once"):
        Vocabulary({"a": 0, "b": 2})
    with pytest.raises(VectorsError, match="a single string, 'abc'; give a list"):
        Vocabulary("abc")


@given(token_lists, token_lists)
def test_extended(first: list[str], more: list[str]) -> None:
    vocabulary = Vocabulary(first)
    extended = vocabulary.extended([*more, *more])
    assert extended == Vocabulary([*first, *(token for token in more if token not in first)])
    assert (extended is vocabulary) == (not set(more) - set(first))
    assert vocabulary == Vocabulary(first)
    assert extended.tokens[: len(vocabulary)] == vocabulary.tokens
    with pytest.raises(VectorsError, match="surrogate"):
        vocabulary.extended(["\ud800"])
