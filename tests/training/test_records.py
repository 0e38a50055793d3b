"""Files of training records: every form, and what is said about broken ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import CollectionError
from lsr.training.data import Example, IdRecords, TextRecords
from lsr.training.data.examples import text_id
from tests.training.written import names, with_store, write_letters, write_lines, write_parquet

Record = dict[str, Any]
WORD = st.text("abcdef ü\t", min_size=1, max_size=5).filter(lambda each: bool(each.strip()))


def texts_of(path: Path) -> list[Example]:
    return list(TextRecords(path).examples())


def read(path: Path, *records: Record) -> list[Example]:
    return texts_of(write_lines(path / "r.jsonl", records))


@pytest.fixture
def ids_of(tmp_path: Path) -> Callable[..., list[Example]]:
    """Examples of records of ids; q1 has b as another relevant document, of another split."""
    judged = with_store(
        write_letters(tmp_path / "c", train={"q1": {"a": 1}, "q2": {"j": 1}}, test={"q1": {"b": 2}}), "train"
    )

    def examples(*records: Record | Path) -> list[Example]:
        [path] = records if isinstance(records[0], Path) else [write_lines(tmp_path / "ids.jsonl", records)]
        return list(IdRecords(path, *judged).examples())

    return examples


def test_pairs_triples_and_more(tmp_path: Path) -> None:
    pair, triple, many = read(
        tmp_path,
        {"query": "q", "positive": "p"},
        {"query": "q", "positive": "p", "negative": "n", "extra": [{}]},
        {
            "query_id": 17,
            "query": "other",
            "positives": ["p1", "p2"],
            "negatives": ["n1", "n2"],
            "scores": [4, 3.5, 2.0, -1],
        },
    )
    assert pair[1:] == (text_id("q"), "q", ("p",), (), None, ())
    assert triple[1:] == (text_id("q"), "q", ("p",), ("n",), None, ())
    assert many[1:] == ("17", "other", ("p1", "p2"), ("n1", "n2"), (4.0, 3.5, 2.0, -1.0), ())
    assert str(many.place) == f"{tmp_path / 'r.jsonl'}:3"


@pytest.mark.parametrize(
    "record",
    [
        {"anchor": "q", "positive": "p", "negative": "n1", "negative_2": "n2", "label": [1.5, 2.5]},
        {"question": "q", "answer": "p", "negative_10": "n2", "negative_2": "n1", "labels": [1.5, 2.5]},
        {"anchor": "q", "positive": "p", "negative_1": "n1", "negative_2": "n2", "score": [0, -1.5, -2.5]},
        {"query": "q", "positive": ["p"], "negatives": ["n1", "n2"], "scores": [0, -1.5, -2.5], "negative": None},
    ],
)
def test_names_of_sentence_transformers(tmp_path: Path, record: Record) -> None:
    [example] = read(tmp_path, record)
    assert example[2:] == ("q", ("p",), ("n1", "n2"), (0.0, -1.5, -2.5), ())


def test_a_margin_of_a_triple(tmp_path: Path) -> None:
    [example] = read(tmp_path, {"query": "q", "positive": "p", "negative": "n", "score": 3})
    assert example.scores == (0.0, -3.0)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "query": WORD,
                "positives": st.lists(WORD, min_size=1, max_size=2),
                "negatives": st.lists(WORD, max_size=3),
            }
        ),
        min_size=1,
    )
)
def test_every_kind_of_file_gives_the_same(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "parts").mkdir()
    half = len(records) // 2
    paths = [
        write_lines(folder / "r.jsonl", records),
        write_lines(folder / "r.jsonl.gz", records),
        write_parquet(folder / "r.parquet", records),
        write_lines(folder / "parts" / "0.jsonl", records[:half]).parent,
    ]
    write_lines(folder / "parts" / "1.jsonl.gz", records[half:])
    expected = [example[1:] for example in texts_of(paths[0])]
    assert len(expected) == len(records)
    for path in paths:
        source = TextRecords(path)
        assert [example[1:] for example in source.examples()] == expected
        assert [example[1:] for example in source.examples()] == expected
        assert source.count() == len(records)


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_text("q\tp\nq\tp\tn\n4.5\t-2\tq\tp\tn\n")
    pair, triple, scored = texts_of(tmp_path / "r.tsv")
    assert pair[2:] == ("q", ("p",), (), None, ())
    assert triple[2:] == ("q", ("p",), ("n",), None, ())
    assert scored[2:] == ("q", ("p",), ("n",), (4.5, -2.0), ())


def test_duplicates_are_dropped(tmp_path: Path) -> None:
    [example] = read(tmp_path, {"query": "q", "positives": ["p", "p"], "negatives": ["n", "p", "n", "m"]})
    assert (example.positives, example.negatives) == (("p",), ("n", "m"))


@pytest.mark.parametrize(
    "record",
    [
        {"query_id": "q1", "positive_ids": ["a"], "negative_ids": ["c", "d"], "scores": [9, 3, 2]},
        {"query_id": "q1", "positive_id": "a", "negative_id_1": "c", "negative_id_2": "d", "label": [6, 7]},
        {"qid": "q1", "positives": ["a"], "negatives": ["c", "d"], "scores": [9, 3, 2]},
        {"query_id": "q1", "positive_ids": ["a"], "negative_ids": ["c", "d"], "positive": "text", "negative": "other"},
        {"query_id": "q1", "positive_ids": ["a"], "negative_ids": ["c", "b", "d", "a"], "scores": [9, 3, 8, 2, 9]},
        {"qid": "q1", "pos": ["a"], "neg": {"bm25": ["c"], "dense": ["d", "c", "b"]}},
        {
            "qid": "q1",
            "pos": [{"pid": "a", "ce-score": 9}],
            "neg": {"bm25": [{"pid": "c", "ce-score": 3, "bm25-score": 1}], "dense": [{"pid": "d", "ce-score": 2.0}]},
        },
    ],
)
def test_records_of_ids(ids_of: Callable[..., list[Example]], record: Record) -> None:
    [example] = ids_of(record)
    assert example[1:5] == ("q1", "first query", ("a",), ("c", "d"))
    assert example.relevant == ("b",)
    if "label" in record:
        assert example.scores == (0.0, -6.0, -7.0)
    elif "scores" in record or isinstance(record.get("pos", [""])[0], dict):
        assert example.scores == (9.0, 3.0, 2.0)
    else:
        assert example.scores is None


def test_numbers_for_ids_and_queries_of_ones_own(tmp_path: Path) -> None:
    judged = with_store(write_letters(tmp_path / "c", train={"q1": {"a": 1}}), "train")
    write_lines(tmp_path / "r.jsonl", [{"query_id": 5, "query": "asked here", "positive_ids": 6, "negative_ids": [7]}])
    [example] = IdRecords(tmp_path / "r.jsonl", *judged).examples()
    assert example[1:5] == ("5", "asked here", ("6",), ("7",))


def test_some_scores_are_none(ids_of: Callable[..., list[Example]]) -> None:
    [example] = ids_of({"qid": "q1", "pos": [{"pid": "a", "ce-score": 1}], "neg": {"x": [{"pid": "c"}]}})
    assert (example.negatives, example.scores) == (("c",), None)


def test_mined_queries_without_a_positive_are_passed_over(ids_of: Callable[..., list[Example]]) -> None:
    found = ids_of({"qid": "q1", "pos": [], "neg": {"bm25": ["c"]}}, {"qid": "q2", "pos": ["j"], "neg": {}})
    assert [example.query_id for example in found] == ["q2"]


def test_triples_of_ids(ids_of: Callable[..., list[Example]], tmp_path: Path) -> None:
    (tmp_path / "qidpidtriples.tsv.gz").write_bytes(gzip.compress(b"q1\ta\tc\nq1\ta\tb\n7.5\t1\tq2\tj\tc\n"))
    found = ids_of(tmp_path / "qidpidtriples.tsv.gz")
    assert [example[1:5] for example in found] == [
        ("q1", "first query", ("a",), ("c",)),
        ("q1", "first query", ("a",), ()),  # b is relevant
        ("q2", "second query", ("j",), ("c",)),
    ]
    assert found[2].scores == (7.5, 1.0)


def test_the_query_itself_is_no_negative(tmp_path: Path) -> None:
    folder = write_letters(tmp_path / "arguana", train={"q1": {"a": 1}})
    judged = with_store(folder, "train")
    write_lines(tmp_path / "r.jsonl", [{"query_id": "q1", "positive_ids": ["a"], "negative_ids": ["q1", "c"]}])
    [example] = IdRecords(tmp_path / "r.jsonl", *judged).examples()
    assert (example.negatives, example.relevant) == (("c",), ("q1",))


GOOD = '{"query": "q", "positive": "p"}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "is not an object"),
        ('{"positive": "p"}', 'the "query" is missing; expected'),
        ('{"query": null, "positive": "p"}', 'the "query" is missing; expected'),
        ('{"query": " ", "positive": "p"}', '"query" is empty; add the text'),
        ('{"query": 5, "positive": "p"}', '"query" is 5; it must be a text'),
        ('{"query": "q", "anchor": "q", "positive": "p"}', 'has both "query" and "anchor"; keep one'),
        ('{"query": "q"}', "the record has no positive; expected"),
        ('{"query": "q", "positives": []}', "the record has no positive; expected"),
        ('{"query": "q", "pos": []}', "the record has no positive (it has ids, which need a collection"),
        ('{"query": "q", "positive_ids": ["d"]}', "the record has no positive (it has ids, which need a collection"),
        ('{"query": "q", "positive": "p", "positives": ["p"]}', 'has both "positive" and "positives"'),
        ('{"query": "q", "positive": ""}', '"positive" is empty'),
        ('{"query": "q", "positives": ["p", null]}', '"positives" is null; it must be a text'),
        ('{"query": "q", "positives": {"p": 1}}', '"positives" is {"p": 1}; it must be a text'),
        ('{"query": "q", "positive": "p", "negative": " \\t"}', '"negative" is empty'),
        ('{"query": "q", "positive": "p", "negative_1": 4}', '"negative_1" is 4; it must be a text'),
        ('{"query": "q", "positive": "\\ud800"}', "\"positive\": character 0, '\\ud800', is a lone surrogate"),
        ('{"query": "q", "positive": "p", "negative": "n", "scores": [1]}', '"scores" has 1 numbers for 1'),
        (
            '{"query": "q", "positive": "p", "negative": "n", "score": [1, 2, 3]}',
            'expected 2, named "scores", or 1 mar',
        ),
        ('{"query": "q", "positive": "p", "label": 1}', 'expected 1, named "scores"'),
        ('{"query": "q", "positive": "p", "scores": ["1"]}', '"scores" is "1"; it must be finite numbers'),
        ('{"query": "q", "positive": "p", "scores": [NaN]}', '"scores" is NaN; it must be finite numbers'),
        ('{"query": "q", "positive": "p", "scores": [true]}', '"scores" is true; it must be finite numbers'),
        ('{"query": "q", "positive": "p", "scores": [1' + "0" * 400 + "]}", "it must be finite numbers"),
        ('{"query": "q", "positive": "p", "query_id": ""}', '"query_id" is empty; add the text'),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{GOOD}\n{line}\n{GOOD}")
    examples = TextRecords(path).examples()
    assert next(examples).positives == ("p",)
    with pytest.raises(CollectionError) as caught:
        next(examples)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"positive_ids": ["a"]}, 'the "query_id" is missing; expected'),
        ({"query_id": "q1", "qid": "q1", "positive_ids": ["a"]}, 'has both "query_id" and "qid"'),
        ({"query_id": "q9", "positive_ids": ["a"]}, "query 'q9' is not in c; check collection and split"),
        ({"query_id": "q1"}, "the record has no positive; expected"),
        ({"query_id": "q1", "positive_ids": [1.5]}, '"positive_ids" is 1.5; it must be an id'),
        ({"query_id": True, "positive_ids": ["a"]}, '"query_id" is true; it must be an id'),
        ({"qid": "q1", "pos": [{"id": 5}], "neg": {}}, '"pid" is null; it must be an id'),
        ({"qid": "q1", "pos": ["a"], "neg": {"bm25": "c"}}, '"neg", "bm25" is "c"; it must be a list'),
        ({"qid": "q1", "pos": [{"pid": 5, "ce-score": "x"}]}, '"ce-score" is "x"; it must be finite numbers'),
    ],
)
def test_a_broken_record_of_ids_is_named(
    ids_of: Callable[..., list[Example]], tmp_path: Path, record: Record, message: str
) -> None:
    with pytest.raises(CollectionError) as caught:
        ids_of({"query_id": "q1", "positive_ids": ["a"]}, record)
    assert str(caught.value).startswith(f"{tmp_path / 'ids.jsonl'}:2: ")
    assert message in str(caught.value)


def test_broken_tables(tmp_path: Path) -> None:
    for line, message in (
        ("q", "1 columns; expected"),
        ("a\tb\tq\tp\tn", "could not convert .* the first two are the"),
    ):
        (tmp_path / "r.tsv").write_text(f"q\tp\n{line}\n")
        with pytest.raises(CollectionError, match=rf"r\.tsv:2: {message}"):
            texts_of(tmp_path / "r.tsv")
    (tmp_path / "r.tsv").write_text("q\t\tn\n")
    with pytest.raises(CollectionError, match=r'r\.tsv:1: "positive" is empty'):
        texts_of(tmp_path / "r.tsv")


def test_damaged_files(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl.gz", [{"query": "q", "positive": "p" * 99}])
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(CollectionError, match=r"r\.jsonl\.gz:\d: the \.gz file is damaged"):
        texts_of(path)
    path = write_parquet(tmp_path / "r.parquet", [{"query": "q", "positive": str(at)} for at in range(2000)])
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(CollectionError, match=r"r\.parquet:1: is not Parquet, or is damaged"):
        texts_of(path)
    assert TextRecords(path).count() is None
    path = write_parquet(tmp_path / "r.parquet", [{"query": "q", "positive": "p"}, {"query": None, "positive": "p"}])
    with pytest.raises(CollectionError, match=r'r\.parquet:2: the "query" is missing'):
        texts_of(path)


def test_files_without_records_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("q,p")
    (tmp_path / "r.parquet.gz").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for name in ("a.jsonl", "b.tsv"):
        (tmp_path / "mixed" / name).write_text("")
    for name, message in (
        ("r.csv", "unknown kind of file"),
        ("r.parquet.gz", "unknown kind of file"),
        ("gone.jsonl", "there is no such file or folder"),
        ("empty", "has no training records"),
        ("mixed", "or several kinds of files"),
    ):
        with pytest.raises(CollectionError, match=f"{name}: .*{message}"):
            TextRecords(tmp_path / name)
    assert names(tmp_path / "empty") == []
    with pytest.raises(CollectionError, match="in the working directory, "):
        TextRecords("gone-too.jsonl")
