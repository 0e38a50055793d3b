"""Posting lists of an engine's documents, created when many queries are answered exactly.

A scan of 300,000 documents takes 9 ms, and a search with these lists a thirtieth of it. Creating them takes 0.1 to 0.2
s, and as much memory as the forward index: 4 bytes per posting. So single queries scan, and lists are created when they
are worthwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from weakref import WeakSet

import numpy as np

from lsr.errors import IndexFormatError
from lsr.index.seismic.forward import DAMAGED_DOCUMENTS, Forward
from lsr.index.seismic.search.list_kernels import (
    LIST_WINDOW,
    NO_LISTS,
    PostingLists,
    count_postings,
    fill_postings,
)
from lsr.memory import machine_memory
from lsr.storage.arrays import read_only

# Exact queries, in one or several calls, after which lists are created. Creating them takes as long as some 20 scans.
ENOUGH = 32

# Largest share of the memory for the lists of all engines of a process.
SHARE_OF_MEMORY = 0.25

# One thread creates lists at a time; others scan meanwhile.
_MAKING = Lock()


class ExactLists:
    """The lists of one engine: none at first, and none if they would take too much memory.

    forward: of the engine. postings: the maximum number of its documents' postings.
    """

    def __init__(self, forward: Forward, postings: int) -> None:
        self._forward = forward
        self._most_bytes = lists_bytes(len(forward.heads), len(forward.scale), postings)
        self._asked = 0
        self._held_back = False
        self.lists = NO_LISTS

    @property
    def nbytes(self) -> int:
        """The present bytes of the lists."""
        return self.lists.starts.nbytes + self.lists.postings.nbytes

    def after(self, queries: int) -> PostingLists:
        """The lists, if there are any, for this number of further exact queries.

        Raises IndexFormatError for a damaged file.
        """
        self._asked += queries
        if self._asked >= ENOUGH and not self.nbytes and not self._held_back and _MAKING.acquire(blocking=False):
            try:
                if not self.nbytes:  # another thread can be first
                    self._make()
            finally:
                _MAKING.release()
        return self.lists

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """In the block, no lists are created, and queries are not counted."""
        asked, self._held_back = self._asked, True
        try:
            yield
        finally:
            self._asked, self._held_back = asked, False

    def _make(self) -> None:
        held = sum(each.nbytes for each in _MADE)
        if held + self._most_bytes <= SHARE_OF_MEMORY * machine_memory():
            self.lists = make_lists(self._forward)
            _MADE.add(self)
        else:
            self._asked = 0  # so that the memory is not queried for each search


# Objects with lists in memory.
_MADE: WeakSet[ExactLists] = WeakSet()


def lists_bytes(documents: int, components: int, postings: int) -> int:
    """The bytes of the lists for these numbers."""
    return 4 * postings + 8 * (1 + components * -(-documents // LIST_WINDOW))


def make_lists(forward: Forward, window: int = LIST_WINDOW) -> PostingLists:
    """The postings of all documents. Raises IndexFormatError for a damaged file."""
    documents, components = len(forward.heads), len(forward.scale)
    windows = [(first, min(first + window, documents)) for first in range(0, documents, window)]
    starts = np.zeros(1 + components * len(windows), np.int64)
    counts = starts[1:].reshape(len(windows), components)
    for each, of_window in zip(windows, counts, strict=True):
        if not count_postings(*each, forward, of_window):
            raise IndexFormatError(DAMAGED_DOCUMENTS)
    np.cumsum(starts, out=starts)
    postings = np.empty(starts[-1], np.uint32)
    next_posting = starts[:-1].reshape(len(windows), components).copy()
    for each, of_window in zip(windows, next_posting, strict=True):
        fill_postings(*each, forward, of_window, postings)
    return PostingLists(read_only(starts), read_only(postings), window)
