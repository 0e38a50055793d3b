"""JSON lines: tokens, exact weights, and what is said about bad lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import VectorsError
from lsr.vectors.io import iter_vectors, read_vocabulary
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests.data import data_path
from tests.strategies import from_pairs

FIRST = '{"id": "q1", "vector": {"a": 1, "b": 2.5}}\n'


def test_tokens_are_numbered_by_first_appearance(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "q1", "vector": {"b": 1}}\n{"vector": {"a": 2, "b": 3}, "id": "q2", "text": "ignored"}\n')
    expected = from_pairs([[(0, 1.0)], [(0, 3.0), (1, 2.0)]], 2, ["q1", "q2"])
    assert SparseVectors.read(path) == expected
    assert list(iter_vectors(path, 1)) == [expected[0], expected[1]]
    assert read_vocabulary(path) == Vocabulary(["b", "a"])


def test_tokens_get_the_components_of_a_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text(FIRST)
    vocabulary = Vocabulary(["x", "b", "y", "a"])
    expected = from_pairs([[(3, 1.0), (1, 2.5)]], 4, ["q1"])
    assert SparseVectors.read(path, vocabulary) == expected
    assert list(iter_vectors(path, 5, vocabulary)) == [expected]


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + FIRST.encode() + b'\n  \r\n{"id": "q2", "vector": {}}')
    assert SparseVectors.read(path) == from_pairs([[(0, 1.0), (1, 2.5)], []], 2, ["q1", "q2"])


def test_a_token_that_occurs_twice_is_summed(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "q1", "vector": {"a": 1, "b": 2, "a": 3}}')
    assert SparseVectors.read(path) == from_pairs([[(0, 4.0), (1, 2.0)]], 2, ["q1"])


@given(st.floats(2.0**-149, 3.4028234663852886e38, width=32))
def test_every_weight_comes_back(tmp_path_factory: pytest.TempPathFactory, weight: float) -> None:
    path = tmp_path_factory.mktemp("weights") / "v.jsonl"
    vectors = from_pairs([[(0, weight)]], 1, ["q"])
    vectors.write(path, Vocabulary(["a"]))
    assert SparseVectors.read(path) == vectors


@pytest.mark.data
@pytest.mark.parametrize("name", ["msmarco-passage.dev-subset.splade-v3", "dl19-passage.unicoil.0shot"])
def test_real_queries(tmp_path: Path, name: str) -> None:
    path = data_path("query-vectors", f"{name}.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    vectors, vocabulary = SparseVectors.read(path), read_vocabulary(path)
    assert vocabulary is not None
    assert vectors.ids == [record["id"] for record in records]
    for i, record in enumerate(records):
        components, weights = vectors.row(i)
        tokens = map(vocabulary.token, components.tolist())
        assert dict(zip(tokens, weights.tolist(), strict=True)) == record["vector"]
    vectors.write(tmp_path / "again.jsonl", vocabulary)
    assert SparseVectors.read(tmp_path / "again.jsonl", vocabulary) == vectors


BAD_LINES = [
    (b'{"id": "q2", "vector": {"a": 1}', "not valid JSON (Expecting ',' delimiter"),
    (b"q2\t1.0", "not valid JSON"),
    (b"[" * 100_000, "not valid JSON"),
    (b'{"id": "q2", "vector": {"a": ' + b"9" * 5000 + b"}}", "not valid JSON"),
    (b'{"id": "q2", "vector": {"a\xff": 1}}', "byte 27 of the line is not UTF-8"),
    (b'["q2", {"a": 1}]', "not a JSON object"),
    (b'"q2"', "not a JSON object"),
    (b'{"vector": {"a": 1}}', "there is no id"),
    (b'{"id": null, "vector": {"a": 1}}', "there is no id"),
    (b'{"id": "", "vector": {"a": 1}}', "id is ''; each line needs an id, a text or a whole number"),
    (b'{"id": 7.5, "vector": {"a": 1}}', "id is 7.5; each line needs an id"),
    (b'{"id": true, "vector": {"a": 1}}', "id is True; each line needs an id"),
    (b'{"id": "\\ud800", "vector": {"a": 1}}', "id is '\\ud800'"),
    (b'{"id": "q1", "vector": {"a": 1}}', "duplicate id 'q1'"),
    (b'{"id": "q2"}', "has no vector object"),
    (b'{"id": "q2", "vector": [1, 2]}', "has no vector object"),
    (b'{"id": "q2", "vector": [["a", 1]]}', "has no vector object"),
    (b'{"id": "q2", "vector": {"a": -1}}', "weight of 'a' is -1; weights must be finite and non-negative"),
    (b'{"id": "q2", "vector": {"a": NaN}}', "weight of 'a' is nan"),
    (b'{"id": "q2", "vector": {"a": Infinity}}', "weight of 'a' is inf"),
    (b'{"id": "q2", "vector": {"a": 1e39}}', "weight of 'a' is 1e+39; weights must be finite and non-neg"),
    (b'{"id": "q2", "vector": {"a": 1' + b"0" * 400 + b"}}", "weight of 'a' is 1000"),
    (b'{"id": "q2", "vector": {"a": "1"}}', "weight of 'a' is 1; weights must be finite"),
    (b'{"id": "q2", "vector": {"a": null}}', "weight of 'a' is None"),
    (b'{"id": "q2", "vector": {"a": true}}', "weight of 'a' is True"),
    (b'{"id": "q2", "vector": {"a": {"b": 1}}}', "weight of 'a' is (('b', 1),)"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
@pytest.mark.parametrize("name", ["v.jsonl", "v.jsonl.gz"])
def test_bad_lines_are_named(tmp_path: Path, name: str, line: bytes, message: str) -> None:
    path = tmp_path / name
    content = FIRST.encode() + b"\n" + line + b'\n{"id": "q3", "vector": {}}\n'
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    for read in (SparseVectors.read, lambda path: list(iter_vectors(path, 1)), read_vocabulary):
        with pytest.raises(VectorsError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}:3: ")
        assert message in str(error.value)


def test_unknown_tokens_are_named(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text(FIRST + '{"id": "q2", "vector": {"c": 1}}')
    with pytest.raises(VectorsError, match=r"v\.jsonl:2: token 'c' is not in the vocabulary"):
        SparseVectors.read(path, Vocabulary(["a", "b"]))
    with pytest.raises(VectorsError, match=r"v\.jsonl:1: token 'a' is not in the vocabulary"):
        SparseVectors.read(path, Vocabulary([]))


def test_tokens_must_be_valid_unicode(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "q1", "vector": {"\\ud800": 1}}')
    for read in (SparseVectors.read, read_vocabulary, lambda path: list(iter_vectors(path))):
        with pytest.raises(VectorsError, match=r"v\.jsonl:1: token '\\ud800' has a lone surrogate"):
            read(path)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20], lambda data: data[:1] + data])
def test_damaged_gzip(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "v.jsonl.gz"
    path.write_bytes(damage(gzip.compress(FIRST.encode() * 1)))  # type: ignore[operator]
    with pytest.raises(VectorsError, match=r"v\.jsonl\.gz:"):
        SparseVectors.read(path)


@pytest.mark.parametrize("name", ["v.jsonl", "v.json", "v", "v.jsonl.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_anserini_s_vectors(tmp_path: Path, name: str, packed: bool) -> None:
    """JsonVectorCollection: whole numbers for ids and weights, weights of 0, and contents that are empty."""
    lines = b'{"id": 41, "contents": "", "vector": {"b": 3, "a": 0}}\n{"_id": 42, "vector": {"a": 2}}\n'
    (tmp_path / name).write_bytes(gzip.compress(lines) if packed else lines)
    vectors = SparseVectors.read(tmp_path / name, Vocabulary(["a", "b"]))
    assert vectors.ids == ["41", "42"]
    assert (vectors.indptr.tolist(), vectors.indices.tolist(), vectors.values.tolist()) == ([0, 1, 2], [1, 0], [3, 2])


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.touch()
    assert SparseVectors.read(path) == SparseVectors([0], [], [], 0, [])


def test_writing_needs_the_tokens(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match=r"v\.jsonl: a JSONL file has tokens and needs the vocabulary"):
        SparseVectors.empty(3).write(tmp_path / "v.jsonl")
    assert list(tmp_path.iterdir()) == []
