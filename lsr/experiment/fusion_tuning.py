"""Choosing weights and depths on one split, for results on another."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, NamedTuple

from lsr.collections.collection import Collection
from lsr.errors import CollectionError
from lsr.experiment.experiment_file import System
from lsr.experiment.measure import Task, mean_measure
from lsr.progress import progress_bar


class Tuned(NamedTuple):
    """The result of tuning.

    settings: those of the system, with the best values on the split. tried: the choices and their measures.
    """

    settings: dict[str, Any]
    tried: list[tuple[dict[str, Any], float]]


def tune(
    task: Callable[[dict[str, Any]], Task], system: System, queries: Container[str], measure: str, progress: bool
) -> Tuned:
    """The settings of the grid with the largest mean of `measure`; of equal ones, the first.

    task: the task of the system with the given settings, on the split for tuning. queries: see queries_to_tune_on.
    """
    grid = system.grid()
    tried: list[tuple[dict[str, Any], float]] = []
    with progress_bar(f"tuning {system.name}", len(grid), "choices", progress) as advance:
        for settings in grid:
            value = mean_measure(task(settings), measure, queries)
            tried.append(({key: settings[key] for key in system.tune}, value))
            advance(1)
    best = max(range(len(grid)), key=lambda at: tried[at][1])
    return Tuned(grid[best], tried)


def queries_to_tune_on(on: Collection, reported: Collection) -> dict[str, str]:
    """Query id -> text of `on`, without queries whose text is also in `reported`, up to case and blanks.

    So no query is both tuned and reported on. Raises CollectionError for twice the same split, splits with common query
    ids, and if no query is left.
    """
    if on.split == reported.split:
        raise CollectionError(
            f"{on.name}: tuning and results use the same split {on.split!r}; name two different splits"
        )
    queries, shown = on.queries(), reported.queries()
    splits = f"splits {on.split!r} and {reported.split!r}"
    shared = sorted(queries.keys() & shown.keys())
    if shared:
        raise CollectionError(
            f"{on.name}: {splits} share {len(shared)} queries, such as {shared[0]!r}; tune on a split with other "
            "queries"
        )
    texts = {_plain(text) for text in shown.values()}
    kept = {query_id: text for query_id, text in queries.items() if _plain(text) not in texts}
    if not kept:
        raise CollectionError(f"{on.name}: {splits} have the same query texts; tune on a split with other queries")
    return kept


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
