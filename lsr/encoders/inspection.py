"""The weighted terms of a text, and the terms that two texts share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lsr.encoders.base import Encoder


@dataclass(frozen=True, slots=True)
class InspectedTerm:
    """A term of a text. literal: whether it is a token of the text; all other terms are expansion."""

    token: str
    component: int
    weight: float
    literal: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """The terms of a text, heaviest first; equal weights by component."""

    text: str
    terms: tuple[InspectedTerm, ...]

    @property
    def literal(self) -> tuple[InspectedTerm, ...]:
        return tuple(term for term in self.terms if term.literal)

    @property
    def expanded(self) -> tuple[InspectedTerm, ...]:
        return tuple(term for term in self.terms if not term.literal)

    @property
    def literal_share(self) -> float:
        """The share of literal terms in the sum of weights; 0 without terms."""
        return _sum(self.literal) / _sum(self.terms) if self.terms else 0.0


@dataclass(frozen=True, slots=True)
class SharedTerm:
    """A term of both texts: its weights, their product, and the share of the product in the score."""

    token: str
    component: int
    document_weight: float
    query_weight: float
    product: float
    share: float
    in_document: bool
    in_query: bool


@dataclass(frozen=True, slots=True)
class ScoreInspection:
    """The score of a document for a query: the sum of the products of their shared terms.

    shared: largest product first. in_document, in_query of a term: whether it is a token of that text.
    """

    document: Inspection
    query: Inspection
    shared: tuple[SharedTerm, ...]
    score: float

    @property
    def not_shared(self) -> tuple[int, int]:
        """The numbers of terms of the document, and of the query, that the other does not have."""
        return len(self.document.terms) - len(self.shared), len(self.query.terms) - len(self.shared)


def inspect_text(encoder: Encoder, text: str, query: bool = False) -> Inspection:
    """The terms of a document, or of a query. Raises EncoderError of the encoder."""
    vectors = encoder.encode_queries([text]) if query else encoder.encode_documents([text])
    components, weights = vectors.row(0)
    literal = encoder.literal(text, query)
    order = np.lexsort((components, -weights))
    pairs = zip(components[order].tolist(), weights[order].tolist(), strict=True)
    name = encoder.vocabulary.token
    return Inspection(text, tuple(InspectedTerm(name(each), each, weight, each in literal) for each, weight in pairs))


def compare_texts(encoder: Encoder, document: str, query: str) -> ScoreInspection:
    """The terms that a document and a query share. Raises EncoderError of the encoder."""
    left, right = inspect_text(encoder, document), inspect_text(encoder, query, query=True)
    of_query = {term.component: term for term in right.terms}
    pairs = [(term, of_query[term.component]) for term in left.terms if term.component in of_query]
    score = sum(mine.weight * theirs.weight for mine, theirs in pairs)
    shared = [
        SharedTerm(
            token=mine.token,
            component=mine.component,
            document_weight=mine.weight,
            query_weight=theirs.weight,
            product=mine.weight * theirs.weight,
            share=mine.weight * theirs.weight / score,
            in_document=mine.literal,
            in_query=theirs.literal,
        )
        for mine, theirs in pairs
    ]
    shared.sort(key=lambda term: (-term.product, term.component))
    return ScoreInspection(left, right, tuple(shared), score)


def _sum(terms: Iterable[InspectedTerm]) -> float:
    return sum(term.weight for term in terms)
