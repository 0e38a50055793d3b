"""The threads that answer searches: none waits behind another, and none begins what is late."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic
from typing import Any, cast

import pytest

from lsr.errors import DeadlineError
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.work_queue import Work, WorkQueue


class Encoding:
    """A snapshot that only encodes, all texts that wait at once."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.going = threading.Event()

    def encode(self, texts: list[str], sides: Any) -> dict[str, list[str]]:
        self.batches.append(texts)
        self.going.wait(30)
        return {"sparse": texts}


def test_searches_of_one_batch_wait_for_no_other() -> None:
    snapshot, queue = Encoding(), WorkQueue(ServeMetrics())
    last = threading.Event()

    def do(encoded: Any) -> bytes:
        [text] = encoded["sparse"]
        if text == "1":
            assert last.wait(30)  # for one that came much later
        if text == "9":
            last.set()
        return str(text).encode()

    def work(number: int, late: bool = False) -> Work:
        return Work(cast(Snapshot, snapshot), do, monotonic() + (-1 if late else 60), str(number))

    async def ask() -> None:
        first = asyncio.ensure_future(queue.answer(work(0)))
        while not snapshot.batches:
            await asyncio.sleep(0.001)
        others = [asyncio.ensure_future(queue.answer(work(number))) for number in range(1, 10)]
        late = asyncio.ensure_future(queue.answer(work(10, late=True)))
        await asyncio.sleep(0)
        snapshot.going.set()
        assert await asyncio.gather(first, *others) == [str(number).encode() for number in range(10)]
        with pytest.raises(DeadlineError):
            await late

    queue.start(2)
    asyncio.run(ask())
    queue.close()
    assert snapshot.batches == [["0"], [str(number) for number in range(1, 10)]]
