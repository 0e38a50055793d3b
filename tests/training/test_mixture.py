"""Several sets of data as one: whose batch comes when, how often, and the same again after a stop."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import CollectionError, ParameterError
from lsr.training.data import GroupStream, Mixture
from lsr.training.data.mixture import MixedBatch
from lsr.training.training_config import read_training
from tests.training.test_stream import Numbers
from tests.training.trained import log_of, train_here, write_config
from tests.training.written import write_collection, write_lines

COUNTS = st.lists(st.integers(3, 30), min_size=1, max_size=4)
WEIGHTS = st.sampled_from([None, 1, 2])


def mixture(counts: list[int], weight: int | None = None, **keywords: int) -> Mixture:
    streams = [GroupStream(Numbers(count), 2, seed=1, buffer=10) for count in counts]
    weights = None if weight is None else [weight**number for number in range(len(counts))]
    return Mixture(streams, 3, weights=weights, **keywords)


def first(mixed: Mixture, batches: int, skip: int = 0) -> list[MixedBatch]:
    return list(islice(mixed.batches(skip), batches))


@given(COUNTS, st.integers(0, 3))
def test_in_an_epoch_every_example_of_every_set_comes_once(counts: list[int], epoch: int) -> None:
    mixed = mixture(counts)
    assert mixed.per_epoch == sum(-(-count // 3) for count in counts)
    found = first(mixed, mixed.per_epoch, epoch * mixed.per_epoch)
    of_set: dict[int, list[str]] = {number: [] for number in range(len(counts))}
    for number, groups in found:
        of_set[number] += [group.query_id for group in groups]
    for number, count in enumerate(counts):
        assert sorted(map(int, of_set[number])) == list(range(count))


@given(COUNTS, WEIGHTS, st.integers(0, 90), st.integers(1, 3))
def test_the_rest_is_the_same_after_a_stop(counts: list[int], weight: int | None, skip: int, ranks: int) -> None:
    whole, again = (mixture(counts, weight, seed=4, rank=ranks - 1, ranks=ranks) for _ in range(2))
    assert first(again, 20, skip) == first(whole, skip + 20)[skip:]


@given(COUNTS, WEIGHTS)
def test_processes_agree_on_the_set_and_share_its_groups(counts: list[int], weight: int | None) -> None:
    of_rank = [first(mixture(counts, weight, rank=rank, ranks=2), 30) for rank in range(2)]
    for one, other in zip(*of_rank, strict=True):
        assert one.number == other.number
        assert not {group.query_id for group in one.groups} & {group.query_id for group in other.groups}


def test_sets_come_in_random_order_with_shares_of_their_sizes_or_weights() -> None:
    by_size = first(mixture([300, 600, 2100]), 1000)
    assert Counter(batch.number for batch in by_size) == {0: 100, 1: 200, 2: 700}
    early = Counter(batch.number for batch in by_size[:300])
    assert early[0] == pytest.approx(30, abs=15) and early[2] == pytest.approx(210, abs=25)

    by_weight = first(mixture([300, 600, 2100], 3), 13_000)  # 1, 3 and 9 of 13
    shares = Counter(batch.number for batch in by_weight)
    assert [shares[number] for number in range(3)] == [pytest.approx(1000 * 3**n, rel=0.1) for n in range(3)]
    # A set goes on from epoch to epoch: all its examples come equally often.
    for number in range(3):
        groups = chain.from_iterable(batch.groups for batch in by_weight if batch.number == number)
        times = Counter(group.query_id for group in groups).values()
        assert max(times) - min(times) <= 1

    orders = {tuple(batch.number for batch in first(mixture([60, 90], seed=seed), 50)) for seed in range(5)}
    assert len(orders) == 5


def test_a_set_without_enough_examples_is_named() -> None:
    with pytest.raises(CollectionError, match="numbers: has too few queries to train on; it needs at least 4"):
        mixture([30, 3], ranks=4)


def test_sets_of_a_training(tmp_path: Path) -> None:
    """Texts whose first word tells their set never meet in a batch, and stored scores are those of their set."""
    letters, numbers = (
        write_collection(
            tmp_path / name,
            [(f"d{at}", "", f"{word} sea {other}") for at, other in enumerate(("run", "beta", "of", "the"))],
            {f"q{at}": f"{word} {other}" for at, other in enumerate(("run", "beta"))},
            train={"q0": {"d0": 1}, "q1": {"d1": 1}},
        )
        for name, word in (("letters", "alpha"), ("numbers", "gamma"))
    )
    mined = [{"query_id": f"q{at}", "positive_ids": [f"d{at}"], "negative_ids": ["d2", "d3"]} for at in range(2)]
    negatives = write_lines(tmp_path / "mined.jsonl", mined)
    sets = [f'[[data]]\ncollection = "{each}"\nnegatives = "{negatives}"\ngroup = 3\n' for each in (letters, numbers)]
    losses = []
    for store in ("true", "false"):
        teacher = f'[teacher]\nsparse = ["tiny"]\nweights = [2.5]\nscale = 5\nstore = {store}'
        path = write_config(tmp_path, "steps = 8", teacher, losses='name = "kl"', regularizer="")
        text = path.read_text()
        start, end = text.index("[data]"), text.index("[[losses]]")
        path.write_text(text[:start] + "".join(sets) + text[end:])
        train_here(path, store)
        losses.append([float(row["kl"]) for row in log_of(tmp_path / store)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    config = read_training(path)
    assert [data.collection for data in config.data] == [str(letters), str(numbers)]
    path.write_text(path.read_text().replace("group = 3", "group = 3\nweight = 2", 1))
    with pytest.raises(ParameterError, match="only some ..data.. have a weight"):
        read_training(path)
    path.write_text(path.read_text().replace("weights = [2.5]", "weights = [1, 2]"))
    with pytest.raises(ParameterError, match="there are 2 weights for 1 teachers; give one weight per teacher"):
        read_training(path)
