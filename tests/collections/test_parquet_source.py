"""Collections as Hugging Face's hub has them: NanoBEIR's layouts, written here and never downloaded."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsr.collections.collection import load_collection
from lsr.collections.documents import as_documents
from lsr.errors import CollectionError
from lsr.training.evaluation import read_development_set

NANO = "zeta-alpha-ai/NanoMade"
DOCUMENTS = {"_id": ["d1", "d2", "d3"], "text": ["alpha sea", "beta run", "gamma"]}
ASKED = {"_id": ["q1", "q2", "q3"], "text": ["sea alpha", "run", "not judged"]}
JUDGED = {"query-id": ["q1", "q2", "q2"], "corpus-id": ["d1", "d2", "d3"]}


def write(folder: Path, kind: str, split: str, columns: dict[str, list[Any]], part: str = "00000-of-00001") -> None:
    (folder / kind).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / kind / f"{split}-{part}.parquet")


def write_nano(folder: Path, split: str = "train") -> Path:
    """As zeta-alpha-ai/NanoSciFact is: one split of each kind, no titles, no grades."""
    for kind, columns in (("corpus", DOCUMENTS), ("queries", ASKED), ("qrels", JUDGED)):
        write(folder, kind, split, columns)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the hub has, a folder for each data set."""

    def snapshot_download(name: str, *, repo_type: str, allow_patterns: list[str]) -> str:
        folder = tmp_path / "hub" / name
        if not folder.is_dir():
            raise ConnectionError(f"no {repo_type} {name}")
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]
        assert all(any(fnmatch(file, pattern) for pattern in allow_patterns) for file in files)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return tmp_path / "hub"


def test_a_collection_of_nano_beir(hub: Path) -> None:
    folder = write_nano(hub / NANO)
    for place in (NANO, str(folder)):
        collection = load_collection(place)
        assert (collection.splits, collection.split, collection.count) == ((), None, 3)
        assert [(each.doc_id, each.title, each.text) for each in collection.documents()] == [
            ("d1", "", "alpha sea"), ("d2", "", "beta run"), ("d3", "", "gamma")
        ]  # fmt: skip
        assert collection.queries() == {"q1": "sea alpha", "q2": "run"}
        assert collection.qrels() == {"q1": {"d1": 1}, "q2": {"d2": 1, "d3": 1}}
        assert collection.every_query() == dict(zip(*ASKED.values(), strict=True))
        assert not collection.drop_same_id
    assert load_collection(NANO).corpus == load_collection(folder).corpus
    found = read_development_set(NANO, "dev")  # which it has no splits for
    assert (found.ids, found.qrels) == (["d1", "d2", "d3"], {"q1": {"d1": 1}, "q2": {"d2": 1, "d3": 1}})
    assert [each.doc_id for each in as_documents(folder).documents()] == ["d1", "d2", "d3"]


def test_one_of_several_in_a_repository(hub: Path) -> None:
    """As sentence-transformers/NanoBEIR-en is: a split for each collection."""
    folder = write_nano(hub / "own" / "Nano-en", "NanoMade")
    write(folder, "corpus", "NanoArguAna", {"_id": ["a1"], "text": ["x"]})
    write(folder, "queries", "NanoArguAna", {"_id": ["a1"], "text": ["x"]})
    write(folder, "qrels", "NanoArguAna", {"query-id": ["a1"], "corpus-id": ["a1"]})
    assert load_collection("own/Nano-en/NanoMade").queries() == {"q1": "sea alpha", "q2": "run"}
    arguana = load_collection("own/Nano-en/NanoArguAna")
    assert ([each.doc_id for each in arguana.documents()], arguana.drop_same_id) == (["a1"], True)
    with pytest.raises(CollectionError, match="has several collections; name one: own/Nano-en/NanoArguAna"):
        load_collection("own/Nano-en")
    with pytest.raises(CollectionError, match="has no corpus/NanoNQ; there are NanoArguAna, NanoMade"):
        load_collection("own/Nano-en/NanoNQ")


def test_splits_titles_and_grades(tmp_path: Path) -> None:
    half = {name: values[:2] for name, values in DOCUMENTS.items()}
    write(tmp_path, "corpus", "corpus", {**half, "title": ["A", None]}, "00000-of-00002")
    write(tmp_path, "corpus", "corpus", {"_id": ["d3"], "text": ["gamma"], "title": ["C"]}, "00001-of-00002")
    write(tmp_path, "queries", "queries", ASKED)
    write(tmp_path, "qrels", "dev", {**JUDGED, "score": [2, 0, 1]})
    write(tmp_path, "qrels", "test", {"query-id": ["q3"], "corpus-id": ["d3"], "score": [1.0]})
    collection = load_collection(tmp_path)
    assert (collection.splits, collection.split) == (("dev", "test"), "test")
    assert [each.full_text for each in collection.documents()] == ["A alpha sea", "beta run", "C gamma"]
    assert collection.queries() == {"q3": "not judged"}
    assert load_collection(tmp_path, "dev").qrels() == {"q1": {"d1": 2}, "q2": {"d2": 0, "d3": 1}}


@pytest.mark.parametrize(
    ("kind", "columns", "said"),
    [
        ("corpus", {"id": ["d1"], "text": ["x"]}, "corpus: has no column '_id'; there are id, text"),
        ("queries", {"_id": ["q1", None], "text": ["x", "y"]}, 'row 1: the "_id" is missing'),
        ("qrels", {"query-id": ["q1"]}, "qrels: has no column 'corpus-id'"),
        ("qrels", {**JUDGED, "score": [1, 1.5, 1]}, r"row 1: the grade is 1\.5"),
        ("qrels", {**JUDGED, "score": ["1", "x", "1"]}, "row 0: the grade is '?1"),
        ("qrels", {"query-id": ["q1", "q1"], "corpus-id": ["d1", "d1"], "score": [1, 2]}, "row 1: document 'd1' is"),
    ],
)
def test_errors_name_file_and_row(tmp_path: Path, kind: str, columns: dict[str, list[Any]], said: str) -> None:
    write(write_nano(tmp_path), kind, "train", columns)
    collection = load_collection(tmp_path)
    with pytest.raises(CollectionError, match=said):
        list(collection.documents())
        collection.queries()


def test_missing_repositories_are_reported(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"'no-such/id' is neither .* from Hugging Face \(ConnectionError: no"):
        load_collection("no-such/id")
    (hub / "own" / "empty").mkdir(parents=True)
    with pytest.raises(CollectionError, match=r"'own/empty': has no corpus/\*\.parquet"):
        load_collection("own/empty")
    write_nano(tmp_path / "damaged")
    (tmp_path / "damaged" / "corpus" / "train-00000-of-00001.parquet").write_bytes(b"PAR1" + bytes(9))
    with pytest.raises(CollectionError, match="train-00000-of-00001"):
        list(load_collection(tmp_path / "damaged").documents())
