"""Awaited: a result from a thread. The request that waits for it does not block a thread."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Awaited(Generic[T]):
    """A value that a thread sets, and a coroutine awaits.

    Create it in the event loop, and await `result` there. Any thread calls `settle` or `fail`, once.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[T] = self._loop.create_future()

    def settle(self, value: T) -> None:
        self._loop.call_soon_threadsafe(self._settle, value)

    def fail(self, error: Exception) -> None:
        self._loop.call_soon_threadsafe(self._fail, error)

    def _settle(self, value: T) -> None:
        if not self.result.done():  # it is done if the client has gone and the request was cancelled
            self.result.set_result(value)

    def _fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
