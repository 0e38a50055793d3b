"""Budget: the time limit of the search for one query, and the expected loss if it is reached."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lsr.index.clock import now
from lsr.index.index_checks import empty_result
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


# (begin, end, kept, scores, rows, budget): searches for the queries from begin to end, see search_lists.
Search = Callable[[int, int, Array, Array, Array, Budget | None], None]


def searched(
    search: Search | None,
    queries: int,
    k: int,
    documents: int,
    budget_us: int | None,
    recall: Array | None,
    size: int,
    threads: int,
) -> tuple[Array, Array]:
    """Run a search for all queries: scores float32[queries, k] and rows int64[queries, k], best first.

    search: called for chunks of `size` queries, or for one query at a time if each has a time limit; None finds
    nothing. documents: of all segments. recall: float32[queries], filled in if there is a time limit.
    """
    scores, rows = empty_result(queries, k)
    if search is None:
        return scores, rows
    kept = np.empty((queries, 0))

    def search_some(begin: int, end: int) -> None:
        budget = None if budget_us is None else Budget(budget_us, max(min(k, documents), 1), max(documents, 1))
        search(begin, end, kept, scores, rows, budget)
        if budget is not None and recall is not None:
            recall[begin] = budget.recall

    in_chunks(queries, size if budget_us is None else 1, threads, search_some)
    return scores, rows
