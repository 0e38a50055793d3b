"""The terms of a text and what two texts share, for an encoder whose vectors are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders.base import Encoder
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.inspection import InspectedTerm, SharedTerm, compare_texts, inspect_text
from lsr.errors import EncoderError
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

TOKENS = ["a", "b", "c", "d", "e"]
DOCUMENT = {"a": 2.0, "c": 1.0, "d": 0.5, "e": 0.5}
QUERY = {"a": 0.5, "b": 4.0, "c": 3.0}


class Known:
    """The same vectors for all texts; the words of a text are its tokens."""

    name = "known"
    vocabulary = Vocabulary(TOKENS)
    dim = len(TOKENS)

    def __init__(self, document: dict[str, float], query: dict[str, float]) -> None:
        self.document, self.query = document, query

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        return SparseVectors.from_dicts([self.document] * len(texts), self.vocabulary)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        return SparseVectors.from_dicts([self.query] * len(texts), self.vocabulary)

    def literal(self, text: str, query: bool = False) -> set[int]:
        return {TOKENS.index(word) for word in text.split() if word in TOKENS}

    def describe(self) -> dict[str, Any]:
        return {"kind": "known", "name": self.name}

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError


@pytest.fixture
def encoder() -> Encoder:
    return Known(DOCUMENT, QUERY)


def test_terms_of_a_document(encoder: Encoder) -> None:
    found = inspect_text(encoder, "c b e")
    assert found.terms == (
        InspectedTerm("a", 0, 2.0, False),
        InspectedTerm("c", 2, 1.0, True),
        InspectedTerm("d", 3, 0.5, False),
        InspectedTerm("e", 4, 0.5, True),
    )
    assert [term.token for term in found.literal] == ["c", "e"]
    assert [term.token for term in found.expanded] == ["a", "d"]
    assert found.literal_share == 1.5 / 4


def test_terms_of_a_query(encoder: Encoder) -> None:
    assert [(term.token, term.literal) for term in inspect_text(encoder, "a", query=True).terms] == [
        ("b", False),
        ("c", False),
        ("a", True),
    ]


def test_nothing_in_common() -> None:
    compared = compare_texts(Known({"a": 1.0}, {"b": 1.0, "c": 2.0}), "a", "b c")
    assert (compared.score, compared.shared, compared.not_shared) == (0, (), (1, 2))
    empty = compare_texts(Known({}, {}), "", "")
    assert (empty.score, empty.shared, empty.not_shared, empty.document.literal_share) == (0, (), (0, 0), 0)


def test_terms_shared_by_a_document_and_a_query(encoder: Encoder) -> None:
    compared = compare_texts(encoder, "c e", "a b")
    assert compared.shared == (
        SharedTerm("c", 2, 1.0, 3.0, 3.0, 0.75, True, False),
        SharedTerm("a", 0, 2.0, 0.5, 1.0, 0.25, False, True),
    )
    assert compared.score == 4
    assert compared.not_shared == (2, 1)


WEIGHTS = st.dictionaries(st.sampled_from(TOKENS), st.floats(2**-20, 2**20, width=32))


@given(WEIGHTS, WEIGHTS)
def test_the_score_is_the_dot_product(document: dict[str, float], query: dict[str, float]) -> None:
    encoder = Known(document, query)
    compared = compare_texts(encoder, "a b", "b c")
    dense = encoder.encode_documents([""]).to_dense()[0].astype(float) @ encoder.encode_queries([""]).to_dense()[0]
    assert compared.score == pytest.approx(dense)
    assert sum(term.product for term in compared.shared) == pytest.approx(compared.score)
    assert sum(term.share for term in compared.shared) == pytest.approx(1 if compared.shared else 0)
    products = [term.product for term in compared.shared]
    assert products == sorted(products, reverse=True)
    assert {term.token for term in compared.shared} == set(document) & set(query)


def test_bm25_expands_nothing() -> None:
    encoder = BM25Encoder().fit(["heart and blood", "heart of the liver", "lung"])
    document = inspect_text(encoder, "heart blood heart bone")
    assert {term.token for term in document.terms} == {"heart", "blood"}
    assert (document.literal_share, document.expanded) == (1, ())
    compared = compare_texts(encoder, "heart blood", "blood lung")
    assert [term.token for term in compared.shared] == ["blood"]
    assert compared.score == pytest.approx(float(compared.shared[0].document_weight * encoder.idf[0]))
    assert compared.not_shared == (1, 1)
    assert np.isclose(compared.shared[0].share, 1)


def test_an_encoders_errors_stay_what_they_are() -> None:
    with pytest.raises(EncoderError, match="bm25 is not fitted"):
        inspect_text(BM25Encoder(), "heart")
    with pytest.raises(EncoderError, match="lone surrogate"):
        inspect_text(BM25Encoder().fit(["heart"]), "\ud800")
