"""Lengths of vectors, as an experiment tells them: counted in what the encoders give."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from lsr.encoders.bm25_words import FUNCTION_WORDS
from lsr.encoders.load import load_encoder
from lsr.eval import expected_flops
from lsr.experiment import measure as measuring
from lsr.experiment import read_experiment, run_experiment
from lsr.experiment.measure import Figures
from tests.training.written import write_collection

DOCUMENTS = [
    ("a", "Salt", "raises blood pressure"),
    ("b", "", "the sea is salt water, and the sea is deep"),
    ("c", "", ""),
    ("d", "Blood", "is red"),
    ("e", "", "red red wine"),
]
QUERIES = {"q1": "blood pressure", "q2": "red sea", "q3": "zzyzx"}
SYSTEMS = """
[systems.bm25]
encoder = "bm25"
[systems.tiny]
encoder = { name = "tiny", prune_documents = "top-k:12" }
[systems.both]
encoder = "bm25"
dense = "minilm"
interpolate = "after"
[systems.dense]
encoder = "bm25"
dense = "minilm"
side = "dense"
"""


TEXTS = [f"{title} {text}".strip() for _, title, text in DOCUMENTS]


@pytest.mark.usefixtures("unplotted")
def test_lengths_are_those_of_the_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "DOCUMENTS_AT_ONCE", 2)
    judged = {query: {"a": 1} for query in QUERIES}
    data = write_collection(tmp_path / "data", DOCUMENTS, QUERIES, test=judged)
    path = tmp_path / "experiment.toml"
    path.write_text(f"collections = [{json.dumps(str(data))}]\n{SYSTEMS}")
    results = {each.system: each.figures for each in run_experiment(read_experiment(path), tmp_path / "out", threads=1)}
    found = {system: (figures.query_nnz, figures.document_nnz) for system, figures in results.items()}
    words = [set(re.findall(r"\w+", text.lower())) - FUNCTION_WORDS for text in (*TEXTS, *QUERIES.values())]
    documents, queries = words[: len(TEXTS)], [each & set().union(*words[: len(TEXTS)]) for each in words[len(TEXTS) :]]
    assert found["bm25"] == pytest.approx((np.mean([*map(len, queries)]), np.mean([*map(len, documents)])))
    encoder = load_encoder("tiny", prune_documents="top-k:12")
    vectors = encoder.encode_queries(list(QUERIES.values())), encoder.encode_documents(TEXTS)
    assert found["tiny"] == pytest.approx(tuple(np.count_nonzero(each.to_dense(), axis=1).mean() for each in vectors))
    assert found["both"] == found["bm25"]
    assert found["dense"] == (None, None)
    assert results["tiny"].flops == pytest.approx(expected_flops(*vectors))
    common = [len(query & document) for query in queries for document in documents]
    assert results["bm25"].flops == pytest.approx(np.mean(common)) == results["both"].flops
    assert results["dense"].flops is None
    for figures in results.values():
        assert Figures(**json.loads(json.dumps(asdict(figures)))) == figures
