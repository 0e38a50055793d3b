"""A deadline for the work of a thread. Long work checks the deadline, and stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from threading import Lock, Timer
from time import monotonic

from lsr.errors import DeadlineError

_deadline: ContextVar[float] = ContextVar("deadline", default=inf)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Set the deadline of this thread inside the block. deadline: by `time.monotonic`."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """The time until the deadline; infinity without one. Raises DeadlineError after the deadline."""
    seconds = _deadline.get() - monotonic()
    if seconds <= 0:
        raise DeadlineError("the deadline passed; send the request again later, or give it more time")
    return seconds


def check_deadline() -> None:
    """Raises DeadlineError after the deadline."""
    seconds_left()


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` in another thread if the deadline passes inside the block; an error then becomes DeadlineError."""
    seconds = seconds_left()
    if seconds == inf:
        yield
        return
    lock, ended = Lock(), False

    def end() -> None:
        with lock:
            if not ended:
                stop()

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        check_deadline()  # the deadline is the cause of an error that `stop` raised
        raise
    finally:
        with lock:
            ended = True
        timer.cancel()
