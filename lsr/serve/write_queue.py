"""WriteQueue: changes of one index, made in the order in which they came; those that wait share a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from lsr.errors import LsrError, StorageError
from lsr.retrieval.searcher import Searcher
from lsr.serve.awaited import Awaited
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.served_index import ServedIndex

Answer = dict[str, Any]
MOST_TOGETHER = 256  # changes of one commit


class Write(Awaited[Answer]):
    """change: makes a change, not yet committed, and tells what it did."""

    def __init__(self, change: Callable[[Searcher], Answer]) -> None:
        super().__init__()
        self.change = change


class WriteQueue:
    """One thread, which is the one writer of an index while it has changes."""

    def __init__(self, index: ServedIndex, metrics: ServeMetrics) -> None:
        self._searcher, self._metrics = index.searcher, metrics
        self._waiting: SimpleQueue[Write | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=f"lsr write {index.name}")

    def start(self) -> None:
        self._thread.start()

    def __len__(self) -> int:
        return self._waiting.qsize()

    async def answer(self, write: Write) -> Answer:
        """What the change did, and the generation that has it: it is on disk by then. Raises what the change raises."""
        self._waiting.put(write)
        return await write.result

    def close(self) -> None:
        """Make the changes that wait, wait for merges, and end."""
        self._waiting.put(None)
        self._thread.join()
        self._searcher.close()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ends = [first], False
            while len(batch) < MOST_TOGETHER and not ends:
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
            self._metrics.observe("write", written - begun)
            self._metrics.observe("commit", monotonic() - written)
        except Exception as error:  # of the disk, or a defect: nothing of it is kept
            with suppress(LsrError):  # what it cannot remove is left to the next writer; the thread must go on
                self._searcher.rollback()
            for write in batch:
                write.fail(error)
            return
        for write, answer in changed:
            write.settle({**answer, "generation": generation})

    def _changed(self, batch: list[Write]) -> Iterator[tuple[Write, Answer]]:
        """Each change that could be made, with what it did; what cannot be made leaves the others alone."""
        for write in batch:
            try:
                yield write, write.change(self._searcher)
            except StorageError:
                raise
            except LsrError as error:
                write.fail(error)
