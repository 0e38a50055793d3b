"""A deadline for what a thread does: long work asks whether it has passed, and ends."""

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
    """Within, `check_deadline` raises after this moment, by `time.monotonic`."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Before the deadline; infinity where there is none. Raises DeadlineError where it has passed."""
    seconds = _deadline.get() - monotonic()
    if seconds <= 0:
        raise DeadlineError("the deadline passed before the answer was made; ask again later, or give more time")
    return seconds


def check_deadline() -> None:
    """Raises DeadlineError where the deadline has passed."""
    seconds_left()


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` in another thread if the deadline passes within, and never later; raises DeadlineError then."""
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
        check_deadline()  # of an error that `stop` caused, the deadline is the cause
        raise
    finally:
        with lock:
            ended = True
        timer.cancel()
