"""The most frequent values of a metadata column, counted in hits and in documents."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from lsr.retrieval.hits import Hit, Hits, as_json

VALUES_SHOWN = 10


class Faceted(Protocol):
    """A Snapshot or a ShardedSnapshot."""

    def facets(
        self, column: str, hits: Iterable[Hit] | None = None, where: str | None = None, k: int | None = 10
    ) -> dict[Any, int]:
        """See Searcher.facets."""


def in_hits(column: str, hits: Iterable[Hit]) -> Counter[Any]:
    """Value -> number of hits with it. In a list, each value counts; missing values do not."""
    values = (hit.metadata.get(column) for hit in hits)
    lists = ({*map(_one_nan, value)} if isinstance(value, list) else (_one_nan(value),) for value in values)
    counts = Counter(each for some in lists for each in some)
    counts.pop(None, None)
    return counts


def together(parts: Iterable[Mapping[Any, int]]) -> Counter[Any]:
    """Value -> the sum of its counts in several parts of an index."""
    total: Counter[Any] = Counter()
    for part in parts:
        for value, count in part.items():
            total[_one_nan(value)] += count
    return total


def most_frequent(counts: Mapping[Any, int], k: int | None) -> dict[Any, int]:
    """The k most frequent values. Values with equal counts are in the order of their text."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:k])


def counted(snapshot: Faceted, name: str, hits: Hits, where: str | None) -> list[dict[str, Any]]:
    """The most frequent values of a column: the number of hits and the number of matching documents of each.

    Raises ParameterError like Searcher.facets.
    """
    found = snapshot.facets(name, hits, k=None)
    in_all = snapshot.facets(name, where=where, k=None)
    most = sorted(in_all, key=lambda value: (-found.get(value, 0), -in_all[value], str(value)))[:VALUES_SHOWN]
    return [{"value": as_json(each), "hits": found.get(each, 0), "documents": in_all[each]} for each in most]


def _one_nan(value: Any) -> Any:
    """A value as a dict key. All NaN become one object, because NaN is not equal to NaN."""
    return math.nan if isinstance(value, float) and math.isnan(value) else value
