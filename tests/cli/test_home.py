"""`~` in the paths of commands, TOML files and functions, where no shell has put the user's home in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import lsr as package
from lsr import (
    BM25Encoder,
    ExactIndex,
    Searcher,
    SeismicIndex,
    SparseVectors,
    load_encoder,
    open_index,
    read_experiment,
)
from lsr.experiment import experiment_report
from lsr.training.training_config import read_training
from tests.cli.commands import Lsr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    shutil.copytree(library, tmp_path / "home" / "coll")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_every_path_of_a_command(lsr: Lsr, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_report, "_plot", lambda *_: None)  # which takes longer than all else
    (home / "ids").write_text("55\n")
    (home / "e.toml").write_text('collections = ["~/coll"]\n[systems.bm25]\nencoder = "bm25"\n')
    for words in (
        ("index", "~/coll", "~/i", "--encoder", "bm25"),
        ("search", "~/i", "information", "--only", "~/ids"),
        ("run", "~/i", "~/coll/queries.jsonl", "~/a.run", "-k", 3),
        ("evaluate", "~/i", "~/coll", "--run", "~/b.run", "-k", 3),
        ("evaluate", "~/a.run", "~/coll/qrels/test.tsv"),
        ("compare", "~/a.run", "~/b.run", "--qrels", "~/coll"),
        ("encode", "~/coll", "~/v", "--encoder", "bm25"),
        ("encode", "~/coll", "~/v.npz", "--encoder", "~/v/encoder"),
        ("index", "~/v.npz", "~/j"),
        ("mine", "~/i", "~/coll", "~/mined.jsonl", "--split", "test", "--also", "~/i"),
        ("info", "~/i"),
        ("experiment", "~/e.toml"),
        ("experiment", "~/e.toml", "--output", "~/results"),
    ):
        ended = lsr(*words)
        assert ended.status == 0, (words, ended.err)
    names = {"i", "a.run", "b.run", "v", "v.npz", "j", "mined.jsonl", "e", "results"}
    assert names <= {path.name for path in home.iterdir()}
    assert not list((home.parent / "work").iterdir())


def test_every_path_of_a_function(home: Path) -> None:
    collection = package.load_collection("~/coll")
    index = package.build_index(collection, "~/i", BM25Encoder())
    vectors = SparseVectors([0, 1], [0], [1.0], 2, ["a"])
    vectors.write("~/v.npz")
    assert SparseVectors.read("~/v.npz").ids == ["a"]
    assert len(next(package.iter_vectors("~/v.npz"))) == 1
    ExactIndex.build(vectors).save("~/exact")
    SeismicIndex.build(vectors).save("~/seismic")
    assert len(ExactIndex.open("~/exact")) == len(SeismicIndex.open("~/seismic")) == len(open_index("~/exact")) == 1
    assert len(open_index("~/i")) == len(index.index)
    searcher = Searcher.open("~/i")
    package.write_run("~/a.run", searcher.run(collection.queries(), k=2))
    assert package.read_run("~/a.run").keys() == package.read_qrels("~/coll/qrels/test.tsv").keys()
    searcher.encoder.save("~/bm25")
    assert load_encoder("~/bm25").dim == searcher.encoder.dim
    (home / "e.toml").write_text('collections = ["~/coll"]\n[systems.bm25]\nencoder = "bm25"\n')
    assert read_experiment("~/e.toml").name == "e"
    with pytest.raises(package.ParameterError, match=f"{home}/e.toml: "):
        read_training("~/e.toml")
    assert not list((home.parent / "work").iterdir())
