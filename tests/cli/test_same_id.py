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
