"""WorkQueue: threads that search indexes for requests, and encode the texts of many requests at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any

from lsr.retrieval.request import SPARSE, SideName
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.awaited import Awaited
from lsr.serve.problems import RequestError
from lsr.serve.serve_metrics import ServeMetrics
from lsr.vectors.sparse_vectors import SparseVectors

MOST_ENCODED = 32  # texts per batch

_LATE = "the deadline passed before the search started; try again later, or raise deadline_ms"

Encoded = Mapping[str, Any]


class Work(Awaited[bytes]):
    """The work for one request.

    do: returns the answer for the encoded query ({} without a query) in the given number of seconds. deadline: by
        `monotonic`. asked: the query.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        do: Callable[[Encoded, float], bytes],
        deadline: float,
        asked: str | SparseVectors | None = None,
        sides: tuple[SideName, ...] = (SPARSE,),
    ) -> None:
        super().__init__()
        self.snapshot, self.do, self.asked, self.sides, self.deadline = snapshot, do, asked, sides, deadline
        self.since = monotonic()
        self.encoded: Encoded = {}

    def left(self) -> float:
        """Seconds before the deadline. Raises RequestError after it."""
        left = self.deadline - monotonic()
        if left <= 0:
            raise RequestError(HTTPStatus.GATEWAY_TIMEOUT, _LATE, 1)
        return left


class WorkQueue:
    """Threads that do work in the order of the requests. Work that arrives during encoding is the next batch."""

    def __init__(self, metrics: ServeMetrics) -> None:
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._taking = Lock()
        self._metrics = metrics
        self._threads: list[Thread] = []

    def start(self, threads: int) -> None:
        self._threads = [Thread(target=self._run, name=f"lsr search {number}") for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """The number of waiting requests."""
        return self._waiting.qsize()

    async def answer(self, work: Work) -> bytes:
        """The result of `work.do`. Raises its errors, and RequestError if the deadline passes before."""
        self._waiting.put(work)
        return await work.result

    def close(self) -> None:
        """Finish waiting work, and end."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._taking:  # the other threads wait, so that batches are large
                batch, ends = self._take()
                batch = self._encode(batch)
            for work in batch:
                self._do(work)
            if ends:
                return

    def _take(self) -> tuple[list[Work], bool]:
        """The waiting work, at least one and at most MOST_ENCODED; and whether that was the last."""
        batch: list[Work] = []
        work = self._waiting.get()
        while work is not None:
            batch.append(work)
            if len(batch) == MOST_ENCODED:
                break
            try:
                work = self._waiting.get_nowait()
            except Empty:
                break
        return batch, work is None

    def _encode(self, batch: Sequence[Work]) -> list[Work]:
        """The work with encoded queries. The other requests have been answered."""
        now = monotonic()
        groups: dict[tuple[int, tuple[SideName, ...]], list[Work]] = defaultdict(list)
        ready = []
        for work in batch:
            self._metrics.observe("queue", now - work.since)
            if now > work.deadline:
                work.fail(RequestError(HTTPStatus.GATEWAY_TIMEOUT, _LATE, 1))
            elif isinstance(work.asked, str):
                groups[id(work.snapshot), work.sides].append(work)
            else:
                ready.append(work)
        for group in groups.values():
            ready += self._encode_texts(group)
        return ready

    def _encode_texts(self, group: Sequence[Work]) -> Sequence[Work]:
        """Encode the texts of one snapshot as one batch."""
        begun = monotonic()
        first = group[0]
        try:
            rows = first.snapshot.encode([str(work.asked) for work in group], first.sides)
        except Exception as error:  # an error of the index, because each text has been checked
            for work in group:
                work.fail(error)
            return []
        for at, work in enumerate(group):
            work.encoded = {side: each[at : at + 1] for side, each in rows.items()}
        self._metrics.observe("encode", monotonic() - begun)
        return group

    def _do(self, work: Work) -> None:
        begun = monotonic()
        try:
            if isinstance(work.asked, SparseVectors):
                work.encoded = work.snapshot.encode(work.asked, work.sides)
            answer = work.do(work.encoded, work.left())
        except Exception as error:  # reported by its request, or in the log
            work.fail(error)
        else:
            work.settle(answer)
        self._metrics.observe("search", monotonic() - begun)
