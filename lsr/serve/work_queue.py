"""WorkQueue: threads for requests that read indexes. One thread encodes texts in batches; others search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from lsr.deadline import check_deadline, until
from lsr.distributed.sharded_snapshot import ShardedSnapshot
from lsr.retrieval.request import SPARSE, SideName
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.awaited import Awaited
from lsr.serve.serve_metrics import ServeMetrics
from lsr.vectors.sparse_vectors import SparseVectors

MOST_ENCODED = 32  # texts per batch

Encoded = Mapping[str, Any]


class Work(Awaited[bytes]):
    """The work for one request.

    do: makes the body of the answer from the encoded query, or from {} if the request has no query.
    deadline: seconds of `monotonic`. asked: the query. sides: the sides for which the query is encoded.
    """

    def __init__(
        self,
        snapshot: Snapshot | ShardedSnapshot,
        do: Callable[[Encoded], bytes],
        deadline: float,
        asked: str | SparseVectors | None = None,
        sides: tuple[SideName, ...] = (SPARSE,),
    ) -> None:
        super().__init__()
        self.snapshot, self.do, self.asked, self.sides, self.deadline = snapshot, do, asked, sides, deadline
        self.since = monotonic()  # start of the waiting time; encoding moves it, as it is not waiting
        self.encoded: Encoded = {}


class WorkQueue:
    """Threads that do work in the order of the requests. Work that arrives during encoding is the next batch."""

    def __init__(self, metrics: ServeMetrics) -> None:
        self._texts: SimpleQueue[Work | None] = SimpleQueue()
        self._encoded: SimpleQueue[Work | None] = SimpleQueue()
        self._metrics = metrics
        self._threads: list[Thread] = []

    def start(self, threads: int) -> None:
        """Start one thread that encodes, and `threads` threads for all other work."""
        names = [f"lsr search {number}" for number in range(threads)]
        self._threads = [
            Thread(target=self._encode_all, args=(threads,), name="lsr encode"),
            *(Thread(target=self._do_all, name=name) for name in names),
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """The number of waiting requests."""
        return self._texts.qsize() + self._encoded.qsize()

    async def answer(self, work: Work) -> bytes:
        """The result of `work.do`. Raises the errors of `work.do`, and DeadlineError after the deadline."""
        (self._texts if isinstance(work.asked, str) else self._encoded).put(work)
        return await work.result

    def close(self) -> None:
        """Finish the waiting work, and end the threads."""
        self._texts.put(None)
        for thread in self._threads:
            thread.join()

    def _encode_all(self, threads: int) -> None:
        ends = False
        while not ends:
            batch, ends = self._take()
            groups: dict[tuple[int, tuple[SideName, ...]], list[Work]] = defaultdict(list)
            for work in batch:
                if work.deadline < monotonic():
                    self._encoded.put(work)  # there, it raises DeadlineError
                else:
                    groups[id(work.snapshot), work.sides].append(work)
            for group in groups.values():
                self._encode(group)
        for _ in range(threads):
            self._encoded.put(None)

    def _take(self) -> tuple[list[Work], bool]:
        """The waiting work, at most MOST_ENCODED; waits for one. Also returns whether the queue has been closed."""
        batch: list[Work] = []
        work = self._texts.get()
        while work is not None:
            batch.append(work)
            if len(batch) == MOST_ENCODED:
                break
            try:
                work = self._texts.get_nowait()
            except Empty:
                break
        return batch, work is None

    def _encode(self, group: Sequence[Work]) -> None:
        """Encode the texts of one snapshot as one batch."""
        begun = monotonic()
        try:
            rows = group[0].snapshot.encode([str(work.asked) for work in group], group[0].sides)
        except Exception as error:  # texts were checked before, so the error concerns the whole batch
            for work in group:
                work.fail(error)
            return
        seconds = monotonic() - begun
        self._metrics.observe("encode", seconds)
        for at, work in enumerate(group):
            work.encoded = {side: each[at : at + 1] for side, each in rows.items()}
            work.since += seconds
            self._encoded.put(work)

    def _do_all(self) -> None:
        while (work := self._encoded.get()) is not None:
            begun = monotonic()
            self._metrics.observe("queue", begun - work.since)
            try:
                with until(work.deadline):
                    check_deadline()
                    if isinstance(work.asked, SparseVectors):
                        work.encoded = work.snapshot.encode(work.asked, work.sides)
                    answer = work.do(work.encoded)
            except Exception as error:  # the request answers it; the thread must not end
                work.fail(error)
            else:
                work.settle(answer)
            self._metrics.observe("search", monotonic() - begun)
