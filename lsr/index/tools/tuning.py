"""Tuning: the fastest search parameters that reach a recall target, measured, and stored in the manifest.

The recall of a query is the share of its exact top k that a search returns. Any document whose score is at least that
of the exact k-th document counts, because documents with equal scores can replace each other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.checks import check_number, check_whole, listed
from lsr.display import HasFacts
from lsr.errors import IndexFormatError, ParameterError
from lsr.index.index_checks import checked_queries
from lsr.index.parameters import SearchParams
from lsr.index.protocol import Index
from lsr.progress import progress_bar
from lsr.storage.manifest import MANIFEST
from lsr.threads import checked_threads
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike

RECALLS = (0.9, 0.95, 0.97, 0.99)
FEWEST_QUERIES = 20
MOST_QUERIES = 1000  # more queries take longer, with little more precision
ENTRY = "presets"  # entry of the manifest

EXACT = SearchParams(exact=True)
QUERY_CUTS = (4, 6, 8, 10, 12, 16)
# Blocks visited, per unit of the square root of k: from lowest recall to longest time.
BLOCKS = (5, 7, 10, 14, 20, 28, 40, 56, 80, 110, 160, 320)
NEIGHBORS = 10

# Parameters of a preset; all others are given with a search.
TUNED = ("query_cut", "heap_factor", "max_blocks", "knn", "exact")

MARGIN = 1.645  # standard errors: nineteen of twenty sample means are at most this much above the true mean
SAME_SCORE = 1e-6  # relative: searches add up the same products in different orders
SAME_RECALL = 1e-9

REPEATS = 3
LONG_ENOUGH = 0.25  # seconds: longer searches are not repeated; settings close to the fastest are timed again in a race
ROUNDS = 5
CLOSE = 1.25  # settings that take at most this factor of the least time are timed again
CONTENDERS = 4  # at most this number of settings are timed again per recall target
TIMED_EXACTLY = 128  # queries per exact search; only the first of these searches is timed


@dataclass(frozen=True, slots=True)
class TuningPoint:
    """The recall of a search with these parameters, from 0 to 1, and its time per query on one thread.

    recall: mean over the half of the queries by which parameters are chosen.
    held_out: mean over the other half, which does not affect the choice.
    """

    params: SearchParams
    recall: float
    microseconds: float
    held_out: float

    def __post_init__(self) -> None:
        check_number("recall", self.recall, 0, 1)
        check_number("held_out", self.held_out, 0, 1)
        check_number("microseconds", self.microseconds, 0, math.inf)

    def as_json(self) -> dict[str, Any]:
        """The point as a flat record."""
        chosen = {name: getattr(self.params, name) for name in TUNED}
        return {**chosen, "recall": self.recall, "held_out": self.held_out, "microseconds": self.microseconds}


@dataclass(frozen=True, slots=True)
class TunedPreset:
    """The chosen parameters for a recall target, and the number of measured queries."""

    asked: float
    k: int
    queries: int
    point: TuningPoint

    def __post_init__(self) -> None:
        check_recall(self.asked)
        check_whole("k", self.k)
        check_whole("queries", self.queries)

    def as_json(self) -> dict[str, Any]:
        """The preset as a flat record of the manifest."""
        return {"asked": self.asked, "k": self.k, "queries": self.queries, **self.point.as_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TunedPreset:
        """A preset from a record of as_json. Raises KeyError, TypeError or ParameterError for any other record."""
        params = SearchParams(**{name: record[name] for name in TUNED})
        point = TuningPoint(params, *(record[name] for name in ("recall", "microseconds", "held_out")))
        return cls(record["asked"], record["k"], record["queries"], point)


@dataclass(frozen=True, slots=True, repr=False)
class Tuning(HasFacts):
    """The result of SeismicIndex.tune.

    k: the depth of recall@k.
    queries: the number of measured queries with a hit, in both halves.
    points: all measured points.
    frontier: the points without another point that is at least as fast and has at least the same recall, by ascending
        recall.
    chosen: {recall target: its point}.
    """

    k: int
    queries: int
    points: tuple[TuningPoint, ...]
    frontier: tuple[TuningPoint, ...]
    chosen: Mapping[float, TuningPoint]

    def _facts(self) -> dict[str, object]:
        chosen = {f"recall {asked:g}": f"{point.microseconds:.0f} µs" for asked, point in self.chosen.items()}
        return {"queries": self.queries, "points": len(self.points), "k": str(self.k), **chosen}

    @property
    def presets(self) -> dict[float, TunedPreset]:
        """Recall target -> its preset."""
        return {asked: TunedPreset(asked, self.k, self.queries, point) for asked, point in self.chosen.items()}


def tune(
    index: Index,
    queries: VectorsLike,
    recalls: Sequence[float] = RECALLS,
    k: int = 10,
    threads: int | None = 1,
    progress: bool = False,
    *,
    knn: int = 0,
    always_exact: bool = False,
) -> Tuning:
    """The fastest parameters of a grid that reach each recall@k.

    queries: the queries to search for. At most MOST_QUERIES are sampled, always the same. Queries without hits are
        ignored. Every second query is held out. On the other queries, the mean recall of the chosen point must exceed
        the target by MARGIN standard errors, so that other queries reach the target, too. If no approximate search
        does, exact search is chosen.
    recalls: the recall targets, each above 0 and at most 1. Only exact search reaches 1 reliably.
    k: the depth of recall@k.
    threads: the number of threads of the exact search. None for all processors. Times are always of one thread.
    progress: show a bar on standard error.
    knn: the number of neighbors per document in the kNN graph of the index; 0 without a graph.
    always_exact: whether all searches are exact with any parameters, as in an inverted index.

    Raises ParameterError for too few queries, queries of another dimension, and recalls, k or threads out of range.
    """
    queries = checked_queries(queries, index.dim, k)
    threads = checked_threads(threads)
    asked = sorted({check_recall(recall) for recall in listed(recalls, "recalls")})
    if not asked:
        raise ParameterError("recalls are empty; give at least one, such as 0.97")
    bench = _Bench(index, queries[sample_rows(len(queries))], int(k), threads, progress)
    bench.measure(EXACT)
    if not always_exact:
        _explore(bench, knn, asked[-1], progress)
    contenders = {recall: bench.contenders(recall) for recall in asked}
    _race(bench, contenders.values(), progress)
    points = {params: bench.point(params) for params in bench.microseconds}
    chosen = {recall: points[min(those, key=bench.microseconds.__getitem__)] for recall, those in contenders.items()}
    frontier = frontier_of(points.values())
    return Tuning(bench.k, len(bench.queries), tuple(points.values()), frontier, chosen)


def sample_rows(count: int) -> npt.NDArray[np.int64]:
    """int64[at most MOST_QUERIES]: the numbers of the sampled queries among `count`, ascending; always the same."""
    chosen = np.random.default_rng(0).permutation(count)[:MOST_QUERIES]
    chosen.sort()
    return chosen


def frontier_of(points: Iterable[TuningPoint]) -> tuple[TuningPoint, ...]:
    """The points without another one that is at least as fast and has at least the same recall, by ascending recall."""
    best: list[TuningPoint] = []
    for point in sorted(points, key=lambda point: (point.microseconds, -point.recall)):
        if not best or point.recall > best[-1].recall:
            best.append(point)
    return tuple(best)


def resolve(presets: Mapping[float, TunedPreset], recall: float) -> SearchParams:
    """The parameters tuned for this recall, or for the next higher tuned one. Raises ParameterError."""
    for asked in sorted(presets):
        if asked >= recall - SAME_RECALL:
            return presets[asked].point.params
    tuned = f"the index is tuned for {', '.join(map(str, sorted(presets)))}" if presets else "the index is not tuned"
    raise ParameterError(f"recall is {recall}: {tuned}; run lsr tune INDEX --queries QUERIES --recall {recall}")


def presets_as_json(presets: Mapping[float, TunedPreset]) -> list[dict[str, Any]]:
    """The entry ENTRY of the manifest, by ascending recall."""
    return [presets[asked].as_json() for asked in sorted(presets)]


def read_presets(manifest: Mapping[str, Any], folder: str | os.PathLike[str]) -> dict[float, TunedPreset]:
    """Recall target -> preset, by ascending recall; empty for an index that was not tuned.

    folder: the folder of the index, for messages. Raises IndexFormatError for damaged entries.
    """
    try:
        presets = [TunedPreset.from_json(record) for record in manifest.get(ENTRY, [])]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise IndexFormatError(
            f"{os.fspath(folder)}: the {ENTRY} in {MANIFEST} are damaged ({error}); remove that entry and tune again"
        ) from error
    return {preset.asked: preset for preset in sorted(presets, key=lambda preset: preset.asked)}


def check_recall(recall: Any) -> float:
    """`recall` as a float. Raises ParameterError unless it is a number above 0 and at most 1."""
    check_number("recall", recall, 0, 1)
    if recall == 0:
        raise ParameterError("recall is 0; it must be above 0 and at most 1")
    return float(recall)


class _Bench:
    """Searches of one batch of queries, each measured on first use.

    k: documents per query. found: parameters -> float64[queries], the share of each query's exact top k. microseconds:
        parameters -> the least time per query.
    """

    def __init__(self, index: Index, queries: SparseVectors, k: int, threads: int, progress: bool) -> None:
        exact = []
        with progress_bar("searching exactly", len(queries), "queries", progress) as advance:
            for first in range(0, len(queries), TIMED_EXACTLY):
                some = queries[first : first + TIMED_EXACTLY]
                exact.append(index.search(some, k, EXACT, threads))
                advance(len(some))
        hits = np.concatenate([np.empty((0, k), bool), *(each.rows >= 0 for each in exact)])
        scores = np.concatenate([np.empty((0, k), np.float32), *(each.scores for each in exact)])
        kept = hits.any(axis=1)
        if kept.sum() < FEWEST_QUERIES:
            raise ParameterError(
                f"{kept.sum()} of {len(queries)} queries return a document; tuning needs at least {FEWEST_QUERIES}, "
                "because half of them are held out; use a few hundred to distinguish 0.97 from 0.98"
            )
        worst = np.where(hits, scores, np.inf).min(axis=1)[kept].astype(np.float64)
        self._least = worst * (1 - SAME_SCORE)
        self._wanted = hits.sum(axis=1)[kept]
        self._index = index
        self.k = k
        self.queries = queries[np.flatnonzero(kept)]
        self.found: dict[SearchParams, npt.NDArray[np.float64]] = {EXACT: np.ones(len(self.queries))}
        self.microseconds: dict[SearchParams, float] = {}

    def measure(self, params: SearchParams) -> None:
        """Measure the search several times, unless it takes long."""
        self._index.search(self.queries[:1], self.k, params)  # compiles, and allocates memory
        begin = perf_counter()
        for _ in range(REPEATS):
            self.search(params)
            if perf_counter() - begin > LONG_ENOUGH:
                break

    def search(self, params: SearchParams) -> None:
        """Search for all queries once; for the time of an exact search, only for the first ones."""
        queries = self.queries[:TIMED_EXACTLY] if params.exact else self.queries
        begin = perf_counter()
        scores = self._index.search(queries, self.k, params).scores
        microseconds = 1e6 * (perf_counter() - begin) / len(queries)
        self.microseconds[params] = min(microseconds, self.microseconds.get(params, math.inf))
        if params not in self.found:
            found = (scores >= self._least[:, None]).sum(axis=1)
            self.found[params] = found / self._wanted

    def promised(self, params: SearchParams) -> float:
        """A recall that other queries also reach: the mean over queries that are not held out, minus MARGIN errors."""
        if params.exact:
            return 1.0
        # With one more query that misses one document: else ten queries that miss nothing would promise a recall of 1.
        found = np.append(self.found[params][::2], 1 - 1 / self.k)
        return float(found.mean() - MARGIN * found.std(ddof=1) / math.sqrt(len(found)))

    def contenders(self, recall: float) -> list[SearchParams]:
        """The fastest parameters that reach the recall, and those nearly as fast; at least exact search."""
        able = sorted(
            (params for params in self.found if self.promised(params) >= recall), key=self.microseconds.__getitem__
        )
        limit = CLOSE * self.microseconds[able[0]]
        return [params for params in able[:CONTENDERS] if self.microseconds[params] <= limit]

    def point(self, params: SearchParams) -> TuningPoint:
        found = self.found[params]
        return TuningPoint(params, float(found[::2].mean()), self.microseconds[params], float(found[1::2].mean()))


def _explore(bench: _Bench, neighbors: int, highest: float, progress: bool) -> None:
    """Measure the part of the grid that can have the fastest parameters for a recall of at most `highest`.

    More blocks take longer and find more. A line of points ends with the first point that reaches `highest`, or that
    takes clearly longer than the fastest point that does: all further points are slower.
    """
    longest = int(np.diff(bench.queries.indptr).max())
    query_cuts = sorted({min(query_cut, longest) for query_cut in (*QUERY_CUTS, longest)})
    lines = list(product(sorted({0, min(NEIGHBORS, neighbors), neighbors}), query_cuts))
    least = bench.microseconds[EXACT]
    root = math.sqrt(bench.k)
    with progress_bar("tuning", len(lines) * len(BLOCKS), "settings", progress) as advance:
        for knn, query_cut in lines:
            for left, blocks in zip(reversed(range(len(BLOCKS))), BLOCKS, strict=True):
                params = SearchParams(query_cut=query_cut, max_blocks=math.ceil(blocks * root), knn=knn)
                bench.measure(params)
                advance(1)
                enough = bench.promised(params) >= highest
                if enough or bench.microseconds[params] > CLOSE * least:
                    least = min(least, bench.microseconds[params])
                    advance(left)
                    break


def _race(bench: _Bench, contenders: Iterable[Sequence[SearchParams]], progress: bool) -> None:
    """Measure close contenders again in turns, so that a slow moment of the machine affects all of them."""
    close = dict.fromkeys(params for those in contenders if len(those) > 1 for params in those)
    with progress_bar("timing again", ROUNDS * len(close), "settings", progress and bool(close)) as advance:
        for params in [*close] * ROUNDS:
            bench.search(params)
            advance(1)
