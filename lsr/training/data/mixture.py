"""Several sets of training data as one: every batch is from one set, as in OpenSearch's CombinedRandomSampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, islice
from random import Random
from typing import NamedTuple

from lsr.errors import CollectionError
from lsr.training.data.examples import Group
from lsr.training.data.stream import GroupStream


class MixedBatch(NamedTuple):
    """The groups of a batch. number: the number of their stream, counted from 0."""

    number: int
    groups: tuple[Group, ...]


class Mixture:
    """Batches of some streams, without end, for one of several training processes.

    An epoch has as many batches as one epoch of all streams together. Without `weights`, these are the batches of those
    epochs, in random order, so that each example comes once. With `weights`, one of each stream, every batch is drawn:
    a stream has a share in proportion to its weight, continues in the next epoch of the mixture, and begins its own
    next epoch at its end.

    The stream of a batch depends only on `seed` and the number of the batch, and is the same in all processes.
    batch_size: groups of one process. rank, ranks: see GroupStream.batches.

    Reads every source once, to count. Raises CollectionError for a source with fewer examples than processes.
    """

    def __init__(
        self,
        streams: Sequence[GroupStream],
        batch_size: int,
        *,
        weights: Sequence[float] | None = None,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.streams = tuple(streams)
        self._batch_size, self._weights, self._seed, self._rank, self._ranks = batch_size, weights, seed, rank, ranks
        self._sizes = [_batches_of_epoch(stream, batch_size, ranks) for stream in streams]

    @property
    def per_epoch(self) -> int:
        """Batches per epoch and process."""
        return sum(self._sizes)

    def batches(self, skip: int = 0) -> Iterator[MixedBatch]:
        """All batches from number `skip`, counted from 0 over all epochs."""
        first, rest = divmod(skip, self.per_epoch)
        before: Counter[int] = Counter()
        for epoch in range(first):
            before.update(self._order(epoch))
        before.update(self._order(first)[:rest])
        following = [self._of_stream(number, before[number]) for number in range(len(self.streams))]
        for epoch in count(first):
            for number in islice(self._order(epoch), rest if epoch == first else 0, None):
                yield MixedBatch(number, next(following[number]))

    def _order(self, epoch: int) -> list[int]:
        """The streams of the batches of an epoch."""
        random = Random(f"{self._seed} {epoch} streams")
        if self._weights is not None:
            return random.choices(range(len(self.streams)), self._weights, k=self.per_epoch)
        order = [number for number, size in enumerate(self._sizes) for _ in range(size)]
        random.shuffle(order)
        return order

    def _of_stream(self, number: int, skip: int) -> Iterator[tuple[Group, ...]]:
        first, rest = divmod(skip, self._sizes[number])
        for epoch in count(first):
            yield from self.streams[number].batches(
                epoch, self._batch_size, skip=rest if epoch == first else 0, rank=self._rank, ranks=self._ranks
            )


def _batches_of_epoch(stream: GroupStream, batch_size: int, ranks: int) -> int:
    """The number of batches for each of several processes in one epoch."""
    whole, rest = divmod(sum(1 for _ in stream.source.examples()), batch_size * ranks)
    batches = whole + (rest >= ranks)
    if not batches:
        raise CollectionError(f"{stream.source.name}: has too few queries to train on; it needs at least {ranks}")
    return batches
