"""Examples without duplicates, and what is drawn of them."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.collections.sources import Place
from lsr.errors import CollectionError
from lsr.training.data.examples import Example, draw, make_example, text_id

PLACE = Place("records.jsonl", 7)
DOCUMENTS = st.lists(st.sampled_from("abcdefgh"), max_size=12)


@given(DOCUMENTS.filter(bool), DOCUMENTS, DOCUMENTS, st.booleans())
def test_nothing_occurs_twice(positives: list[str], negatives: list[str], relevant: list[str], scored: bool) -> None:
    # The score of a document tells where it stood.
    scores = [float(at) for at in range(len(positives) + len(negatives))] if scored else None
    example = make_example(PLACE, "q", "query", positives, negatives, scores, relevant)
    assert set(example.positives) == set(positives)
    assert set(example.negatives) == set(negatives) - set(positives) - set(relevant)
    assert set(example.relevant) == set(relevant) - set(positives)
    documents = [*example.positives, *example.negatives]
    assert len(documents) == len(set(documents))
    if scored:
        firsts = [positives.index(each) for each in example.positives]
        firsts += [len(positives) + negatives.index(each) for each in example.negatives]
        assert example.scores == tuple(firsts)
        assert firsts == sorted(firsts)
    else:
        assert example.scores is None


def example_of(positives: int, negatives: int, scored: bool = False) -> Example:
    documents = [f"p{at}" for at in range(positives)], [f"n{at}" for at in range(negatives)]
    scores = [float(at) for at in range(positives + negatives)] if scored else None
    return make_example(PLACE, "q", "query", *documents, scores, ("r",))


@given(st.integers(1, 4), st.integers(0, 6), st.integers(1, 8), st.integers(0, 3), st.booleans())
def test_one_positive_and_different_negatives(
    positives: int, negatives: int, size: int, seed: int, scored: bool
) -> None:
    example = example_of(positives, negatives, scored=True)
    scored = scored and negatives >= size - 1
    drawn = draw(example, 3, size, Random(seed), scored, fill=True)
    assert drawn.documents[0] in example.positives
    assert set(drawn.documents[1:]) <= set(example.negatives)
    assert len(set(drawn.documents)) == len(drawn.documents) == min(size, 1 + negatives)
    assert drawn.short == size - len(drawn.documents)
    assert drawn.relevant == (*example.positives, "r")
    if scored:
        score_of = dict(zip((*example.positives, *example.negatives), example.scores or (), strict=True))
        assert drawn.scores == tuple(score_of[each] for each in drawn.documents)
    else:
        assert drawn.scores is None
    assert draw(example, 3, size, Random(seed), scored, fill=True) == drawn


def test_every_document_is_drawn_equally_often() -> None:
    random = Random(1)
    drawn = [draw(example_of(3, 6), 0, 3, random, False, fill=False).documents for _ in range(3000)]
    positives, negatives = Counter(first for first, *_ in drawn), Counter(each for _, *rest in drawn for each in rest)
    assert len(positives) == 3
    assert all(count == pytest.approx(1000, rel=0.15) for count in positives.values())
    assert len(negatives) == 6
    assert all(count == pytest.approx(1000, rel=0.15) for count in negatives.values())


@pytest.mark.parametrize(
    ("example", "scored", "fill", "message"),
    [
        (
            example_of(1, 2),
            False,
            False,
            r"records\.jsonl:7: the query has 2 negatives, but group = 4 needs 3, and random documents cannot",
        ),
        (
            example_of(1, 2, scored=True),
            True,
            True,
            r"records\.jsonl:7: the query has 2 negatives, .* random documents have no sc",
        ),
        (example_of(1, 5), True, True, r"records\.jsonl:7: the record has no scores"),
    ],
)
def test_draws_from_too_few_documents_are_refused(example: Example, scored: bool, fill: bool, message: str) -> None:
    with pytest.raises(CollectionError, match=message):
        draw(example, 0, 4, Random(0), scored, fill)


def test_equal_texts_have_equal_ids() -> None:
    assert text_id("ü") == "ccea9926cd506ef041d05adbd5a2dfb7"  # in every process, on every machine
    assert text_id("a") != text_id("b")
