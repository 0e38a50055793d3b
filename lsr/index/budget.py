"""Budget: the time that the search for one query has, and what is missed for want of it."""

from __future__ import annotations

from collections.abc import Callable

from lsr.index.clock import now
from lsr.storage.arrays import Array
from lsr.threads import in_chunks

INCOMPLETE = 1 - 1e-6  # the most that is claimed of a search that was stopped


class Budget:
    """Begins when it is made.

    deadline: by the clock of kernels. k: documents that are searched for. documents: of all segments. missed: of the k
    best, how many were not found, as is to be expected by what was not looked at.
    """

    def __init__(self, microseconds: int, k: int, documents: int) -> None:
        self.deadline = now() + 1000 * microseconds
        self.k, self.documents = k, documents
        self.missed = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return now() > self.deadline

    def miss(self, documents: float) -> None:
        """So many documents, of which any may be among the best, were not looked at."""
        self.missed += self.k * documents / self.documents

    @property
    def recall(self) -> float:
        """The share of the k best that was found, as is to be expected; 1 if nothing was left out."""
        return min(max(1 - self.missed / self.k, 0.0), INCOMPLETE) if self.missed else 1.0


def in_time(
    queries: int,
    size: int,
    threads: int,
    microseconds: int | None,
    k: int,
    documents: int,
    recall: Array | None,
    search: Callable[[int, int, Budget | None], None],
) -> None:
    """Call search(begin, end, budget) for all queries: in chunks of a size, or one by one if each has so much time.

    k, documents: as for Budget. recall: float32[queries], filled where there is a budget, if given.
    """
    if microseconds is None:
        in_chunks(queries, size, threads, lambda begin, end: search(begin, end, None))
        return

    def search_one(begin: int, end: int) -> None:
        budget = Budget(microseconds, max(k, 1), max(documents, 1))
        search(begin, end, budget)
        if recall is not None:
            recall[begin] = budget.recall

    in_chunks(queries, 1, threads, search_one)
