"""Batches through torch's DataLoader, with and without workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from lsr.training.data import Group, GroupStream, Judgements
from lsr.training.data.loading import GroupBatches
from tests.training.written import real


def queries_of(batch: tuple[Group, ...]) -> tuple[str, ...]:
    """What a training run does here is to make tensors."""
    return tuple(group.query_id for group in batch)


def load(stream: GroupStream, workers: int, **how: int) -> list[tuple[str, ...]]:
    batches = GroupBatches(stream, 100, 3, **how)
    loader = DataLoader(batches, batch_size=None, num_workers=workers, collate_fn=queries_of)
    return list(loader)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(tmp_path: Path, workers: int) -> None:
    stream = GroupStream(Judgements(*real("scifact", "train", tmp_path)), 2, seed=1)
    alone = load(stream, 0)
    assert [len(batch) for batch in alone] == [100] * 8 + [9]
    assert alone == [queries_of(batch) for batch in stream.batches(3, 100)]
    assert load(stream, workers) == alone
    assert load(stream, workers, skip=4) == alone[4:]
    halves = [load(stream, workers, rank=rank, ranks=2) for rank in range(2)]
    assert [len(batch) for batch in halves[1]] == [100] * 4 + [4]
    assert not set().union(*halves[0]).intersection(*halves[1])


def test_a_process_that_is_spawned(tmp_path: Path) -> None:
    stream = GroupStream(Judgements(*real("scifact", "train", tmp_path)), 3)
    batches = GroupBatches(stream, 300, 0)
    loader = DataLoader(
        batches, batch_size=None, num_workers=1, collate_fn=queries_of, multiprocessing_context="forkserver"
    )
    assert list(loader) == [queries_of(batch) for batch in batches]
