"""Embeddings of sentence-transformers, searched as its own searches do it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sparse_encoder import search_engines
from sentence_transformers.util import semantic_search

from lsr import Searcher, SparseVectors, build_index, semantic_search_lsr
from lsr.encoders.folders.find import find_checkpoint
from lsr.errors import ParameterError, VectorsError

DOCUMENTS = torch.tensor([[1.0, 0, 2, 0], [0, 3, 0, 0], [0.5, 0, 0, 4], [0, 0, 0, 0]])
QUERIES = torch.tensor([[2.0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]])
EXPECTED = [[(2, 5.0), (0, 2.0)], [], [(1, 3.0), (0, 2.0)]]  # inner products, by hand


def pairs(found: Any) -> list[list[tuple[int, float]]]:
    return [[(each["corpus_id"], pytest.approx(each["score"], rel=1e-4)) for each in row] for row in found]


def decoded(rows: torch.Tensor) -> list[list[tuple[str, float]]]:
    return [[("abcd"[i], float(weight)) for i, weight in enumerate(row) if weight] for row in rows]


@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "dense", "decoded"])
def test_inner_products_of_all_forms(layout: str) -> None:
    forms: dict[str, Any] = {
        "sparse_coo": torch.Tensor.to_sparse_coo,
        "sparse_csr": torch.Tensor.to_sparse_csr,
        "dense": lambda rows: rows,
        "decoded": decoded,
    }
    form = forms[layout]
    found, seconds, index = semantic_search_lsr(form(QUERIES), form(DOCUMENTS), top_k=2, output_index=True)
    assert pairs(found) == EXPECTED and seconds >= 0 and len(index) == 4
    again, _ = semantic_search_lsr(form(QUERIES), corpus_index=index, top_k=1)
    assert pairs(again) == [row[:1] for row in EXPECTED]
    assert set(found[0][0]) == {"corpus_id", "score"} and type(found[0][0]["corpus_id"]) is int


def test_the_same_as_sentence_transformers_own_search() -> None:
    torch.manual_seed(1)
    documents, queries = (torch.rand(n, 200) * (torch.rand(n, 200) < 0.1) for n in (300, 20))
    ours, _ = semantic_search_lsr(queries.to_sparse_coo(), documents.to_sparse_coo(), top_k=10)
    theirs = semantic_search(queries, documents, score_function=lambda a, b: a @ b.T, top_k=10)
    for mine, true in zip(ours, theirs, strict=True):
        assert [each["corpus_id"] for each in mine] == [each["corpus_id"] for each in true]
        np.testing.assert_allclose([e["score"] for e in mine], [e["score"] for e in true], rtol=1e-4)


def test_the_signature_is_that_of_the_others() -> None:
    own = list(inspect.signature(semantic_search_lsr).parameters)
    theirs = list(inspect.signature(search_engines.semantic_search_seismic).parameters)
    assert own == [name.removesuffix("_decoded") for name in theirs]


def test_arguments_are_not_changed_and_unknown_tokens_are_left_out() -> None:
    settings: dict[str, Any] = {}
    found, _ = semantic_search_lsr([[("a", 2.0), ("z", 9.0)]], decoded(DOCUMENTS), index_kwargs=settings)
    assert pairs(found) == [[(0, 2.0), (2, 1.0)]] and settings == {}


def test_arguments_that_do_not_match_are_refused() -> None:
    with pytest.raises(ParameterError, match="corpus_embeddings"):
        semantic_search_lsr(QUERIES)
    _, _, index = semantic_search_lsr(QUERIES, DOCUMENTS, output_index=True)
    with pytest.raises(VectorsError, match="no vocabulary"):
        semantic_search_lsr(decoded(QUERIES), corpus_index=index)


@pytest.fixture(scope="module")
def model() -> Any:
    from sentence_transformers import SparseEncoder

    return SparseEncoder(str(find_checkpoint("tiny").folder), device="cpu")


def test_a_sparse_encoder_is_an_encoder_and_its_tensors_are_queries(model: Any, tmp_path: Path) -> None:
    texts = ["salt in bread", "bread and butter", "a river of salt"]
    build_index(texts, tmp_path / "index", model)
    searcher = Searcher.open(tmp_path / "index", encoder=model)
    rows = model.encode_query(["salt bread"])
    expected = (model.encode_document(texts).to_dense() @ rows.to_dense().T)[:, 0]
    of_text, of_tensor = searcher.search("salt bread"), searcher.search(rows)
    assert of_text.ids == of_tensor.ids == searcher.search(SparseVectors.of(rows)).ids
    assert searcher.search_batch(rows)[0].ids == of_text.ids
    for hit in of_text:
        assert hit.score == pytest.approx(float(expected[int(hit.doc_id)]), rel=1e-3)
