"""What is trained on: a query with all its documents, and the group of them that one epoch draws."""

from __future__ import annotations

from collections.abc import Container, Sequence
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from lsr.collections.sources import Place
from lsr.errors import CollectionError
from lsr.storage.ids import DIGEST_BYTES


class Example(NamedTuple):
    """A query with every document to draw from.

    place: where it was read, for errors.
    positives, negatives: ids of documents where the source has a corpus, else texts; none occurs twice.
    scores: a teacher's, of the positives and then of the negatives.
    relevant: ids of documents that are neither: drawn neither as positives nor as random negatives.
    """

    place: Place
    query_id: str
    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] | None = None
    relevant: tuple[str, ...] = ()


class Draw(NamedTuple):
    """What an epoch has drawn of an example, before the texts of ids are looked up.

    number: of the example, counted from 0. documents: as in Example, the positive first.
    short: how many random documents are missing. relevant: documents that these must not be.
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
        """About what it takes in memory."""
        return len(self.query) + sum(map(len, self.documents)) + sum(map(len, self.relevant))


class Group(NamedTuple):
    """A query and documents to score for it, the positive first.

    document_ids: one for each document; equal texts that came without ids have equal ids.
    scores: a teacher's, one for each document; None where no scores were asked for.
    relevant: ids of documents known to be relevant, the positive among them.
    """

    query_id: str
    query: str
    document_ids: tuple[str, ...]
    documents: tuple[str, ...]
    scores: tuple[float, ...] | None
    relevant: tuple[str, ...] = ()


def text_id(text: str) -> str:
    """An id for a text that has none: equal texts have the same, across sources and runs."""
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
    """An Example, in which documents are kept where they occur first, and negatives that are relevant not at all."""
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
    """One positive at random, and size - 1 different negatives.

    scored: whether scores are wanted. fill: whether random documents can stand in for negatives that there are not.
    Raises CollectionError for too few negatives without `fill`, and for documents without scores that should have some.
    """
    positive = random.randrange(len(example.positives))
    wanted = size - 1
    drawn = random.sample(range(len(example.negatives)), min(wanted, len(example.negatives)))
    short = wanted - len(drawn)
    if scored and example.scores is None:
        raise CollectionError(f"{example.place}: there are no scores; add them, or train without a teacher's scores")
    if short and (scored or not fill):
        why = "random documents have no scores" if scored else "random ones cannot stand in for them here"
        raise CollectionError(
            f"{example.place}: {len(example.negatives)} negatives, groups of {size} need {wanted}, and {why}; "
            f"add negatives, or make groups smaller"
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
    """Where each document occurs first, without those that are unwanted."""
    seen: dict[str, int] = {}
    for place, document in enumerate(documents):
        if document not in unwanted:
            seen.setdefault(document, place)
    return list(seen.values())
