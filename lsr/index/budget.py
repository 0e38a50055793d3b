"""Budget: the time limit of the search for one query, and the expected loss if it is reached."""

from __future__ import annotations

from collections.abc import Callable

from lsr.index.clock import now
from lsr.storage.arrays import Array
from lsr.threads import in_chunks

INCOMPLETE = 1 - 1e-6  # largest estimate for a search that was stopped


class Budget:
    """A time limit that starts when the object is created.

    deadline: by the clock of kernels. k: number of documents searched for. documents: of all segments. missed: the
        expected number of the k best documents that were not found.
    """

    def __init__(self, microseconds: int, k: int, documents: int) -> None:
        self.deadline = now() + 1000 * microseconds
        self.k, self.documents = k, documents
        self.missed = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return now() > self.deadline

    def miss(self, documents: float) -> None:
        """Record that this number of documents, any of which may be among the best, was not searched."""
        self.missed += self.k * documents / self.documents

    @property
    def recall(self) -> float:
        """The expected share of the k best documents that was found; 1 if nothing was skipped."""
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
    """Call search(begin, end, budget) for all queries: in chunks of `size`, or one by one if each has a time limit.

    k, documents: see Budget. recall: float32[queries], filled in if there is a time limit.
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
