"""Progress on standard error: a bar on a terminal or in a notebook, else a line from time to time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import Protocol

SECONDS_PER_LINE = 10.0
COMPILING = "compiling kernels, once (lsr warmup compiles all)"
SECONDS_UNTIL_SHOWN = 0.7  # for work without a count, such as loading a model


class Advance(Protocol):
    """A function that is called with the number of finished units."""

    def __call__(self, done: int, note: str = ..., *, resumed: bool = ...) -> None:
        """`done` more units are finished.

        note: shown with the figures until the next note. resumed: the units were finished by an earlier run, and do not
            count for the speed.
        """


@contextmanager
def progress_bar(what: str, total: int | None, unit: str, shown: bool) -> Iterator[Advance]:
    """A function to call with the number of finished units. Draws nothing unless `shown`.

    The rate and the remaining time are shown from the first units. total: the number of all units; None if unknown.
    """
    figures = _Figures(total, unit)
    if not shown:
        yield figures.advance
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        said = ""

        def say() -> None:
            nonlocal said
            if (line := f"{what}: {figures}\n") != said:
                _write(line)
                said = line

        with _every(SECONDS_PER_LINE, say) as begun:
            try:
                yield figures.advance
            finally:
                if begun.is_set():
                    say()
        return

    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    class Shown(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(str(figures))

    # The bar takes the room beside the words.
    with Progress(
        "{task.description}", BarColumn(None), Shown(Column(no_wrap=True)), console=console, expand=True
    ) as progress:
        task = progress.add_task(what, total=total)

        def advance(done: int, note: str = "", *, resumed: bool = False) -> None:
            figures.advance(done, note, resumed=resumed)
            progress.advance(task, done)

        yield advance


@contextmanager
def waiting(what: str, shown: bool) -> Iterator[None]:
    """Print `what` and the elapsed time on a terminal, if the block takes longer than a moment.

    Without a terminal, only the compilation of kernels is printed: one line every SECONDS_PER_LINE.
    """
    if not shown:
        yield
        return
    begin, terminal = monotonic(), sys.stderr.isatty()

    def draw() -> None:
        compiling = _compiling()
        if terminal:
            _write(f"\r\x1b[K{COMPILING if compiling else what} ... {monotonic() - begin:.0f} s")
        elif compiling:
            _write(f"{COMPILING}: {monotonic() - begin:.0f} s so far\n")

    # Not with rich: importing it would lengthen the wait.
    with _every(SECONDS_UNTIL_SHOWN if terminal else SECONDS_PER_LINE, draw) as drawn:
        yield
    if drawn.is_set() and terminal:
        _write("\r\x1b[K")


def _compiling() -> bool:
    """Whether another thread compiles a kernel, and so holds Numba's lock."""
    module = sys.modules.get("numba.core.compiler_lock")  # whose import would take a while
    lock = getattr(getattr(module, "global_compiler_lock", None), "_lock", None)
    if lock is None:
        return False
    if free := lock.acquire(blocking=False):
        lock.release()
    return not free


class _Figures:
    """The share that is finished, the rate and the remaining time."""

    def __init__(self, total: int | None, unit: str) -> None:
        self._total, self._unit = total, unit
        self._done, self._resumed, self._note = 0, 0, ""
        self._begin = self._now = monotonic()

    def advance(self, done: int, note: str = "", *, resumed: bool = False) -> None:
        self._done += done
        self._note = note or self._note
        self._now = monotonic()
        if resumed:
            self._resumed, self._begin = self._done, self._now

    def __str__(self) -> str:
        finished = self._done == self._total
        seconds = max((self._now if finished else monotonic()) - self._begin, 1e-9)
        speed = (self._done - self._resumed) / seconds
        if not speed:
            rate = f"{self._unit}, {_duration(seconds)} so far"
        else:
            rate = f"{speed:,.0f} {self._unit}/s" if speed >= 10 else f"{speed:.2g} {self._unit}/s"
        figures = f"{self._done:,}" if self._total is None else f"{self._done:,} of {self._total:,}"
        figures += f", {rate}" if speed else f" {rate}"
        if speed and self._total is not None:
            left = max(self._total - self._done, 0)
            figures += f", took {_duration(seconds)}" if finished else f", {_duration(left / speed)} left"
        return f"{figures}, {self._note}" if self._note else figures


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _every(seconds: float, draw: Callable[[], None]) -> Iterator[Event]:
    """Call `draw` at intervals. The event is set after the first call."""
    over, drawn = Event(), Event()

    def draw_at_intervals() -> None:
        while not over.wait(seconds):
            draw()
            drawn.set()

    thread = Thread(target=draw_at_intervals, daemon=True)
    thread.start()
    try:
        yield drawn
    finally:
        over.set()
        thread.join()


def _write(text: str) -> None:
    # The work continues if nobody reads stderr.
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
