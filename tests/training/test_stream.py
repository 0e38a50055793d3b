"""The order of groups: each example once an epoch, whoever asks, and the same again after a stop."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.collections.sources import Place
from lsr.errors import CollectionError, ParameterError
from lsr.training.data import Example, Group, GroupStream, IdRecords, Judgments, TextRecords, Titles, stream
from lsr.training.data.examples import make_example, text_id
from lsr.training.data.store import Corpus
from tests.training.written import real, with_store, write_collection, write_letters, write_lines


class Numbers(NamedTuple):
    """Examples 0 to count - 1, each with two positives and four negatives, of scores of their own."""

    examples_there_are: int
    name: str = "numbers"
    corpus: Corpus | None = None

    def count(self) -> int | None:
        return self.examples_there_are

    def examples(self) -> Iterator[Example]:
        for number in range(self.examples_there_are):
            documents = [f"{number}+{at}" for at in range(2)], [f"{number}-{at}" for at in range(4)]
            scores = [number + at / 10 for at in range(6)]
            yield make_example(Place("numbers", number), str(number), f"query {number}", *documents, scores)


SEEDS, COUNTS, BUFFERS = st.integers(0, 5), st.integers(1, 40), st.sampled_from([1, 2, 7, 1000])


def query_ids(groups: Iterator[Group]) -> list[str]:
    return [group.query_id for group in groups]


@given(COUNTS, SEEDS, BUFFERS, st.integers(1, 5), st.integers(0, 3))
def test_every_example_once_an_epoch_over_all_shards(
    count: int, seed: int, buffer: int, shards: int, epoch: int
) -> None:
    groups = GroupStream(Numbers(count), 3, seed=seed, buffer=buffer)
    whole = list(groups.groups(epoch))
    assert sorted(int(group.query_id) for group in whole) == list(range(count))
    for shard in range(shards):
        assert list(groups.groups(epoch, shard=shard, shards=shards)) == whole[shard::shards]


@given(COUNTS, SEEDS, BUFFERS, st.integers(0, 45), st.integers(1, 3))
def test_the_rest_is_the_same_after_a_stop(count: int, seed: int, buffer: int, skip: int, shards: int) -> None:
    groups, again = (GroupStream(Numbers(count), 4, seed=seed, buffer=buffer, scored=True) for _ in range(2))
    whole = list(groups.groups(2, shard=shards - 1, shards=shards))
    assert list(again.groups(2, skip=skip, shard=shards - 1, shards=shards)) == whole[skip:]


@given(
    count=COUNTS,
    batch_size=st.integers(1, 5),
    ranks=st.integers(1, 3),
    skip=st.integers(0, 4),
)
def test_batches_of_ranks(count: int, batch_size: int, ranks: int, skip: int) -> None:
    groups = GroupStream(Numbers(count), 2, seed=1, buffer=10)
    of_rank = [list(groups.batches(5, batch_size, rank=rank, ranks=ranks)) for rank in range(ranks)]
    sizes = [[len(batch) for batch in batches] for batches in of_rank]
    assert sizes == [sizes[0]] * ranks
    assert all(size == batch_size for size in sizes[0][:-1])
    # Put together again, batch by batch and rank by rank, they are the epoch, but for what the last ones cannot share.
    together = list(chain.from_iterable(chain.from_iterable(zip(*of_rank, strict=True))))
    whole = list(groups.groups(5))
    assert together == whole[: len(together)]
    assert len(together) > count - ranks
    for rank in range(ranks):
        assert list(groups.batches(5, batch_size, skip=skip, rank=rank, ranks=ranks)) == of_rank[rank][skip:]


def test_epochs_and_seeds_differ() -> None:
    orders = [tuple(GroupStream(Numbers(30), 3, seed=seed).groups(epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert len({tuple(group.query_id for group in order) for order in orders}) == 9
    # The documents of an example differ, too, not only its place.
    of_one = {next(group.documents for group in order if group.query_id == "7") for order in orders}
    assert len(of_one) > 5


@given(st.integers(1, 60), st.sampled_from([1, 2, 9, 100]))
def test_no_group_comes_earlier_than_the_buffer_allows(count: int, buffer: int) -> None:
    order = query_ids(GroupStream(Numbers(count), 1, buffer=buffer).groups(0))
    assert all(int(number) - place < buffer for place, number in enumerate(order))


def test_a_large_buffer_shuffles_everything() -> None:
    order = [int(number) for number in query_ids(GroupStream(Numbers(2000), 1).groups(0))]
    displaced = sum(abs(number - place) for place, number in enumerate(order)) / len(order)
    assert displaced == pytest.approx(2000 / 3, rel=0.1)  # what uniform shuffling gives


def test_scores_are_those_of_the_documents() -> None:
    for group in GroupStream(Numbers(20), 4, scored=True).groups(0):
        at = [int(document[-1]) + 2 * ("-" in document) for document in group.documents]
        assert group.scores == tuple(int(group.query_id) + each / 10 for each in at)
    assert all(group.scores is None for group in GroupStream(Numbers(20), 4).groups(0))


def test_whole_groups_hold_everything() -> None:
    examples = list(Numbers(5).examples())
    groups = list(GroupStream(Numbers(5), 2).whole_groups())
    assert [group.query_id for group in groups] == [example.query_id for example in examples]
    for group, example in zip(groups, examples, strict=True):
        assert group.documents == (*example.positives, *example.negatives)
        assert group.scores is None


def test_texts_without_ids(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl", [{"query": "q", "positive": "p", "negative": "n"}] * 2)
    groups = list(GroupStream(TextRecords(path), 2).groups(0))
    assert groups == [Group(text_id("q"), "q", (text_id("p"), text_id("n")), ("p", "n"), None, (text_id("p"),))] * 2


@given(st.integers(1, 8), SEEDS, st.integers(0, 3))
def test_random_negatives_are_judged_by_no_split(
    letters: Callable[[str], Judgments | IdRecords], size: int, seed: int, epoch: int
) -> None:
    """Of ten documents, a to j: a, b and c are relevant to q1."""
    for kind in ("judgments", "records"):
        source = letters(kind)
        for group in GroupStream(source, size, seed=seed).groups(epoch):
            positive, *negatives = group.document_ids
            relevant = {"q1": {"a", "b", "c"}, "q2": {"j"}}[group.query_id]
            assert positive in ({"a", "b"} if group.query_id == "q1" else {"j"})
            assert not relevant.intersection(negatives)
            assert len(set(negatives)) == len(negatives) == size - 1
            assert group.documents == tuple(f"Title {each} text of {each}" for each in group.document_ids)
            if kind == "records" and group.query_id == "q1":
                assert size < 3 or {"d", "e"} <= set(negatives)  # mined ones first


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Judgments | IdRecords]:
    folder = tmp_path_factory.mktemp("letters")
    train = {"q1": {"a": 1, "b": 2, "d": 0}, "q2": {"j": 1}}
    judged = with_store(write_letters(folder / "c", train=train, test={"q1": {"c": 1}}), "train")
    records = [
        {"query_id": "q1", "positive_ids": ["a", "b"], "negative_ids": ["d", "c", "e"]},
        {"query_id": "q2", "positive_ids": ["j"], "negative_ids": []},
    ]
    sources = {
        "judgments": Judgments(*judged),
        "records": IdRecords(write_lines(folder / "r.jsonl", records), *judged),
    }
    return lambda kind: sources[kind]


@pytest.mark.data
def test_real_judgments(tmp_path: Path) -> None:
    collection, store = real("nfcorpus", "train", tmp_path)
    relevant, queries = collection.relevant(), collection.queries()
    groups = list(GroupStream(Judgments(collection, store), 8, seed=3).groups(1))
    assert sorted(group.query_id for group in groups) == sorted(queries)
    for group in groups:
        known = relevant[group.query_id]
        assert [doc_id in known for doc_id in group.document_ids] == [True] + [False] * 7
        assert group.query == queries[group.query_id]


@pytest.mark.data
def test_real_titles(tmp_path: Path) -> None:
    collection, store = real("medquad-liveqa", None, tmp_path)
    groups = GroupStream(Titles(collection, store), 4).groups(0)
    for group in (group for _, group in zip(range(2000), groups, strict=False)):
        documents = [store[row] for row in store.ids.rows(group.document_ids).tolist()]
        assert tuple(document.text for document in documents) == group.documents
        assert [document.title == group.query for document in documents] == [True, False, False, False]


def test_more_negatives_than_the_collection_has(tmp_path: Path) -> None:
    source = Judgments(*with_store(write_letters(tmp_path / "c", train={"q1": {"a": 1, "b": 1}}), "train"))
    [group] = GroupStream(source, 9).groups(0)
    assert set(group.document_ids[1:]) == set("cdefghij")
    with pytest.raises(CollectionError, match=r"query 'q1':1: group = 10 needs 9 random negatives, .*8 documents"):
        list(GroupStream(source, 10).groups(0))


def test_a_rare_opposite_is_found_in_a_large_collection(tmp_path: Path) -> None:
    documents = [(f"d{at}", "same title" if at != 2500 else "other", "text") for at in range(5000)]
    collection, store = with_store(write_collection(tmp_path / "c", documents, {}))
    source = Titles(collection, store)
    for seed in range(10):  # the search begins at a random place, before it or after it
        groups = GroupStream(source, 2, seed=seed).groups(0)
        assert next(group for group in groups if group.query != "other").document_ids[1] == "d2500"


def test_unknown_and_empty_documents_are_named(tmp_path: Path) -> None:
    folder = write_collection(
        tmp_path / "c", [("a", "", "text"), ("empty", "", "")], {"q1": "one"}, train={"q1": {"a": 1}}
    )
    judged = with_store(folder, "train")
    for doc_id in ("gone", "empty"):
        record = {"query_id": "q1", "positive_ids": ["a"], "negative_ids": [doc_id]}
        path = write_lines(tmp_path / "r.jsonl", [record])
        groups = GroupStream(IdRecords(path, *judged), 2)
        with pytest.raises(
            CollectionError, match=rf"r\.jsonl:1: document '{doc_id}' is not in the collection, or has no text"
        ):
            list(groups.groups(0))


def test_too_few_negatives_without_a_collection(tmp_path: Path) -> None:
    records = [{"query": "q", "positive": "p", "negatives": ["n1", "n2"]}, {"query": "q", "positive": "p"}]
    path = write_lines(tmp_path / "r.jsonl", records)
    assert len(list(GroupStream(TextRecords(path), 1).groups(0))) == 2
    with pytest.raises(
        CollectionError,
        match=r"r\.jsonl:2: the query has 0 negatives, but group = 3 needs 2, and random documents cannot",
    ):
        list(GroupStream(TextRecords(path), 3).groups(0))


def test_a_source_without_examples(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl", [])
    with pytest.raises(CollectionError, match=r"r\.jsonl: has no training example"):
        list(GroupStream(TextRecords(path), 1).groups(0))


def test_invalid_streams_are_refused() -> None:
    for keywords, message in (
        ({"size": 0}, "size is 0; it must be at least 1"),
        ({"size": 1, "buffer": 0}, "buffer is 0; it must be at least 1"),
    ):
        with pytest.raises(ParameterError, match=message):
            GroupStream(Numbers(3), **keywords)
    groups = GroupStream(Numbers(3), 1)
    for call, message in (
        (lambda: groups.groups(0, shard=2, shards=2), "shard is 2; it must be at least 0 and below shards"),
        (lambda: groups.groups(0, skip=-1), "skip is -1"),
        (lambda: groups.batches(0, 0), "batch_size is 0"),
        (lambda: groups.batches(0, 1, rank=-1), "rank is -1; it must be at least 0 and below ranks"),
    ):
        with pytest.raises(ParameterError, match=message):
            next(call())


def test_memory_is_bounded_by_the_characters_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BUFFER_CHARACTERS", 1_000_000)
    path = tmp_path / "r.jsonl"
    with path.open("w") as file:
        for at in range(20_000):
            file.write(f'{{"query": "query {at}", "positive": "{f"p{at} " * 100}", "negative": "{f"n{at} " * 100}"}}\n')
    tracemalloc.start()
    try:
        order = query_ids(GroupStream(TextRecords(path), 2).groups(0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(order)) == 20_000
    assert peak < 6_000_000 < path.stat().st_size
