"""as_documents: every source gives the documents and types that others find in it, and the same in every pass."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import random
import shlex
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.collections.documents import as_documents
from lsr.collections.sources import Document
from lsr.errors import CollectionError, LsrError, LsrWarning
from tests.collections.made_sources import DAY, NESTED, TABLE, pdf, write_sources

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
TYPES = {
    "year": pa.int64(),
    "price": pa.float64(),
    "sold": pa.bool_(),
    "day": pa.date32(),
    "seen": pa.timestamp("us"),
    "zip": pa.string(),
}


def read(source: Any, **columns: str) -> list[Document]:
    documents = as_documents(source, **columns)
    found = list(documents.documents())
    assert list(documents.documents()) == found
    assert documents.count in (None, len(found))
    return found


def expected(table: pa.Table) -> list[Document]:
    return [
        Document(row.pop("id"), row.pop("title") or "", row.pop("text"), row) for row in map(dict, table.to_pylist())
    ]


def plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def types_of(source: Any) -> dict[str, pa.DataType]:
    schema = as_documents(source).metadata_schema  # type: ignore[attr-defined]
    return {field.name: plain(field.type) for field in schema}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_sources(folder)
    return folder


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.csv.gz"])
def test_delimited_files_have_the_types_that_were_written(files: Path, name: str) -> None:
    assert read(files / name) == expected(TABLE)
    assert types_of(files / name) == TYPES


@pytest.mark.parametrize("name", ["d.parquet", "d.arrow", "stream.arrow"])
def test_arrow_files_keep_every_type(files: Path, name: str) -> None:
    assert read(files / name) == expected(NESTED)
    assert types_of(files / name) == {
        **TYPES,
        "tags": NESTED.schema.field("tags").type,
        "of": NESTED.schema.field("of").type,
    }


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz"])
def test_lines_of_json(files: Path, name: str) -> None:
    assert read(files / name) == expected(TABLE.select(["id", "title", "text", "price", "zip"]))


@pytest.mark.parametrize(
    "source",
    [
        *(TABLE, TABLE.to_reader(max_chunksize=1), TABLE.to_batches()[0], TABLE.to_pandas(), pl.from_arrow(TABLE)),
        TABLE.set_column(0, "id", TABLE.column("id").dictionary_encode()),
    ],
    ids=lambda source: type(source).__name__,
)
def test_tables_in_memory(source: Any) -> None:
    documents = as_documents(source)
    found = list(documents.documents())
    assert [each[:3] for each in found] == [each[:3] for each in expected(TABLE)]
    if not isinstance(source, pd.DataFrame):  # which has no integers that are missing
        assert found == expected(TABLE)
        assert {field.name: plain(field.type) for field in documents.metadata_schema} == TYPES  # type: ignore[attr-defined]
    assert list(documents.documents()) == found or isinstance(source, pd.DataFrame)  # where nan is not nan


def test_hugging_face_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    dataset = datasets.Dataset(NESTED)
    dataset.save_to_disk(tmp_path / "d", num_shards=2)
    datasets.DatasetDict({"train": dataset, "test": dataset}).save_to_disk(tmp_path / "all")
    for source in (dataset, tmp_path / "d", tmp_path / "all" / "test", datasets.load_from_disk(tmp_path / "d")):
        assert read(source) == expected(NESTED)
        assert types_of(source)["seen"] == pa.timestamp("us")
    assert read(dataset.select([2, 0])) == [expected(NESTED)[row] for row in (2, 0)]
    for several in (tmp_path / "all", datasets.DatasetDict({"train": dataset})):
        with pytest.raises(CollectionError, match="train"):
            as_documents(several)


def test_a_folder_of_parquet_files_of_which_some_lack_columns(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 1), tmp_path / "b.parquet")
    pq.write_table(TABLE.slice(1, 2).drop_columns(["price"]), tmp_path / "c.parquet")
    first, *others = expected(TABLE)
    assert read(tmp_path) == [first, *(each._replace(metadata={**each.metadata, "price": None}) for each in others)]
    pq.write_table(pa.table({"id": ["x"], "text": ["y"], "year": ["two"]}), tmp_path / "d.parquet")
    with pytest.raises(CollectionError, match=r"d.parquet: the column 'year' has type string, but type int64"):
        list(as_documents(tmp_path).documents())


def test_python_objects() -> None:
    assert read(["x", "y"]) == [Document("0", "", "x"), Document("1", "", "y")]
    assert read(pd.Series(["x"])) == read(np.array(["x"])) == read(("x",)) == [Document("0", "", "x")]
    whole = Document("d", "t", "x", {"year": 2020})
    assert read([whole, {"_id": 7, "Body": "b", "Headline": None, "n": 1}]) == [whole, Document("7", "", "b", {"n": 1})]
    rows = [{"text": "x", "a": 1, "empty": {}}, {"text": "y", "a": "z"}]
    assert read(rows) == [Document("0", "", "x", {"a": 1}), Document("1", "", "y", {"a": "z"})]
    assert read([{"k": 3, "answer": "x", "q": "t"}], id="k", text="answer", title="q") == [Document("3", "t", "x")]
    collection = as_documents([whole])
    assert as_documents(collection) is collection


def test_generators_are_kept_with_one_type_a_column() -> None:
    rows = [{"id": "a", "text": "x", "n": 1, "day": DAY}, {"id": "b", "text": "y", "n": 2.5, "tags": ["u"]}]
    documents = as_documents(iter(rows))
    assert documents.count is None
    found = list(documents.documents())
    assert found[0] == Document("a", "", "x", {"n": 1.0, "day": DAY, "tags": None})
    assert found[1] == Document("b", "", "y", {"n": 2.5, "day": None, "tags": ["u"]})
    assert list(documents.documents()) == found
    assert documents.count == 2
    assert [*map(str, documents.metadata_schema.types)] == ["double", "date32[day]", "list<item: string>"]  # type: ignore[attr-defined]


def test_a_generator_is_streamed() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for row in range(5000):
            yield {"id": row, "text": f"{row:04} " * 400, "n": row}

    tracemalloc.start()
    documents = as_documents(rows())
    for _ in range(2):
        assert sum(len(document.text) for document in documents.documents()) == 10_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "a.md").write_text("# Tides\n\nThe *sea*\nrises.\n\n## Night\n\n- one\n- two\n```\nx = 1\ny = 2\n```\n")
    (docs / "sub" / "b.HTML").write_text(
        "<html><head><title>Salt &amp; sea</title><style>p {}</style></head><body><nav>Home</nav><main>"
        "<h1>Salt &amp; sea</h1><p>un<b>bold</b>ed<br>line<script>no()</script><table><tr><td>1</td><td>2</td></tr>"
    )
    (docs / "z.txt").write_bytes(b"\xef\xbb\xbfplain  text\n")
    (docs / "utf16.txt").write_text("wide", encoding="utf-16")
    (docs / "latin.html").write_bytes('<meta charset="iso-8859-1"><p>caf\u00e9'.encode("latin-1"))
    (docs / "p.pdf").write_bytes(pdf("Hello tides", "Of a PDF"))
    (docs / ".hidden.md").write_text("no")
    (docs / "image.png").write_bytes(b"\x89PNG")
    (docs / "sub" / "loop").symlink_to("..")
    os.utime(docs / "a.md", (1_000_000_000.5, 1_000_000_000.5))
    monkeypatch.chdir(tmp_path)
    found = {document.doc_id: document for document in read("docs")}
    assert list(found) == ["a.md", "latin.html", "p.pdf", "sub/b.HTML", "utf16.txt", "z.txt"]
    modified = dt.datetime(2001, 9, 9, 1, 46, 40, 500_000)
    assert found["a.md"] == Document(
        "a.md",
        "Tides",
        "The sea rises.\n\nNight\n\none\ntwo\n\nx = 1\ny = 2",
        {"path": "docs/a.md", "modified": modified},
    )
    assert found["sub/b.HTML"][:3] == ("sub/b.HTML", "Salt & sea", "unbolded\nline\n\n1 2")
    assert found["latin.html"].text == "café"
    assert found["p.pdf"][1:3] == ("Of a PDF", "Hello tides")
    assert [found[name][1:3] for name in ("z.txt", "utf16.txt")] == [("z", "plain  text"), ("utf16", "wide")]
    assert [each.doc_id for each in read("docs/**/*.[mH]*")] == ["a.md", "sub/b.HTML"]
    assert [each.doc_id for each in read([Path("docs/sub/b.HTML"), Path("docs/a.md")])] == ["a.md", "sub/b.HTML"]
    assert [each.metadata["path"] for each in read(str(docs / "a.md"))] == [str(docs / "a.md")]


def test_front_matter(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "---\ntitle: 'Of the sea'\nyear: 2020\nprice: 1.5\ndraft: false\nday: 2024-02-29\ntags: [x, \"y z\"]\n"
        "authors:\n  - A\n  - B\nnested:\n  key: value\ncode: 007\nanchor: &a 1\nnote: a # b\n---\n# Heading\n\ntext\n"
    )
    (document,) = read(tmp_path / "a.md")
    assert document[1:3] == ("Of the sea", "Heading\n\ntext")
    del document.metadata["path"], document.metadata["modified"]  # type: ignore[attr-defined]
    assert document.metadata == {
        "year": 2020,
        "price": 1.5,
        "draft": False,
        "day": DAY,
        "tags": ["x", "y z"],
        "authors": ["A", "B"],
        "code": "007",
        "note": "a",
    }


def test_several_sources(files: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("body,n\none,1\ntwo,2\n")
    (tmp_path / "y.jsonl").write_text('{"text": "three", "n": 3}\n')
    (tmp_path / "z.txt").write_text("page")
    paths = sorted(tmp_path.iterdir())
    for source in (paths, str(tmp_path / "*")):
        found = read(source)
        assert [each.doc_id for each in found] == ["x.csv:0", "x.csv:1", "y.jsonl:0", "z.txt"]
        assert [each.metadata.get("n") for each in found] == [1, 2, 3, None]
    (tmp_path / "e.jsonl").write_text('{"id": "a", "text": "x"}\n')
    (tmp_path / "d.csv").write_bytes((files / "d.csv").read_bytes())
    with pytest.raises(CollectionError, match=r"e\.jsonl:1: the id 'a' occurred before, at .*d\.csv:3; ids"):
        read([tmp_path / "e.jsonl", tmp_path / "d.csv"])


def test_collections_keep_the_rest_of_their_columns(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "1", "title": "t", "text": "x", "metadata": {"url": "u"}, "year": 2020}\n'
        '{"_id": "2", "text": "y", "metadata": {}}\n'
    )
    assert read(tmp_path) == [
        Document("1", "t", "x", {"metadata": {"url": "u"}, "year": 2020}),
        Document("2", "", "y"),
    ]
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "collection.tsv").write_text('1\t"a" b\n2\tc\n')
    for source in (tmp_path / "m", tmp_path / "m" / "collection.tsv"):
        assert read(source) == [Document("1", "", '"a" b'), Document("2", "", "c")]


def test_tabs_without_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"Hello" he said\n2\t"\n')
    assert read(tmp_path / "a.tsv") == [Document("1", "", '"Hello" he said'), Document("2", "", '"')]


def test_other_delimiters(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('\ufeffid;text;n\r\n1;"a;b";2\r\n\r\n2;"c\r\nd";\r\n')
    assert read(tmp_path / "a.csv") == [Document("1", "", "a;b", {"n": 2}), Document("2", "", "c\r\nd", {"n": None})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,text\n1,x\n2\n", r"a\.csv:3: 1 cells, but the first row has 2"),
        ("a.csv", 'id,text\n1,"x"y\n', r"a\.csv:2: the row cannot be read"),
        ("a.csv", 'id,text\n1,"x\n', r"a\.csv:2: the row cannot be read"),
        ("a.csv", "id,id,text\n", r"a\.csv:1: two columns have the name 'id'"),
        ("a.csv", "id,answer\n1,x\n", r"a\.csv: no column has .* --text NAME, .* its columns are 'id', 'answer'"),
        ("a.csv", "id,text\n,x\n", r'a\.csv:2: the "id" is missing'),
        ("a.csv", "id,text\n1,x\n1,y\n", r"a\.csv:3: the id '1' occurred before, at .*a\.csv:2"),
        ("a.csv", "id,text\n", "has no documents"),
        ("a.csv", b"id,text\n1,caf\xe9\n", r"a\.csv:2: byte 6 of the line is not UTF-8"),
        ("a.jsonl", '{"id": 1, "text": "x"}\n{"text": "y"}\n', r'a\.jsonl:2: the "_id" is missing'),
        ("a.jsonl", '{"id": 1, "text": 5}\n', r'a\.jsonl:1: "text" is 5; it must be a string'),
        ("a.jsonl", '{"id": 1, "text": "x", "m": {"n": "\\ud800"}}\n', r'a\.jsonl:1: "m": .* is a lone surrogate'),
        ("a.jsonl", '[{"id": 1}]', "is a list in JSON; write one object per line"),
        ("a.json", '[{"id": 1}]', "is a list in JSON; write one object per line"),
        ("a.parquet", b"PAR1PAR1", r"a\.parquet: cannot be read, or is damaged"),
        ("a.md", b"caf\xe9", r"a\.md: is not UTF-8 text, byte 4"),
        ("a.txt", b"a\0b", r"a\.txt: has NUL"),
        ("a.pdf", b"%PDF-1.4 no", r"a\.pdf: cannot be read, or is damaged"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CollectionError, match=message):
        list(as_documents(tmp_path / name).documents())


@pytest.mark.parametrize(
    ("source", "columns", "message"),
    [
        (3, {}, "the documents are 3, of type int; give a path"),
        (None, {}, "of type NoneType"),
        ({"a": "b"}, {}, "the documents are a dict"),
        ([1], {}, "the list: row 0 is 1, of type int; documents must be texts, dicts"),
        (["x", None], {}, "the list: row 1 is None"),
        ([{"text": "x", 3: 4}], {}, "the name of a column"),
        ([{"text": "x"}], {"text": "body"}, r"the column 'body' of --text does not exist; its columns are 'text'"),
        ([Document("", "", "x")], {}, "the doc_id is empty"),
        ([Document("a", "", None)], {}, "the text: None is of type NoneType"),  # type: ignore[arg-type]
        ([], {}, "has no documents"),
        (pa.table({"id": ["1"], "text": [1]}), {}, "the column 'text' has the type int64, not text"),
        (pa.table({"id": [1.5], "text": ["x"]}), {}, '"id" is 1.5; it must be text or a whole number'),
        (pl.LazyFrame({"text": ["x"]}), {}, r"collect\(\)"),
        (pd.DataFrame({"text": ["x", "y"], "n": [1, "a"]}), {}, "give each column values of one type"),
        ("nothing.md", {}, "nothing.md: there is no such file or folder"),
        ("nothing/*.md", {}, "no file matches this pattern"),
        ([Path("nothing.md"), Path("none.md")], {}, "nothing.md: there is no such file"),
    ],
)
def test_objects_that_are_not_documents_are_refused(source: Any, columns: dict[str, str], message: str) -> None:
    with pytest.raises(CollectionError, match=message):
        list(as_documents(source, **columns).documents())


def test_columns_are_chosen_of_the_tables_among_several_sources(tmp_path: Path) -> None:
    for name in ("md/a.md", "web/b.html", "c.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a page")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "d.csv").write_text("key,question,answer\nk1,why,because\n")
    columns = {"id": "key", "text": "answer", "title": "question"}
    pages = [tmp_path / name for name in ("md", "web", "c.md")]
    found = read([*pages, tmp_path / "tables"], **columns)
    assert [each[:3] for each in found][3:] == [("k1", "why", "because")]
    assert [each.doc_id for each in found] == ["a.md", "b.html", "c.md", "k1"]
    assert sorted(found) == sorted(read([*pages[:2], tmp_path / "*.md", tmp_path / "tables/d.csv"], **columns))
    assert [each.doc_id for each in read(pages)] == ["a.md", "b.html", "c.md"]
    for source in (tmp_path / "c.md", tmp_path / "md", str(tmp_path / "*.md"), pages, [tmp_path / "md/a.md", pages[2]]):
        with pytest.raises(CollectionError, match="there are no columns to choose from; remove --id"):
            as_documents(source, text="answer")


def test_tables_in_a_folder_of_other_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("my [docs]")
    for name in ("a.md", "sub/b.HTML", "1.csv", "2.csv", "_3.csv", "sub/4.jsonl.gz", "logo.png", "a.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("id,text\n" + f"{name},x\n")
    with gzip.open(folder / "sub" / "4.jsonl.gz", "wt") as file:
        file.write('{"id": "four", "text": "x"}\n')
    with pytest.warns(LsrWarning) as warned:
        assert [each.doc_id for each in as_documents(folder).documents()] == ["a.md", "sub/b.HTML"]
    passed_over, said = (str(each.message) for each in warned)
    assert passed_over == (
        "my [docs]: 1 _*.csv file and 1 *.json file are left out; if they hold documents: lsr add INDEX "
        r"'my [[]docs]/**/_*.csv' 'my [[]docs]/**/*.json'"
    )
    advice = r"'my [[]docs]/*.csv' 'my [[]docs]/**/*.jsonl.gz'"
    assert said == (
        "my [docs]: 2 .csv files and 1 .jsonl.gz file are left out, because the folder holds pages; add them by "
        f"themselves: lsr add INDEX {advice}"
    )
    assert [each.doc_id for each in read("my [[]docs]/**/_*.csv")] == ["_3.csv"]
    (folder / "_3.csv").unlink()
    (folder / "a.json").unlink()
    assert [each.doc_id for each in read([Path(each) for each in shlex.split(advice)])] == ["1.csv", "2.csv", "four"]
    pq.write_table(pa.table({"text": ["x"]}), folder / "sub" / "p.parquet")
    for name in ("a.md", "sub/b.HTML", "2.csv", "sub/4.jsonl.gz"):
        (folder / name).unlink()
    with pytest.warns(
        LsrWarning, match=r"1 \.csv file is left out, because the folder holds Parquet .*add it by itself"
    ):
        assert [each.doc_id for each in as_documents(folder).documents()] == ["0"]


@pytest.mark.parametrize("name", ["pipe.md", "pipe.csv", "pipe.parquet"])
def test_a_pipe_in_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(LsrError, match="pipe"):
        list(as_documents(tmp_path).documents())


def test_files_written_by_lsr_are_not_documents(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a")
    for name, marker, content in (
        ("my.index", "manifest.json", '{"format_version": 5}'),
        ("v", "vectors.json", "{}"),
        ("site", "manifest.json", '{"icons": []}'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / marker).write_text(content)
        (tmp_path / name / "b.txt").write_text("b")
    assert [each.doc_id for each in read(tmp_path)] == ["a.md", "site/b.txt"]


CELL = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.dates(dt.date(1000, 1, 1)),
    # A text that spells a truth value beside truth values is one.
    TEXT.filter(lambda text: text.strip() == text and text.lower() not in ("true", "false")),
)


@given(st.lists(st.tuples(TEXT, CELL, CELL), min_size=1, max_size=8))
def test_cells_of_csv_are_read_as_they_were_meant(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, object, object]]
) -> None:
    """Where all values of a column are of one kind, they come back; where not, as they were written."""
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    frame = pd.DataFrame({"text": [row[0] for row in rows]}, dtype=object)
    for name, at in (("a", 1), ("b", 2)):
        frame[name] = pd.Series([None if row[at] is None else str(row[at]) for row in rows], dtype=object)
    frame.to_csv(path, index=False)
    found = read(path)
    assert [each.text for each in found] == [row[0] for row in rows]
    for name, at in (("a", 1), ("b", 2)):
        values = [row[at] for row in rows]
        kinds = {type(value) for value in values if value is not None}
        got = [each.metadata[name] for each in found]
        if kinds in ({int}, {float}, {bool}, {dt.date}, set()):
            assert got == values
        elif kinds != {int, float}:
            strings = [None if value is None else str(value) for value in values]
            assert [None if value is None else str(value) for value in got] == strings or kinds == {str}


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_give_documents_or_an_error_of_lsr(tmp_path: Path, seed: int) -> None:
    """benchmarks of the same kind ran for hours; these are a sample."""
    chance = random.Random(seed)
    originals = write_sources(tmp_path / "whole")
    for _ in range(60):
        original = chance.choice(originals)
        content = bytearray(original.read_bytes())
        for _ in range(chance.choice([1, 1, 3])):
            at = chance.randrange(len(content))
            match chance.randrange(4):
                case 0:
                    content[at] ^= 1 << chance.randrange(8)
                case 1:
                    content[at:at] = chance.choice(
                        [b"\0", b'"', b"\xff", b"\n", b"<!--", b"\\ud800", b"{", b"[" * 3000]
                    )
                case 2:
                    del content[at : at + chance.choice([1, 40])]
                case _:
                    content[at:at] = content[: chance.choice([4, 400])]
            content = content or bytearray(b" ")
        path = tmp_path / original.name
        path.write_bytes(content)
        try:
            documents = as_documents(path)
            found = list(documents.documents())
            assert list(documents.documents()) == found
            json.dumps([each[:3] for each in found], ensure_ascii=False).encode()
        except LsrError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 600


def test_a_packed_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSR_MAX_LINE", str(1 << 20))
    with gzip.open(tmp_path / "a.csv.gz", "wb") as file:
        file.write(b"id,text\n1," + b"x" * (1 << 22))
    with pytest.raises(CollectionError, match=r"line 2 has more than 1048576 bytes; .* LSR_MAX_LINE"):
        list(as_documents(tmp_path / "a.csv.gz").documents())
    (tmp_path / "a.md").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(CollectionError, match=r"a\.md: has more than 1048576 bytes"):
        list(as_documents(tmp_path / "a.md").documents())
