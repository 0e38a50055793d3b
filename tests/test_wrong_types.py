"""Whatever is given in place of what is wanted: it works, or an error of lsr's names what to give."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

import lsr
from lsr import (
    BM25Encoder,
    DenseIndex,
    ExactIndex,
    LsrError,
    Searcher,
    SearchRequest,
    SeismicIndex,
    SparseVectors,
    Vocabulary,
    build_index,
    encoder_from,
    load_collection,
)
from lsr.eval import compare, evaluate, evaluate_queries
from lsr.training import Mining, mine_negatives, read_training, train
from tests.data import LIBRARY
from tests.encoders.dense.test_dense_encoder import write_dense
from tests.encoders.models import write_model
from tests.training.trained import write_config

TEXTS = ["aspirin thins blood", "the heart pumps blood", "salt raises pressure"]
IDS = ["a", "b", "c"]

# What people have at hand, and what a mistake leaves in its place.
WRONG: dict[str, Any] = {
    "None": None,
    "NaN": float("nan"),
    "a float": 2.5,
    "a bool": True,
    "zero": 0,
    "a negative number": -3,
    "a huge number": 1 << 70,
    "a text": "blood",
    "no text": "",
    "bytes": b"blood",
    "a list of texts": ["blood", "heart"],
    "an empty list": [],
    "a list with None": ["blood", None],
    "a list of numbers": [1.0, 2.0],
    "a tuple": ("blood",),
    "a set": {"blood"},
    "a dict": {"blood": 1.0},
    "a dict of dicts": {"q": {"d": "x"}},
    "a list of dicts": [{"blood": 1.0}],
    "a series with NaN": pd.Series(["blood", None]),
    "a data frame": pd.DataFrame({"text": ["blood"]}),
    "an array": np.ones(3),
    "a matrix": np.ones((2, 9)),
    "an array of objects": np.array([{}, None]),
    "a sparse matrix": scipy.sparse.csr_matrix(np.ones((2, 9))),
    "a tensor": torch.ones(2, 9),
    "vectors": SparseVectors.from_dense(np.ones((2, 9))),
    "a function": len,
    "a class": dict,
    "a path": Path("/nowhere/at/all"),
    "an object": object(),
}


def calls(folder: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Public functions and methods with arguments that work, each of which is replaced in turn."""
    encoder = BM25Encoder().fit(TEXTS)
    vectors = encoder.encode_documents(TEXTS).with_ids(IDS)
    index, exact = SeismicIndex.build(vectors), ExactIndex.build(vectors)
    searcher = Searcher(index, encoder, TEXTS)
    dense = DenseIndex.build(np.eye(3, dtype=np.float32), ids=IDS)
    collection = load_collection(LIBRARY)
    index.save(folder / "index")
    vectors.write(folder / "v.npz", encoder.vocabulary)
    build_index(collection, folder / "library", "bm25")
    library = Searcher.open(folder / "library")
    training = read_training(write_config(folder / "training", optimizer="steps = 1"))
    (folder / "experiment.toml").write_text(f'collections = ["{LIBRARY}"]\n[systems.bm25]\nencoder = "bm25"\n')
    experiment = lsr.read_experiment(folder / "experiment.toml")
    queries = {"q1": "blood", "q2": "salt"}
    run = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"c": 1.0}}
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    measured = evaluate_queries(qrels, run)
    search: dict[str, Any] = dict.fromkeys(("params", "allowed", "side", "feedback"))
    made: dict[str, Callable[..., Any]] = {
        name: getattr(lsr, name)
        for name in ("SearchParams", "IndexConfig", "DenseConfig", "Feedback", "Fusion", "Pruning")
    }
    return {
        "Searcher": (Searcher, {"index": index, "encoder": encoder, "texts": TEXTS, "dense": None}),
        "search": (searcher.search, {"text": "blood", "k": 2, **search, "interpolate": "none", "fusion": lsr.Fusion()}),
        "search_batch": (searcher.search_batch, {"texts": TEXTS, "k": 2, "threads": 1, **search}),
        "run": (searcher.run, {"queries": queries, "k": 2, "threads": 1, "drop_same_id": False, **search}),
        "hits": (searcher.hits, {"queries": TEXTS, "request": SearchRequest(), "threads": 1}),
        "rankings": (searcher.rankings, {"queries": queries, "request": SearchRequest(), "threads": 1}),
        "Searcher.open": (Searcher.open, {"folder": folder / "index", "device": None, "encoder": encoder}),
        "index.search": (index.search, {"queries": vectors, "k": 2, "params": None, "threads": 1, "allowed": IDS}),
        "exact.search": (exact.search, {"queries": vectors, "k": 2, "params": None, "threads": 1, "allowed": IDS}),
        "dense.search": (dense.search, {"queries": np.eye(3, dtype="f"), "k": 2, "params": None, "allowed": IDS}),
        "index.tune": (index.tune, {"queries": vectors[[0, 1, 2] * 7], "recalls": [0.9], "k": 2, "threads": 1}),
        "index.why": (index.why, {"query": vectors[:1], "row": 0, "k": 2, "params": None, "allowed": None}),
        "index.vector": (index.vector, {"row": 0}),
        "index.gather": (index.gather, {"rows": [0]}),
        "SeismicIndex.build": (SeismicIndex.build, {"vectors": vectors, "config": None, "ids": IDS, "threads": 1}),
        "ExactIndex.build": (ExactIndex.build, {"vectors": vectors, "ids": IDS}),
        "DenseIndex.build": (DenseIndex.build, {"vectors": np.eye(3, dtype="f"), "config": None, "ids": IDS}),
        "SeismicIndex.open": (SeismicIndex.open, {"folder": folder / "index"}),
        "open_index": (lsr.open_index, {"folder": folder / "index"}),
        "index.save": (index.save, {"folder": folder / "saved"}),
        "build_index": (
            build_index,
            {"documents": collection, "folder": folder / "built", "encoder": "bm25", "dense": None, "config": None,
             "dense_config": None, "passages": None, "id": None, "text": None, "title": None, "batch_size": None,
             "threads": None, "memory": None},
        ),
        "bm25.fit": (BM25Encoder().fit, {"texts": TEXTS}),
        "BM25Encoder": (BM25Encoder, {"k1": 0.9, "b": 0.4}),
        "encode_documents": (encoder.encode_documents, {"texts": TEXTS, "batch_size": None}),
        "encode_queries": (encoder.encode_queries, {"texts": TEXTS}),
        "encoder_from": (encoder_from, {"documents": len, "queries": None, "dim": None, "vocabulary": None}),
        "load_encoder": (
            lsr.load_encoder,
            {"name_or_path": "bm25", "device": None, "dtype": "float32", "max_length": None, "stride": None,
             "long_documents": "first", "prune_documents": "", "prune_queries": ""},
        ),
        "load_dense_encoder": (
            lsr.load_dense_encoder,
            {"name_or_path": write_dense(folder / "dense"), "device": "cpu", "dtype": "float32", "max_length": None},
        ),
        "verify_encoder": (
            lsr.verify_encoder,
            {"encoder": "tiny", "card": "rasyosef/splade-tiny", "device": "cpu", "dtype": "float32"},
        ),
        "build_encoder": (
            lsr.build_encoder,
            {"method": "unicoil", "backbone": write_model(folder / "model"), "query_backbone": None, "idf": None,
             "device": "cpu", "dtype": "float32", "max_length": None, "query_max_length": None, "query_prompt": "",
             "document_prompt": "", "query_head": None, "document_head": None, "expander": None, "seed": 0},
        ),
        "load_collection": (load_collection, {"spec": LIBRARY, "split": None, "drop_same_id": None}),
        "SparseVectors.read": (SparseVectors.read, {"path": folder / "v.npz", "vocabulary": encoder.vocabulary}),
        "vectors.write": (vectors.write, {"path": folder / "w.npz", "vocabulary": None, "metadata": None}),
        "iter_vectors": (
            lambda path, rows, vocabulary: list(lsr.iter_vectors(path, rows, vocabulary)),
            {"path": folder / "v.npz", "rows": 2, "vocabulary": None},
        ),
        "read_vocabulary": (lsr.read_vocabulary, {"path": folder / "v.npz"}),
        "SparseVectors": (SparseVectors, {"indptr": [0, 1], "indices": [0], "values": [1.0], "dim": 1, "ids": ["a"]}),
        "from_scipy": (SparseVectors.from_scipy, {"matrix": vectors.to_scipy(), "ids": IDS}),
        "from_torch": (SparseVectors.from_torch, {"tensor": torch.ones(3, 2), "ids": IDS}),
        "from_dense": (SparseVectors.from_dense, {"array": np.ones((3, 2)), "ids": IDS}),
        "from_dicts": (SparseVectors.from_dicts, {"rows": [{0: 1.0}], "vocabulary": None, "ids": ["a"], "dim": 1}),
        "concatenate": (SparseVectors.concatenate, {"parts": [vectors]}),
        "with_ids": (vectors.with_ids, {"ids": IDS}),
        "top_k": (vectors.top_k, {"k": 1}),
        "row": (vectors.row, {"i": 1}),
        "Vocabulary": (Vocabulary, {"tokens": IDS}),
        "Vocabulary.read": (Vocabulary.read, {"path": folder / "no.json"}),
        "vocabulary.write": (encoder.vocabulary.write, {"path": folder / "vocabulary.json"}),
        "token": (encoder.vocabulary.token, {"component": 0}),
        "read_run": (lsr.read_run, {"path": folder / "no.run"}),
        "read_qrels": (lsr.read_qrels, {"path": folder / "no.tsv"}),
        "write_run": (lsr.write_run, {"path": folder / "a.run", "run": run, "tag": "lsr"}),
        "fuse_runs": (lsr.fuse_runs, {"runs": [run, run], "weights": None, "k": None, "method": "rrf"}),
        "read_experiment": (lsr.read_experiment, {"path": folder / "no.toml"}),
        "run_experiment": (lsr.run_experiment, {"experiment": experiment, "folder": folder / "out", "threads": 1}),
        "train": (train, {"config": training, "folder": folder / "trained", "device": "cpu", "offline_data": None}),
        "mine_negatives": (
            mine_negatives,
            {"searchers": [library], "collection": collection, "path": folder / "mined.jsonl", "mining": None,
             "request": SearchRequest(), "threads": 1, "scorer": None},
        ),
        "Mining": (Mining, _defaults(Mining)),
        "read_training": (read_training, {"path": folder / "no.toml"}),
        "evaluate": (evaluate, {"qrels": qrels, "run": run, "measures": ["RR@10"]}),
        "compare": (compare, {"first": measured, "second": measured, "test": "t-test"}),
        "SearchRequest": (SearchRequest, {**_defaults(SearchRequest), "k": 2}),
        **{name: (kind, _defaults(kind)) for name, kind in made.items()},
    }  # fmt: skip


def _defaults(kind: Callable[..., Any]) -> dict[str, Any]:
    return {name: each.default for name, each in inspect.signature(kind).parameters.items()}


@pytest.fixture(scope="module")
def callables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    return calls(tmp_path_factory.mktemp("wrong"))


def foreign_errors(call: Callable[..., Any], arguments: dict[str, Any], name: str) -> Iterator[str]:
    for what, wrong in WRONG.items():
        try:
            call(**{**arguments, name: wrong})
        except LsrError as error:
            if "\n" in str(error):
                yield f"{name} = {what}: more than a line"
        except Exception as error:
            yield f"{name} = {what}: {type(error).__name__}: {error}"


def test_the_arguments_work(
    callables: dict[str, tuple[Callable[..., Any], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else nothing but the first check of a function would be put to the test."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lacking = {"Vocabulary.read", "read_run", "read_qrels", "read_experiment", "read_training"}  # files that are not
    for what, (call, arguments) in callables.items():
        if what not in lacking:
            call(**arguments)


def test_no_other_errors_than_ours(
    callables: dict[str, tuple[Callable[..., Any], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where texts that are taken as paths do no harm
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = [
        f"{what}: {error}"
        for what, (call, arguments) in callables.items()
        for name in arguments
        for error in foreign_errors(call, arguments, name)
    ]
    assert "\n".join(found) == ""
