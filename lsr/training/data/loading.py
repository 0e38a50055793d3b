"""Batches of groups for torch's DataLoader, made in its workers."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import IterableDataset, get_worker_info

from lsr.training.data.examples import Group
from lsr.training.data.stream import GroupStream


class GroupBatches(IterableDataset[tuple[Group, ...]]):
    """The batches that one rank trains on in one epoch, from number `skip` on; see GroupStream.batches.

    For DataLoader(GroupBatches(...), batch_size=None, num_workers=..., collate_fn=...), which calls collate_fn in the
    worker, with a tuple of groups. One is made for each epoch.
    """

    def __init__(
        self, stream: GroupStream, batch_size: int, epoch: int, *, skip: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        self._stream, self._batch_size, self._epoch = stream, batch_size, epoch
        self._skip, self._rank, self._ranks = skip, rank, ranks

    def __iter__(self) -> Iterator[tuple[Group, ...]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        return self._stream.batches(
            self._epoch,
            self._batch_size,
            skip=self._skip,
            rank=self._rank,
            ranks=self._ranks,
            worker=worker,
            workers=workers,
        )
