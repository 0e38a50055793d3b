"""Vectors as others publish them: tokens repeated as often as they weigh, and folders of JSON lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.collections.collection import load_queries
from lsr.errors import VectorsError
from lsr.storage.recognize import LINES_FOLDER, TEXTS, VECTORS, is_output, kind_of_file, what_is
from lsr.vectors.io import is_vectors, iter_vectors, read_info, read_vocabulary
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests.data import data_path
from tests.strategies import from_pairs

QUERIES = "1048585\twhat what what is is\n2\tis is is is\n3\t\n"
EXPECTED = from_pairs([[(0, 3.0), (1, 2.0)], [(1, 4.0)], []], 2, ["1048585", "2", "3"])


@pytest.mark.parametrize("packed", [False, True])
def test_a_token_weighs_as_much_as_it_is_repeated(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "topics.tsv"
    path.write_bytes(gzip.compress(QUERIES.encode()) if packed else QUERIES.encode())
    assert is_vectors(str(path)) and kind_of_file(path) == VECTORS
    assert SparseVectors.read(path) == EXPECTED
    assert list(iter_vectors(path, 2)) == [EXPECTED[:2], EXPECTED[2:]]
    assert read_vocabulary(path) == Vocabulary(["what", "is"])
    info = read_info(path)
    assert (info.rows, info.nnz, info.dim) == (3, 3, 2)


def test_a_line_without_a_tab(tmp_path: Path) -> None:
    path = tmp_path / "topics.tsv"
    path.write_text(QUERIES + "4 is is\n")
    with pytest.raises(VectorsError, match=r"topics\.tsv:4: has no tab after the id"):
        SparseVectors.read(path)


@pytest.mark.parametrize(
    "text",
    [
        "1\twhat is the the weight of a blue whale\n2\tbye bye\n3\twho had had had enough of it\n",
        "1\tone\n2\ttwo\n",
        "1\tpizza pizza\n2\thow are you\n",
    ],
)
def test_texts_are_texts(tmp_path: Path, text: str) -> None:
    path = tmp_path / "queries.tsv"
    path.write_text(text)
    assert kind_of_file(path) == TEXTS and not is_vectors(str(path))
    assert len(load_queries(str(path)).texts) == text.count("\n")


@given(st.dictionaries(st.text("abcd#'é", min_size=1, max_size=4), st.integers(3, 300), min_size=1, max_size=20))
def test_whole_weights_come_back(tmp_path_factory: pytest.TempPathFactory, vector: dict[str, int]) -> None:
    path = tmp_path_factory.mktemp("topics") / "t"
    path.write_text("7\t" + " ".join(token for token, weight in vector.items() for _ in range(weight)) + "\n")
    vectors, vocabulary = SparseVectors.read(path), read_vocabulary(path)
    assert vocabulary is not None
    assert dict(zip(vocabulary.tokens, vectors.to_dense()[0].tolist(), strict=True)) == vector


@pytest.mark.data
def test_published_queries_as_pseudo_queries(tmp_path: Path) -> None:
    """Those of Anserini's authors, once as they publish them, once as token and weight."""
    source = data_path("query-vectors", "dl19-passage.splade-v3.jsonl.gz")
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    path = tmp_path / "topics.tsv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for record in records:
            tokens = [token for token, weight in record["vector"].items() for _ in range(weight)]
            file.write(f"{record['id']}\t{' '.join(tokens)}\n")
    assert is_vectors(str(path))
    vocabulary = read_vocabulary(source)
    assert SparseVectors.read(path, vocabulary) == SparseVectors.read(source)


def test_topics_have_a_qid(tmp_path: Path) -> None:
    path = tmp_path / "topics.jsonl"
    path.write_text('{"qid": 1048585, "vector": {"what": 46}}\n')
    assert is_vectors(str(path)) and SparseVectors.read(path) == from_pairs([[(0, 46.0)]], 1, ["1048585"])


def test_a_folder_of_json_lines(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = [f'{{"id": {number}, "contents": "", "vector": {{"t{number}": 2, "all": 1}}}}\n' for number in range(6)]
    (folder / "docs01.jsonl.gz").write_bytes(gzip.compress("".join(lines[3:5]).encode()))
    (folder / "docs00.json").write_text("".join(lines[:3]))
    (folder / "docs02.jsonl").write_text(lines[5])
    (folder / "README.md").write_text("Not vectors.")
    (folder / ".docs03.jsonl").write_text("neither")
    assert what_is(folder) == LINES_FOLDER and is_vectors(str(folder))
    assert not is_output(folder)  # which would be replaced
    vectors = SparseVectors.read(folder)
    assert vectors.ids == list("012345") and vectors.dim == 7
    assert [batch.ids for batch in iter_vectors(folder, 4)] == [list("0123"), list("45")]
    assert SparseVectors.read(folder, read_vocabulary(folder)) == vectors
    (folder / "docs03.jsonl").write_text(lines[0])
    with pytest.raises(VectorsError, match=r"docs03\.jsonl:1: duplicate id '0'"):
        SparseVectors.read(folder)
    (folder / "docs03.jsonl").write_text('{"id": "9", "text": "a text"}')
    with pytest.raises(VectorsError, match=r"docs03\.jsonl:1: has no vector object"):
        SparseVectors.read(folder)
