"""Groups of a source, epoch by epoch: drawn, shuffled, distributed to processes, and resumed at any place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from random import Random

from lsr.batched import batched
from lsr.errors import CollectionError, ParameterError
from lsr.training.data.examples import Draw, Group, draw, text_id
from lsr.training.data.record_sources import RecordSource
from lsr.training.data.store import Corpus

BUFFER_GROUPS = 1 << 16
BUFFER_CHARACTERS = 1 << 26
TRIES_BEFORE_SCAN = 100  # before all documents of the corpus are tried one by one


class GroupStream:
    """Groups of `size` documents: one of every example of a source, in each epoch.

    Which groups are drawn, and their order, depends only on the source, `size`, `seed` and the number of the epoch, and
    not on the number of processes, or the place from which an epoch is resumed. Groups are shuffled in a buffer of
    `buffer` groups (and of 64 million characters): a group comes earlier than its place in the source by at most the
    size of the buffer, and later by any number of places. Every process reads the source, but looks up only the texts
    of its own groups.

    scored: whether groups come with scores; every example must then have scores.
    fill: whether missing negatives are drawn at random from the corpus. Without it, with scores, and without a corpus,
        too few negatives are an error.

    Raises ParameterError for a size or buffer below 1. Iterating raises CollectionError, which names the place.
    """

    def __init__(
        self,
        source: RecordSource,
        size: int,
        *,
        seed: int = 0,
        scored: bool = False,
        fill: bool = True,
        buffer: int = BUFFER_GROUPS,
    ) -> None:
        for name, value in (("size", size), ("buffer", buffer)):
            if value < 1:
                raise ParameterError(f"{name} is {value}; it must be at least 1")
        self.source = source
        self.size = size
        self._seed, self._scored, self._buffer = seed, scored, buffer
        self._fill = fill and source.corpus is not None

    def groups(self, epoch: int, *, skip: int = 0, shard: int = 0, shards: int = 1) -> Iterator[Group]:
        """Every `shards`-th group of an epoch, from number `shard`, without the first `skip` of these."""
        _check_share("shard", shard, "shards", shards, skip)
        for drawn in islice(self._shuffled(epoch), shard + skip * shards, None, shards):
            yield self._group(drawn, epoch)

    def whole_groups(self) -> Iterator[Group]:
        """All positives and all negatives of every example, in the order of the source."""
        for number, example in enumerate(self.source.examples()):
            place, query_id, query, positives, negatives, _, relevant = example
            documents = (*positives, *negatives)
            yield self._group(Draw(number, place, query_id, query, documents, None, 0, (*positives, *relevant)), 0)

    def batches(
        self,
        epoch: int,
        batch_size: int,
        *,
        skip: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> Iterator[tuple[Group, ...]]:
        """Batches of an epoch for one of several training processes.

        skip: number of batches of each process to skip, after an interruption. All processes get the same number of
            batches of the same sizes: the last one can be smaller, and up to ranks - 1 groups are not used.
        """
        if batch_size < 1:
            raise ParameterError(f"batch_size is {batch_size}; it must be at least 1")
        _check_share("rank", rank, "ranks", ranks, skip)
        for number, together in enumerate(batched(self._shuffled(epoch), batch_size * ranks)):
            share = len(together) // ranks
            if share and number >= skip:
                yield tuple(self._group(each, epoch) for each in together[rank * share : (rank + 1) * share])

    def _shuffled(self, epoch: int) -> Iterator[Draw]:
        random = Random(f"{self._seed} {epoch} order")
        held: list[Draw] = []
        characters = 0
        for drawn in self._draws(epoch):
            size = drawn.characters
            while held and (len(held) >= self._buffer or characters + size > BUFFER_CHARACTERS):
                at = random.randrange(len(held))
                held[at], held[-1] = held[-1], held[at]
                characters -= held[-1].characters
                yield held.pop()
            held.append(drawn)
            characters += size
        random.shuffle(held)
        yield from held

    def _draws(self, epoch: int) -> Iterator[Draw]:
        number = -1
        for number, example in enumerate(self.source.examples()):
            random = Random(f"{self._seed} {epoch} {number}")
            yield draw(example, number, self.size, random, self._scored, self._fill)
        if number < 0:
            raise CollectionError(f"{self.source.name}: has no training example; it needs at least one")

    def _group(self, drawn: Draw, epoch: int) -> Group:
        corpus = self.source.corpus
        if corpus is None:
            ids = tuple(map(text_id, drawn.documents))
            relevant = tuple(map(text_id, drawn.relevant))
            return Group(drawn.query_id, drawn.query, ids, drawn.documents, drawn.scores, relevant)
        rows = _rows_of(corpus, drawn)
        if drawn.short:
            rows += self._random_rows(corpus, drawn, epoch)
        ids = (*drawn.documents, *(corpus.store.ids[row] for row in rows[len(drawn.documents) :]))
        return Group(drawn.query_id, drawn.query, ids, tuple(map(corpus.text, rows)), drawn.scores, drawn.relevant)

    def _random_rows(self, corpus: Corpus, drawn: Draw, epoch: int) -> list[int]:
        """Different rows of documents without any judgment."""
        random = Random(f"{self._seed} {epoch} {drawn.number} random")
        count = len(corpus)
        first = random.randrange(count)
        guesses = (random.randrange(count) for _ in range(TRIES_BEFORE_SCAN + 2 * drawn.short))
        taken = {*drawn.documents, *drawn.relevant}
        rows: list[int] = []
        for row in chain(guesses, range(first, count), range(first)):
            doc_id = corpus.store.ids[row]
            if doc_id not in taken and corpus.opposes(row, drawn.query):
                taken.add(doc_id)
                rows.append(row)
                if len(rows) == drawn.short:
                    return rows
        raise CollectionError(
            f"{drawn.place}: group = {self.size} needs {drawn.short} random negatives, but only {len(rows)} documents "
            "of the collection are not relevant; reduce group"
        )


def _rows_of(corpus: Corpus, drawn: Draw) -> list[int]:
    rows: list[int] = corpus.store.ids.rows(drawn.documents).tolist()
    if -1 in rows:
        raise CollectionError(
            f"{drawn.place}: document {drawn.documents[rows.index(-1)]!r} is not in the collection, or has no text; "
            "use the collection of these ids"
        )
    return rows


def _check_share(name: str, number: int, names: str, count: int, skip: int) -> None:
    if not 0 <= number < count:
        raise ParameterError(f"{name} is {number}; it must be at least 0 and below {names} ({count})")
    if skip < 0:
        raise ParameterError(f"skip is {skip}; it must be at least 0")
