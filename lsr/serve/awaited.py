"""Awaited: the result of a thread for a request, which waits without a thread."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Awaited(Generic[T]):
    """Created in the event loop, where `result` is awaited; set or failed once, in any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[T] = self._loop.create_future()

    def settle(self, value: T) -> None:
        self._loop.call_soon_threadsafe(self._settle, value)

    def fail(self, error: Exception) -> None:
        self._loop.call_soon_threadsafe(self._fail, error)

    def _settle(self, value: T) -> None:
        if not self.result.done():  # otherwise, the request does not wait any more
            self.result.set_result(value)

    def _fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
