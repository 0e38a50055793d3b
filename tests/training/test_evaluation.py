"""What a training is watched on: collections with and without splits, several of them, and their mean."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lsr.collections.ir_datasets_source import IrDataset
from lsr.encoders.load import load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import CollectionError, ParameterError
from lsr.training.evaluation import evaluate_encoder, evaluate_on, read_development_set
from lsr.training.training_config import read_training
from tests.training.trained import log_of, train_here, write_config, write_data

NANO = "nano-beir/made"


class Doc(NamedTuple):
    doc_id: str
    text: str


class Nano:
    """What ir_datasets has for one of NanoBEIR's collections: documents, queries and judgments under one id."""

    def handler(self) -> Nano:
        return self

    docs_handler = queries_handler = qrels_handler = handler

    def docs_iter(self) -> Iterator[object]:
        return iter([Doc("d1", "alpha sea alpha"), Doc("d2", "beta run beta"), Doc("d3", "gamma of gamma")])

    def queries_iter(self) -> Iterator[object]:
        from ir_datasets.formats import GenericQuery

        return iter([GenericQuery("q1", "sea alpha"), GenericQuery("q2", "run beta")])

    def qrels_iter(self) -> Iterator[object]:
        from ir_datasets.formats import TrecQrel

        return iter([TrecQrel("q1", "d1", 1, "0"), TrecQrel("q2", "d2", 1, "0")])


@pytest.fixture
def nano(monkeypatch: pytest.MonkeyPatch) -> None:
    import ir_datasets
    from ir_datasets.datasets.base import Dataset

    assert IrDataset("nano-beir/scifact").splits == ()  # as is so of the real ones
    monkeypatch.setattr(ir_datasets, "registry", {NANO: Dataset(Nano(), Nano(), Nano())})


@pytest.mark.usefixtures("nano")
def test_a_split_is_of_collections_that_have_some(tmp_path: Path) -> None:
    found = read_development_set(NANO, "dev")
    assert (found.ids, found.queries) == (["d1", "d2", "d3"], {"q1": "sea alpha", "q2": "run beta"})
    assert found.qrels == {"q1": {"d1": 1}, "q2": {"d2": 1}}
    data = str(write_data(tmp_path / "data"))
    of_dev, of_train = read_development_set(data, "dev"), read_development_set(data, "train", 7, 20)
    assert not of_dev.queries.keys() & of_train.queries.keys()
    assert len(of_train.queries) == 7 and 7 <= len(of_train.ids) < 35
    with pytest.raises(CollectionError, match="no split 'valid'; splits with judgments: dev, train"):
        read_development_set(data, "valid")


@pytest.mark.usefixtures("nano")
def test_the_mean_over_all_sets_decides_which_is_best(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    more = f'[evaluation]\ncollection = ["{data}", "{NANO}"]\nevery = 4\nmeasure = "RR@10"'
    described = train_here(write_config(tmp_path, "steps = 16", more, rate="5e-3"))
    sets = {name: read_development_set(name, "dev") for name in (data, NANO)}
    rows = [row for row in log_of(tmp_path / "out") if row["dev RR@10"]]
    assert [int(row["step"]) for row in rows] == [0, 4, 8, 12, 16]
    for row in rows:
        each = [float(row[f"dev RR@10 {name}"]) for name in sets]
        assert float(row["dev RR@10"]) == pytest.approx(statistics.fmean(each))
    best = max(rows[1:], key=lambda row: float(row["dev RR@10"]))
    assert described["step"] == int(best["step"])

    encoder = load_encoder(tmp_path / "out" / "encoder")
    assert isinstance(encoder, SparseEncoder)
    for name, each in sets.items():
        measured = evaluate_encoder(encoder, each, ["RR@10"])
        assert described["metrics"][f"RR@10 {name}"] == pytest.approx(measured.measures["RR@10"], abs=0.01)
    figures = evaluate_on(encoder, {NANO: sets[NANO]}, "RR@10")
    assert sorted(figures) == ["FLOPS", "RR@10", "document nnz", "query nnz"]  # one set has its name in no figure
    state = json.loads((tmp_path / "out" / "checkpoint" / "state.json").read_bytes())
    assert state["evaluations"][str(described["step"])] == described["metrics"]


def test_a_set_is_named_once(tmp_path: Path) -> None:
    path = write_config(tmp_path, more='[evaluation]\ncollection = ["a", "b", "a"]')
    with pytest.raises(ParameterError, match=r"collection is \['a', 'b', 'a'\]; name each collection once"):
        read_training(path)
    with pytest.raises(ParameterError, match=r"evaluation\.collection"):
        read_training(write_config(tmp_path, more="[evaluation]\ncollection = []"))
