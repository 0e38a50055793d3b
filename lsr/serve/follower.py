"""Follower: refreshes searchers after commits by any process, while they search."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Event, Thread

from lsr.errors import LsrError
from lsr.serve.served_index import ServedIndex

EVERY = 0.1  # seconds; each check takes a microsecond

_LOG = logging.getLogger(__name__)


class Follower:
    """A thread that refreshes searchers, so that no request waits while an index is opened. `close` ends it.

    behind: name of an index that cannot be refreshed -> the error message. Its searches see the last opened commit.
    """

    def __init__(self, indexes: Mapping[str, ServedIndex]) -> None:
        self.behind: dict[str, str] = {}
        self._indexes = indexes
        self._ending = Event()
        self._thread = Thread(target=self._run, name="lsr follow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(EVERY):
            for name, index in self._indexes.items():
                try:
                    if index.searcher.is_behind:
                        index.searcher.refresh()
                    self.behind.pop(name, None)
                except Exception as error:  # any error: other indexes must still be refreshed, and this one tried again
                    if self.behind.get(name) != str(error):
                        defect = not isinstance(error, LsrError)
                        _LOG.warning("lsr: index %s cannot be refreshed (%s)", name, error, exc_info=defect)
                    self.behind[name] = str(error)
