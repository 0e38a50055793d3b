"""Collections in each of their layouts, and what is said about broken ones."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lsr.collections.collection import load_collection, load_queries
from lsr.collections.sources import Document
from lsr.errors import CollectionError

CORPUS = [
    {"_id": "d1", "title": "Blood", "text": "pressure"},
    {"_id": "d2", "title": "", "text": "no title"},
    {"_id": "d3", "text": ""},
]
JSON_QUERIES = b'{"_id": 1, "text": "one"}\n{"_id": "2", "text": "two"}\n'
QUERIES = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}, {"_id": "q3", "text": "unjudged"}]


def jsonl(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def beir(folder: Path, splits: tuple[str, ...] = ("test",), packed: bool = False) -> Path:
    (folder / "qrels").mkdir(parents=True)
    for name, records in (("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES)):
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(jsonl(records).encode()))
        else:
            (folder / name).write_text(jsonl(records), encoding="utf-8")
    for number, split in enumerate(splits, start=1):
        (folder / "qrels" / f"{split}.tsv").write_text(
            f"query-id\tcorpus-id\tscore\nq1\td{number}\t1\nq2\td1\t0\n", encoding="utf-8"
        )
    return folder


def ms_marco(folder: Path, splits: tuple[str, ...] = ("dev.small",)) -> Path:
    folder.mkdir()
    (folder / "collection.tsv").write_text("7\tfirst passage\n8\tsecond\n9\t\n", encoding="utf-8")
    for split in splits:
        (folder / f"queries.{split}.tsv").write_text(f"1\tquery of {split}\n2\tunjudged\n", encoding="utf-8")
        (folder / f"qrels.{split}.tsv").write_text("1\t0\t8\t1\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_beir_folder(tmp_path: Path, packed: bool) -> None:
    collection = load_collection(beir(tmp_path / "blood", packed=packed))
    assert (collection.name, collection.splits, collection.split) == ("blood", ("test",), "test")
    assert list(collection.documents()) == [
        Document("d1", "Blood", "pressure"),
        Document("d2", "", "no title"),
        Document("d3", "", ""),
    ]
    assert [document.full_text for document in collection.documents()] == ["Blood pressure", "no title", ""]
    assert collection.count == 3
    assert collection.queries() == {"q1": "one", "q2": "two"}  # q3 has no judgment
    assert collection.qrels() == {"q1": {"d1": 1}, "q2": {"d1": 0}}


def test_relevant_documents_of_all_splits(tmp_path: Path) -> None:
    collection = load_collection(beir(tmp_path / "c", ("dev", "test", "train")), "dev")
    assert collection.relevant() == {"q1": ("d1", "d2", "d3")}  # q2 is judged with grade 0
    assert load_collection(beir(tmp_path / "none", splits=())).relevant() == {}
    folder = ms_marco(tmp_path / "marco")
    (folder / "qrels.tsv").write_text("1\t0\t9\t2\n1\t0\t8\t1\n", encoding="utf-8")
    assert load_collection(folder).relevant() == {"1": ("9", "8")}


def test_without_judgments_every_query_is_given(tmp_path: Path) -> None:
    collection = load_collection(beir(tmp_path / "c", splits=()))
    assert collection.splits == ()
    assert list(collection.queries()) == ["q1", "q2", "q3"]
    with pytest.raises(CollectionError, match="has no judgments"):
        collection.qrels()


@pytest.mark.parametrize(
    ("splits", "expected"),
    [(("dev", "test", "train"), "test"), (("dev", "train"), "dev"), (("dl19",), "dl19")],
)
def test_default_split(tmp_path: Path, splits: tuple[str, ...], expected: str) -> None:
    assert load_collection(beir(tmp_path / "c", splits)).split == expected


def test_a_split_by_name(tmp_path: Path) -> None:
    assert load_collection(beir(tmp_path / "c", ("dev", "test")), "dev").qrels()["q1"] == {"d1": 1}
    assert load_collection(tmp_path / "c", "test").qrels()["q1"] == {"d2": 1}


def test_without_an_obvious_split_documents_are_given_and_queries_are_not(tmp_path: Path) -> None:
    collection = load_collection(beir(tmp_path / "c", ("a", "b")))
    assert len(list(collection.documents())) == 3
    with pytest.raises(CollectionError, match=r"c: has several splits; give one of them \(--split, split=\): a, b"):
        collection.queries()


def test_an_unknown_split_lists_the_others(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"no split 'tset'; splits with judgments: dev, test"):
        load_collection(beir(tmp_path / "c", ("dev", "test")), "tset")


@pytest.mark.parametrize(
    ("name", "drop"), [("arguana", True), ("quora", True), ("my-quora-faq", False), ("quorate", False)]
)
def test_same_ids_are_dropped_of_the_collections_of_that_name(tmp_path: Path, name: str, drop: bool) -> None:
    folder = beir(tmp_path / name)
    assert load_collection(folder).drop_same_id is drop
    assert load_queries(folder).drop_same_id is drop
    for chosen in (True, False):
        assert load_collection(folder, drop_same_id=chosen).drop_same_id is chosen
        assert load_queries(folder, drop_same_id=chosen).drop_same_id is chosen
        assert load_queries(folder / "queries.jsonl", drop_same_id=chosen).drop_same_id is chosen
    (folder / "queries.tsv").write_text("q1\tone\n")
    assert load_queries(folder / "queries.jsonl").drop_same_id is drop  # a file of that collection's folder
    assert load_collection(f"{folder}/corpus.jsonl,{folder}/queries.tsv").drop_same_id is drop


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_line_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setenv("LSR_MAX_LINE", "100")
    packed = gzip.compress if suffix else bytes
    longest = b'{"_id": "1", "text": "%s"}' % (b"x" * 75) + b"\n"
    assert len(longest) == 100
    (tmp_path / f"corpus.jsonl{suffix}").write_bytes(packed(longest))
    assert len(list(load_collection(tmp_path).documents())) == 1
    (tmp_path / f"corpus.jsonl{suffix}").write_bytes(packed(longest + b" " + longest))
    with pytest.raises(CollectionError, match=rf"corpus.jsonl{suffix}: line 2 has more than 100 bytes"):
        list(load_collection(tmp_path).documents())


def test_ms_marco_folder(tmp_path: Path) -> None:
    collection = load_collection(ms_marco(tmp_path / "marco", ("dev.small", "train")), "dev.small")
    assert collection.splits == ("dev.small", "train")
    assert list(collection.documents()) == [
        Document("7", "", "first passage"),
        Document("8", "", "second"),
        Document("9", "", ""),
    ]
    assert collection.queries() == {"1": "query of dev.small"}
    assert collection.qrels() == {"1": {"8": 1}}


def test_ms_marco_files_by_name(tmp_path: Path) -> None:
    folder = ms_marco(tmp_path / "marco")
    files = [folder / "collection.tsv", folder / "queries.dev.small.tsv", folder / "qrels.dev.small.tsv"]
    collection = load_collection(",".join(map(str, files)))
    assert collection.queries() == {"1": "query of dev.small"}
    assert collection.qrels() == {"1": {"8": 1}}
    assert len(list(load_collection(files[0]).documents())) == 3
    assert list(load_collection(f"{files[0]},{files[1]}").queries()) == ["1", "2"]
    with pytest.raises(CollectionError, match="has no judgments"):
        load_collection(f"{files[0]},{files[1]}").qrels()
    with pytest.raises(CollectionError, match=r"gone\.tsv: there is no such file"):
        load_collection(f"{files[0]},{tmp_path / 'gone.tsv'}")


def test_files_of_queries(tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("1\tone\n2\ttwo\n", encoding="utf-8")
    (tmp_path / "q.jsonl.gz").write_bytes(gzip.compress(jsonl(QUERIES).encode()))
    assert load_queries(tmp_path / "q.tsv") == ({"1": "one", "2": "two"}, False)
    assert list(load_queries(tmp_path / "q.jsonl.gz").texts) == ["q1", "q2", "q3"]
    assert load_queries(beir(tmp_path / "arguana")) == ({"q1": "one", "q2": "two"}, True)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", ["topics.dl19-passage.txt", "queries.csv", "queries", "queries.tsv.gz", "q.jsonl"])
@pytest.mark.parametrize("content", [b"1\tone\n2\ttwo\n", b"\xef\xbb\xbf1\tone\r\n2\ttwo\r\n", JSON_QUERIES])
def test_files_are_known_by_what_is_in_them(tmp_path: Path, name: str, content: bytes, packed: bool) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if packed else content)
    (tmp_path / "qrels.msmarco.txt").write_text("1 0 2 1\n")
    assert load_queries(path).texts == {"1": "one", "2": "two"}
    collection = load_collection(f"{path},{path},{tmp_path / 'qrels.msmarco.txt'}")
    assert list(collection.documents()) == [Document("1", "", "one"), Document("2", "", "two")]
    assert (collection.queries(), collection.qrels()) == ({"1": "one"}, {"1": {"2": 1}})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("q1 0 d1 1\n", "a file of judgments"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t1\n", "a file of judgments"),
        ("q1 Q0 d1 1 3.5 lsr\n", "a run"),
        ('{"id": "d1", "vector": {"a": 1}}\n', "a file of vectors"),
    ],
)
def test_a_file_of_something_else_is_called_what_it_is(tmp_path: Path, content: str, what: str) -> None:
    path = beir(tmp_path / "c") / "qrels" / "other.txt"
    path.write_text(content)
    with pytest.raises(CollectionError, match=rf"other\.txt: is {what}, without texts; give "):
        load_collection(path)
    if what != "a file of vectors":
        with pytest.raises(CollectionError, match=rf"give the collection that it belongs to, {tmp_path}/c$"):
            load_collection(path)
        with pytest.raises(CollectionError, match=rf"other\.txt: is {what}; expected lines of id, tab and text"):
            load_queries(path)


def test_pyserini_s_names_in_a_folder(tmp_path: Path) -> None:
    folder = ms_marco(tmp_path / "m", ())
    (folder / "queries.dev.txt").write_text("1\tone\n")
    (folder / "qrels.dev.txt").write_text("1\t0\t8\t1\n")
    assert load_collection(folder, "dev").queries() == {"1": "one"}


def test_hidden_files_are_not_read(tmp_path: Path) -> None:
    apple_double = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"
    folders = beir(tmp_path / "b"), ms_marco(tmp_path / "m")
    for path in (*folders[0].rglob("*.*"), *folders[1].glob("*.*")):
        path.with_name(f"._{path.name}").write_bytes(apple_double)
    assert [load_collection(folder).splits for folder in folders] == [("test",), ("dev.small",)]
    assert load_collection(folders[0]).relevant() == {"q1": ("d1",)}


def test_ids_may_be_called_id(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": 7, "text": "a"}\n{"id": "8", "text": "b"}\n')
    assert [each.doc_id for each in load_collection(tmp_path).documents()] == ["7", "8"]


def test_streams_are_read_only_once(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"1\tone\n2\ttwo\n")
    os.close(writing)
    collection = load_collection(f"/dev/fd/{reading}")
    os.close(reading)
    for _ in range(2):
        assert list(collection.documents()) == [Document("1", "", "one"), Document("2", "", "two")]


def test_the_user_s_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = ms_marco(tmp_path / "m")
    assert load_collection("~/m").queries() == {"1": "query of dev.small"}
    assert load_queries("~/m/queries.dev.small.tsv").texts == {"1": "query of dev.small", "2": "unjudged"}
    files = ",".join(f"~/m/{name}" for name in ("collection.tsv", "queries.dev.small.tsv", "qrels.dev.small.tsv"))
    assert load_collection(files).qrels() == load_collection(folder).qrels()


def test_an_id_that_occurs_again_much_later(tmp_path: Path) -> None:
    lines = [f'{{"_id": "d{i}", "text": ""}}\n' for i in (*range(3000), 17)]
    (beir(tmp_path / "c") / "corpus.jsonl").write_text("".join(lines))
    documents = load_collection(tmp_path / "c").documents()
    with pytest.raises(CollectionError, match=r"corpus\.jsonl:3001: the id 'd17' occurred before"):
        list(documents)


def test_empty_documents_without_an_id_are_passed_over(tmp_path: Path) -> None:
    lines = ['{"_id": "1", "text": "a"}', "", '{"_id": "", "title": "", "text": ""}', '{"_id": "2", "text": ""}']
    (beir(tmp_path / "c") / "corpus.jsonl").write_text("\n".join(lines))
    assert [document.doc_id for document in load_collection(tmp_path / "c").documents()] == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"_id": "1", "text": "a"}\n{"_id": "2", "text"\n', r"corpus\.jsonl:2: not valid JSON"),
        (b'{"_id": "1", "text": "a"}\n\n["x"]\n', r"corpus\.jsonl:3: .* is not an object"),
        (b'{"_id": "1", "text": "a"}\n{"_id": "2", "text": "\xff"}\n', r"corpus\.jsonl:2: byte 23 .* not UTF-8"),
        (b'{"text": "a"}\n', r'corpus\.jsonl:1: the "_id" is missing'),
        (b'{"_id": "", "text": "a"}\n', r'corpus\.jsonl:1: the "_id" is empty'),
        (b'{"_id": null, "text": "a"}\n', r'corpus\.jsonl:1: "_id" is null'),
        (b'{"_id": "1", "text": "a"}\n{"_id": 1, "text": "b"}\n', r"corpus\.jsonl:2: the id '1' occurred before"),
        (b'{"_id": "1"}\n', r'corpus\.jsonl:1: "text" is missing'),
        (b'{"_id": "1", "text": 3}\n', r'corpus\.jsonl:1: "text" is 3'),
        (b'{"_id": "1", "title": [], "text": ""}\n', r'corpus\.jsonl:1: "title" is \[\]'),
        (b'{"_id": "1", "text": "\\ud800"}\n', r'corpus\.jsonl:1: "text": character 0, .* is a lone surrogate'),
        (b"[" * 100_000 + b"\n", r"corpus\.jsonl:1: not valid JSON"),
        (b"\n \n", r"c: has no documents"),
        (b"", r"c: has no documents"),
    ],
)
def test_a_broken_corpus_names_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    (beir(tmp_path / "c") / "corpus.jsonl").write_bytes(content)
    with pytest.raises(CollectionError, match=message) as caught:
        list(load_collection(tmp_path / "c").documents())
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (beir(tmp_path / "c") / "corpus.jsonl").write_text('{"_id": 1, "text": "a"}\n', encoding="utf-8-sig")
    assert list(load_collection(tmp_path / "c").documents()) == [Document("1", "", "a")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 one\n", r"collection\.tsv:1: 1 columns"),
        ("1\tone\n2\ttwo\tmore\n", r"collection\.tsv:2: 3 columns"),
        ("\tone\n", r"collection\.tsv:1: the id is missing"),
        ("1\tone\n1\ttwo\n", r"collection\.tsv:2: the id '1' occurred before"),
    ],
)
def test_a_broken_tsv_names_the_line(tmp_path: Path, content: str, message: str) -> None:
    (ms_marco(tmp_path / "m") / "collection.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(CollectionError, match=message):
        list(load_collection(tmp_path / "m").documents())


@pytest.mark.parametrize("keep", [3, 10, 40])
def test_a_damaged_gz_is_told(tmp_path: Path, keep: int) -> None:
    path = beir(tmp_path / "c", packed=True) / "corpus.jsonl.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CollectionError, match=r"corpus\.jsonl\.gz:1: the \.gz file is damaged or truncated"):
        list(load_collection(tmp_path / "c").documents())
    assert load_collection(tmp_path / "c").count is None


def test_judgments_and_queries_must_fit_together(tmp_path: Path) -> None:
    (beir(tmp_path / "c") / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq9\td1\t1\n")
    with pytest.raises(CollectionError, match=r"1 judged queries have no text, such as 'q9'"):
        load_collection(tmp_path / "c").queries()


def test_broken_judgments_name_the_line(tmp_path: Path) -> None:
    (beir(tmp_path / "c") / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\tyes\n")
    with pytest.raises(CollectionError, match=r"test\.tsv:2: the grade is 'yes'"):
        load_collection(tmp_path / "c").qrels()


def test_missing_and_empty_query_files(tmp_path: Path) -> None:
    (beir(tmp_path / "c") / "queries.jsonl").write_text("")
    with pytest.raises(CollectionError, match="has no queries"):
        load_collection(tmp_path / "c").queries()
    (tmp_path / "c" / "queries.jsonl").unlink()
    with pytest.raises(CollectionError, match=r"has no queries\.jsonl"):
        load_collection(tmp_path / "c").queries()
    (ms_marco(tmp_path / "m") / "queries.dev.small.tsv").unlink()
    with pytest.raises(CollectionError, match=r"no file of queries for dev\.small"):
        load_collection(tmp_path / "m").queries()


def test_paths_that_are_not_collections_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CollectionError, match="is a folder, not a collection; give a BEIR folder"):
        load_collection(tmp_path)
    with pytest.raises(CollectionError, match=r"notes\.txt:1: 1 columns; expected lines of id, tab and text"):
        load_collection(tmp_path / "notes.txt")
    with pytest.raises(CollectionError, match="there is no such file or folder"):
        load_collection(tmp_path / "missing")
    with pytest.raises(CollectionError, match="'beir/no-such' is neither a file, a folder nor an ir_datasets id; give"):
        load_collection("beir/no-such")


def test_a_relative_path_that_is_missing_names_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = f"; relative paths are looked for in the working directory, {tmp_path}"
    for spec in ("collection", "./collection", "c/corpus.jsonl", "beir/no-such", "nobody/nothing"):
        with pytest.raises(CollectionError) as raised:
            load_collection(spec)
        assert str(raised.value).endswith(said)
    for spec in ("collection", "c/corpus.jsonl"):
        with pytest.raises(CollectionError) as raised:
            load_collection(tmp_path / "elsewhere" / spec)
        assert "working directory" not in str(raised.value)


class TitledDoc(NamedTuple):
    doc_id: str
    text: str
    title: str


class ScrapedDoc(NamedTuple):
    doc_id: str
    url: str
    body: str

    def default_text(self) -> str:
        return self.body


class OfflineDataset:
    """A handler of ir_datasets with its items in memory; `failure` is raised once they are given."""

    def __init__(self, documents: list[TitledDoc | ScrapedDoc], failure: Exception | None = None) -> None:
        self._documents = documents
        self._failure = failure

    def docs_handler(self) -> OfflineDataset:
        return self

    def docs_iter(self) -> Iterator[TitledDoc | ScrapedDoc]:
        yield from self._documents
        if self._failure:
            raise self._failure

    def docs_metadata(self) -> dict[str, int]:
        return {"count": len(self._documents)}


class OfflineTopics:
    def __init__(self, split: str) -> None:
        self._split = split

    def queries_handler(self) -> OfflineTopics:
        return self

    def queries_iter(self) -> Iterator[object]:
        from ir_datasets.formats import GenericQuery

        yield from (GenericQuery("q1", f"query of {self._split}"), GenericQuery("q2", "unjudged"))

    def qrels_handler(self) -> OfflineTopics:
        return self

    def qrels_iter(self) -> Iterator[object]:
        from ir_datasets.formats import TrecQrel

        yield TrecQrel("q1", "d2", 2, "0")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """An ir_datasets with nothing but what the test registers."""
    import ir_datasets

    entries: dict[str, object] = {}
    monkeypatch.setattr(ir_datasets, "registry", entries)
    return entries


def test_ir_datasets_ids(registry: dict[str, object]) -> None:
    from ir_datasets.datasets.base import Dataset

    documents = OfflineDataset([TitledDoc("d1", "text", "Title"), ScrapedDoc("d2", "http://x", "body")])
    registry["quora"] = Dataset(documents)
    registry["quora/dev"] = Dataset(documents, OfflineTopics("dev"))
    registry["quora/train"] = Dataset(documents)

    for collection in (load_collection("quora/dev"), load_collection("quora"), load_collection("quora", "dev")):
        assert list(collection.documents()) == [Document("d1", "Title", "text"), Document("d2", "", "body")]
        assert collection.queries() == {"q1": "query of dev"}
        assert collection.qrels() == {"q1": {"d2": 2}}
        assert (collection.count, collection.drop_same_id) == (2, True)
    with pytest.raises(CollectionError, match="no split 'train'; splits with judgments: dev"):
        load_collection("quora", "train")
    with pytest.raises(CollectionError, match="no judgments for 'quora/train'"):
        load_collection("quora/train").qrels()


def test_failures_inside_ir_datasets_are_told_once(
    registry: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    import ir_datasets
    from ir_datasets.datasets.base import Dataset

    failing = OfflineDataset([TitledDoc("d1", "", "")], RuntimeError("all download\nsources failed"))
    registry["far-away"] = Dataset(failing)
    collection = load_collection("far-away")
    ir_datasets.log.easy().warn("Download failed: no route")
    with pytest.raises(CollectionError, match=r"documents of 'far-away' after 1 items \(RuntimeError: all download s"):
        list(collection.documents())
    assert capfd.readouterr() == ("", "")


def test_repeated_ids_of_ir_datasets(registry: dict[str, object]) -> None:
    from ir_datasets.datasets.base import Dataset

    registry["twice"] = Dataset(OfflineDataset([TitledDoc("d1", "", ""), TitledDoc("d1", "", "")]))
    with pytest.raises(CollectionError, match=r"documents of twice:2: the id 'd1' occurred before"):
        list(load_collection("twice").documents())


def test_a_file_of_a_collection_leads_to_its_folder(tmp_path: Path) -> None:
    folder = beir(tmp_path / "c")
    for file in (folder / "corpus.jsonl", folder / "queries.jsonl"):
        with pytest.raises(CollectionError, match=r"l: has no judgments; give the collection's folder, .*/c$"):
            load_collection(file).qrels()
        with pytest.raises(CollectionError, match=r"for the split 'test' or any other; give the collection's folder"):
            load_collection(file, "test")


def test_files_of_judgments_are_those_of_any_split(tmp_path: Path) -> None:
    folder = beir(tmp_path / "c")
    files = ",".join(str(folder / name) for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"))
    expected = load_collection(folder, "test")
    for split in (None, "train", "test"):
        collection = load_collection(files, split)
        assert collection.qrels() == expected.qrels()
        assert collection.queries() == expected.queries()
        assert collection.relevant() == expected.relevant()
