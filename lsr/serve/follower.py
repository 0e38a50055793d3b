"""Follower: refreshes searchers after commits by any process, while they search."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from threading import Event, Thread

from lsr.errors import LsrError, LsrWarning
from lsr.retrieval.searcher import Searcher

EVERY = 0.1  # seconds; each check takes a microsecond


class Follower:
    """A thread that refreshes searchers, so that no request waits while an index is opened. `close` ends it.

    errors: of the searchers that cannot be refreshed, by their place; they keep searching their generation.
    """

    def __init__(self, searchers: Sequence[Searcher]) -> None:
        self.errors: dict[int, LsrError] = {}
        self._searchers = searchers
        self._ending = Event()
        self._thread = Thread(target=self._run, name="lsr follow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(EVERY):
            for place, searcher in enumerate(self._searchers):
                try:
                    if searcher.is_behind:
                        searcher.refresh()
                    self.errors.pop(place, None)
                except LsrError as error:
                    if place not in self.errors:
                        warnings.warn(f"an index cannot be refreshed ({error})", LsrWarning, stacklevel=2)
                    self.errors[place] = error
