"""Queries that are documents of their collection, and whether they may find themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lsr.collections.runs import read_run
from lsr.experiment import read_experiment
from lsr.experiment.suites import open_judged
from tests.cli.commands import Lsr


def collection_called(folder: Path) -> Path:
    """Two documents; the query is the first of them, and the second answers it."""
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": "a", "text": "heart of gold"}, {"_id": "b", "text": "heart"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "a", "text": "heart of gold"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\na\tb\t1\n")
    return folder


@pytest.mark.parametrize(
    ("name", "flags", "found"),
    [
        ("quora", (), ["b"]),
        ("quora", ("--same-id", "keep"), ["a", "b"]),
        ("my-quora-faq", (), ["a", "b"]),
        ("my-quora-faq", ("--same-id", "drop"), ["b"]),
    ],
)
def test_the_options_decide_before_the_name(
    lsr: Lsr, tmp_path: Path, name: str, flags: tuple[str, ...], found: list[str]
) -> None:
    collection = collection_called(tmp_path / name)
    assert lsr("index", collection, tmp_path / "index", "--encoder", "bm25").status == 0
    assert lsr("run", tmp_path / "index", collection, tmp_path / "a.run", *flags).status == 0
    assert list(read_run(tmp_path / "a.run")["a"]) == found
    figures = lsr("evaluate", tmp_path / "index", collection, "--measures", "RR", "--json", *flags).json
    assert figures["measures"] == {"RR": 1 / (1 + found.index("b"))}


@pytest.mark.parametrize(("said", "dropped"), [("", False), (", drop_same_id = true", True)])
def test_an_experiment_says_so_of_a_collection(tmp_path: Path, said: str, dropped: bool) -> None:
    path = json.dumps(str(collection_called(tmp_path / "my-quora-faq")))
    file = tmp_path / "experiment.toml"
    file.write_text(f'collections = [{{ path = {path}{said} }}]\n[systems.bm25]\nencoder = "bm25"\n')
    assert open_judged(read_experiment(file).collections[0], None).drop_same_id is dropped


@pytest.mark.parametrize(("name", "flags", "mrr"), [("arguana", (), 1.0), ("arguana", ("--same-id", "keep"), 0.5)])
def test_a_run_is_measured_as_its_collection_asks(
    lsr: Lsr, tmp_path: Path, name: str, flags: tuple[str, ...], mrr: float
) -> None:
    collection, run = collection_called(tmp_path / name), tmp_path / "a.run"
    run.write_text("a Q0 a 1 2.0 t\na Q0 b 2 1.0 t\n")
    for judgments in (collection, collection / "qrels" / "test.tsv"):
        measured = lsr("evaluate", run, judgments, "--measures", "RR", "--json", *flags)
        assert measured.json["measures"] == {"RR": mrr}
        assert measured.err == ("" if flags else "dropped 1 result with the id of the query (--same-id)\n")
    compared = lsr("compare", run, run, "--qrels", collection, "--measures", "RR", "--json", *flags).json
    assert compared["measures"][0]["first"] == mrr


def test_queries_of_a_file_of_the_collection(lsr: Lsr, tmp_path: Path) -> None:
    collection = collection_called(tmp_path / "arguana")
    assert lsr("index", collection, tmp_path / "index", "--encoder", "bm25").status == 0
    assert lsr("run", tmp_path / "index", collection / "queries.jsonl", tmp_path / "a.run").status == 0
    assert list(read_run(tmp_path / "a.run")["a"]) == ["b"]


def test_queries_that_find_themselves_are_told_of(lsr: Lsr, tmp_path: Path) -> None:
    collection, run = collection_called(tmp_path / "renamed"), tmp_path / "a.run"
    with (collection / "qrels" / "test.tsv").open("a") as file:
        file.write("b\ta\t1\n")
    run.write_text("a Q0 a 1 2.0 t\na Q0 b 2 1.0 t\nb Q0 b 1 2.0 t\nb Q0 a 2 1.0 t\n")
    qrels = collection / "qrels" / "test.tsv"
    measured = lsr("evaluate", run, qrels, "--measures", "RR")
    assert measured.out.split() == ["RR", "0.5000"]
    assert "for 2 of 2 queries the first document has the id of the query" in measured.err
    assert lsr("evaluate", run, qrels, "--measures", "RR", "--same-id", "drop").out.split() == ["RR", "1.0000"]
    assert lsr("evaluate", run, qrels, "--measures", "RR", "--same-id", "keep").err == ""
    compared = ("compare", run, run, "--qrels", qrels, "--measures", "RR")
    assert lsr(*compared).err.count("for 2 of 2 queries the first document has the id of the query") == 1
    assert lsr(*compared, "--same-id", "keep").err == ""

    with (collection / "queries.jsonl").open("a") as file:
        file.write('{"_id": "b", "text": "heart"}\n')
    assert lsr("index", collection, tmp_path / "index", "--encoder", "bm25").status == 0
    for words in (
        ("run", tmp_path / "index", collection, tmp_path / "b.run"),
        ("mine", tmp_path / "index", collection, tmp_path / "n.jsonl", "--split", "test"),
    ):
        assert "for 2 of 2 queries the first document has the id of the query" in lsr(*words).err
        assert lsr(*words, "--same-id", "keep").err == ""
