"""Training examples: a query with all its documents, and the group of them that one epoch draws."""

from __future__ import annotations

from collections.abc import Container, Sequence
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from lsr.collections.sources import Place
from lsr.errors import CollectionError
from lsr.storage.ids import DIGEST_BYTES


class Example(NamedTuple):
    """A query with all documents to draw from.

    place: the place in its source, for errors.
    positives, negatives: ids of documents if the source has a corpus, else texts, without duplicates.
    scores: a teacher's scores, first of the positives, then of the negatives.
    relevant: ids of documents that are neither positives nor random negatives.
    """

    place: Place
    query_id: str
    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] | None = None
    relevant: tuple[str, ...] = ()


class Draw(NamedTuple):
    """The documents that an epoch has drawn from an example, before the texts of ids are looked up.

    number: the number of the example in its source, counted from 0.
    documents: as in Example, the positive first.
    short: the number of missing random documents.
    relevant: documents that the random ones must not be.
    """

    number: int
    place: Place
    query_id: str
    query: str
    documents: tuple[str, ...]
    scores: tuple[float, ...] | None
    short: int
    relevant: tuple[str, ...]

    @property
    def characters(self) -> int:
        """The number of characters of the texts, as a measure of memory."""
        return len(self.query) + sum(map(len, self.documents)) + sum(map(len, self.relevant))


class Group(NamedTuple):
    """A query and documents to score for it, the positive first.

    document_ids: one for each document; equal texts without ids have equal ids.
    scores: a teacher's score of each document; None if no scores were requested.
    relevant: ids of documents known to be relevant, with the positive.
    """

    query_id: str
    query: str
    document_ids: tuple[str, ...]
    documents: tuple[str, ...]
    scores: tuple[float, ...] | None
    relevant: tuple[str, ...] = ()


def text_id(text: str) -> str:
    """An id for a text without one. Equal texts have equal ids, in all sources and runs."""
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def make_example(
    place: Place,
    query_id: str,
    query: str,
    positives: Sequence[str],
    negatives: Sequence[str],
    scores: Sequence[float] | None = None,
    relevant: Sequence[str] = (),
) -> Example:
    """An Example without duplicate documents (the first one is kept) and without relevant negatives."""
    kept_positives = _first_places(positives, ())
    chosen = {positives[at] for at in kept_positives}
    kept_negatives = _first_places(negatives, chosen.union(relevant))
    if scores is not None:
        scores = [
            *(scores[at] for at in kept_positives),
            *(scores[len(positives) + at] for at in kept_negatives),
        ]
    return Example(
        place,
        query_id,
        query,
        tuple(positives[at] for at in kept_positives),
        tuple(negatives[at] for at in kept_negatives),
        None if scores is None else tuple(scores),
        tuple(each for each in relevant if each not in chosen),
    )


def draw(example: Example, number: int, size: int, random: Random, scored: bool, fill: bool) -> Draw:
    """Draw a random positive, and size - 1 different negatives.

    scored: whether scores are requested. fill: whether random documents can replace missing negatives. Raises
        CollectionError for too few negatives without `fill`, and for documents without requested scores.
    """
    positive = random.randrange(len(example.positives))
    wanted = size - 1
    drawn = random.sample(range(len(example.negatives)), min(wanted, len(example.negatives)))
    short = wanted - len(drawn)
    if scored and example.scores is None:
        raise CollectionError(
            f"{example.place}: the record has no scores, which the loss needs; add scores, or use a loss without a "
            "teacher"
        )
    if short and (scored or not fill):
        why = "random documents have no scores" if scored else "random documents cannot replace them here"
        raise CollectionError(
            f"{example.place}: the query has {len(example.negatives)} negatives, but group = {size} needs {wanted}, "
            f"and {why}; add negatives, or reduce group"
        )
    scores = None
    if scored and example.scores is not None:
        first_negative = len(example.positives)
        scores = (example.scores[positive], *(example.scores[first_negative + at] for at in drawn))
    return Draw(
        number,
        example.place,
        example.query_id,
        example.query,
        (example.positives[positive], *(example.negatives[at] for at in drawn)),
        scores,
        short,
        (*example.positives, *example.relevant),
    )


def _first_places(documents: Sequence[str], unwanted: Container[str]) -> list[int]:
    """The first place of each document, without unwanted ones."""
    seen: dict[str, int] = {}
    for place, document in enumerate(documents):
        if document not in unwanted:
            seen.setdefault(document, place)
    return list(seen.values())
