"""WriteQueue: changes of one index, in the order of the requests. Waiting changes share a commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from lsr.distributed.sharded_searcher import ShardedSearcher
from lsr.errors import LsrError, StorageError
from lsr.serve.awaited import Awaited
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.served_index import ServedIndex

Answer = dict[str, Any]
Generation = int | tuple[int, ...]  # a tuple has one generation per shard
MOST_TOGETHER = 256  # changes of one commit

_LOG = logging.getLogger(__name__)


class Write(Awaited[Answer]):
    """A change. change: changes a searcher, without a commit, and returns the answer for the client."""

    def __init__(self, change: Callable[[Any], Answer]) -> None:
        super().__init__()
        self.change = change


class WriteQueue:
    """A thread that makes all changes of an index. While there are changes, no other process can write the index."""

    def __init__(self, index: ServedIndex, metrics: ServeMetrics) -> None:
        self._searcher, self._metrics = index.searcher, metrics
        # If shards refuse a change, all uncommitted changes are dropped. So a commit has only one change.
        self._together = 1 if isinstance(index.searcher, ShardedSearcher) else MOST_TOGETHER
        self._waiting: SimpleQueue[Write | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=f"lsr write {index.name}")

    def start(self) -> None:
        self._thread.start()

    def __len__(self) -> int:
        return self._waiting.qsize()

    async def answer(self, write: Write) -> Answer:
        """The answer of a change that has been committed, with the generation, and whether searches see it.

        Raises the errors of the change and of the commit.
        """
        self._waiting.put(write)
        return await write.result

    def close(self) -> None:
        """Make waiting changes, wait for merges, and end."""
        self._waiting.put(None)
        self._thread.join()
        self._searcher.close()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ends = [first], False
            while len(batch) < self._together and not ends:
                try:
                    more = self._waiting.get_nowait()
                except Empty:
                    break
                if more is None:
                    ends = True
                else:
                    batch.append(more)
            self._commit(batch)
            if ends:
                return

    def _commit(self, batch: list[Write]) -> None:
        changed: list[tuple[Write, Answer]] = []
        try:
            begun = monotonic()
            changed.extend(self._changed(batch))
            written = monotonic()
            generation = self._searcher.commit() if changed else 0
            visible = _visible(generation, self._searcher.snapshot.number)
            self._metrics.observe("write", written - begun)
            self._metrics.observe("commit", monotonic() - written)
        except Exception as error:  # drop all changes of the batch; none is committed
            try:
                self._searcher.rollback()
            except Exception:  # the thread must not end; the next writer removes the rest
                _LOG.warning(
                    "lsr: uncommitted changes could not be removed; the next writer removes them", exc_info=True
                )
            for write in batch:
                write.fail(error)
            return
        for write, answer in changed:
            write.settle({**answer, "generation": generation, "visible": visible})

    def _changed(self, batch: list[Write]) -> Iterator[tuple[Write, Answer]]:
        """The successful changes and their answers. Failed changes do not affect the others."""
        for write in batch:
            try:
                yield write, write.change(self._searcher)
            except StorageError:
                raise
            except LsrError as error:
                write.fail(error)


def _visible(generation: Generation, seen: Generation | None) -> bool:
    if isinstance(generation, tuple) or isinstance(seen, tuple):  # a ShardedSearcher sees its own commits
        return True
    return seen is not None and seen >= generation
