"""Sections race and exact of benchmarks/search.py: time per query, at equal recall and without approximation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
from peers import K
from search_common import (
    TARGETS,
    Collection,
    Contender,
    Point,
    Run,
    Turns,
    fastest,
    queries_per_second,
    single_calls,
    sweep,
    table_of,
    text_of,
)
from search_worker import seconds_of

from lsr import ExactIndex, SearchParams, SeismicIndex

CALL_TARGETS = (0.95, 0.99)  # recalls at which single calls and two threads are measured
SHORT, SHORT_TARGET = (3, 5, 8), 0.95  # numbers of terms of queries
ORACLE_QUERIES = 200
SCIPY_QUERIES = 50

Best = dict[str, dict[float, Point | None]]


def race(run: Run) -> list[dict[str, Any]]:
    """Compare the engines on each set. Engines that index fewer documents have a separate race, lsr is in all races."""
    results = []
    for data_set in run.sets:
        peers = sorted((run.rows(data_set, peer), place, peer) for place, peer in enumerate(run.engines[1:]))
        heats = [(rows, [peer for _, _, peer in same]) for rows, same in groupby(peers, key=lambda one: one[0])]
        for rows, names in reversed(heats or [(run.rows(data_set), [])]):
            results.append(heat(run, data_set, rows, ["lsr", *names]))
    return results


def heat(run: Run, data_set: str, rows: int, engines: list[str]) -> dict[str, Any]:
    collection = Collection(data_set, rows, run.n_queries)
    run.console.print(f"\n[bold]{collection}[/]: {', '.join(engines)}")
    if rows < run.rows(data_set):
        run.console.print(
            f"the first {rows:,} documents only: {', '.join(engines[1:])} takes too long to build for all"
        )
    points = [point for engine in engines for point in sweep_builds(run, engine, collection)]
    of_engine = {engine: [point for point in points if point.contender.label == engine] for engine in engines}
    best = {name: {target: fastest(own, target) for target in TARGETS} for name, own in of_engine.items()}
    turns = Turns([point for row in best.values() for point in row.values()])
    for point in points:
        if not point.parameters:
            run.console.print(
                f"{point.contender.label} with default parameters: recall@10 {point.recall:.4f}, "
                f"{point.microseconds:.0f} µs a query"
            )
    return {
        "set": data_set,
        "documents": rows,
        "queries": len(collection.queries),
        "points": [point.as_dict() for point in points],
        "best": print_best(run, best, turns),
        "calls": calls(run, best, turns, collection),
    }


def sweep_builds(run: Run, engine: str, collection: Collection) -> list[Point]:
    grid = run.grids[engine]
    points = []
    for parameters in grid.builds:
        built = run.indexes.get(engine, collection.name, len(collection.documents), parameters)
        points += sweep(Contender.open(built, collection.queries), grid.searches, collection)
    return points


def print_best(run: Run, best: Best, turns: Turns) -> list[dict[str, Any]]:
    """Print the fastest point of each engine at each recall, and the ratio of its time to lsr's."""
    table = table_of("recall@10 ≥", "engine", "build", "search", "recall@10", "µs a query", "times lsr", text=4)
    results = []
    for target in TARGETS:
        ours = best["lsr"][target]
        for engine, row in best.items():
            point = row[target]
            if point is None:
                table.add_row(f"{target:.2f}", engine, "not reached")
                continue
            microseconds = turns.microseconds(point)
            ratio = turns.ratio(point, ours) if ours else None
            table.add_row(
                f"{target:.2f}",
                engine,
                run.variant(point.contender.built),
                text_of(point.parameters),
                f"{point.recall:.4f}",
                f"{microseconds:.0f}",
                "" if ratio is None else f"{ratio:.2f}",
            )
            results.append({**point.as_dict(), "target": target, "microseconds": microseconds, "times_lsr": ratio})
        table.add_section()
    run.console.print(table)
    return results


def calls(run: Run, best: Best, turns: Turns, collection: Collection) -> list[dict[str, Any]]:
    """Time the best points with one query per call, and in a batch on one and on two threads."""
    table = table_of("recall@10 ≥", "engine", "mean", "p50", "p99", "besides", "1 thread", "2 threads", text=2)
    table.title = "µs of a call with one query; queries a second in a batch"
    table.caption = "besides: additional time of a call compared with the same query in a batch, mean"
    results = []
    for engine, row in best.items():
        reached = [(target, row[target]) for target in CALL_TARGETS if row[target]]
        if not reached:
            continue
        both = queries_per_second([point for _, point in reached], collection.name, threads=2)
        for (target, point), on_two in zip(reached, both, strict=True):
            single = single_calls(point.contender, point.parameters, collection.queries)
            batch = turns.microseconds(point)
            results.append(
                {
                    **point.as_dict(),
                    "target": target,
                    **{f"call_{name}": value for name, value in single.items()},
                    "call_besides": single["mean"] - batch,
                    "queries_per_second": 1e6 / batch,
                    "queries_per_second_2_threads": on_two,
                }
            )
            table.add_row(
                f"{target:.2f}",
                engine,
                *(f"{single[name]:.0f}" for name in ("mean", "p50", "p99")),
                f"{single['mean'] - batch:.0f}",
                f"{1e6 / batch:,.0f}",
                "one query a call" if on_two is None else f"{on_two:,.0f}",
            )
    run.console.print(table)
    return results


def short(run: Run) -> list[dict[str, Any]]:
    """Time queries of few terms, one per call, on the engines that index all documents."""
    results = []
    for data_set in run.sets:
        rows = run.rows(data_set)
        engines = [engine for engine in run.engines if run.rows(data_set, engine) == rows]
        table = table_of("terms", "engine", "search", "recall@10", "mean", "p50", "p99", text=3)
        table.title = f"{rows:,} {data_set}: µs of a call with one query of few terms, at recall@10 ≥ {SHORT_TARGET}"
        for terms in SHORT:
            collection = Collection(data_set, rows, run.n_queries, terms)
            for engine in engines:
                point = fastest(sweep_builds(run, engine, collection), SHORT_TARGET)
                if point is None:
                    table.add_row(str(terms), engine, "not reached")
                    continue
                single = single_calls(point.contender, point.parameters, collection.queries)
                cells = (f"{single[name]:.0f}" for name in ("mean", "p50", "p99"))
                table.add_row(str(terms), engine, text_of(point.parameters), f"{point.recall:.4f}", *cells)
                results.append({**point.as_dict(), "set": data_set, "terms": terms, **single})
        run.console.print(table)
    return results


def exact(run: Run) -> list[dict[str, Any]]:
    """Time exact searches on one thread, and measure how much of the true top 10 each returns."""
    return [exhaustive(run, data_set) for data_set in run.sets]


def exhaustive(run: Run, data_set: str) -> dict[str, Any]:
    collection = Collection(data_set, run.rows(data_set), run.n_queries)
    run.console.print(f"\n[bold]{collection}[/]")
    documents, queries = collection.documents, collection.queries
    index = ExactIndex.build(documents)
    oracle = true_top(collection, ORACLE_QUERIES)
    batch, found = median_of(lambda: index.search(queries, K), len(queries))
    each, _ = median_of(lambda: [index.search(query, K) for query in queries], len(queries))
    ours = run.indexes.get("lsr", data_set, run.rows(data_set), run.grids["lsr"].builds[0])
    blocks = SeismicIndex.open(ours.folder / "index")
    of_blocks, found_by_blocks = median_of(lambda: blocks.search(queries, K, SearchParams(exact=True)), len(queries))
    scipy_us, scipy_way = fastest_scipy(collection)
    n_oracle = len(oracle)
    rows = [
        ("ExactIndex", "a batch", batch, found.rows[:n_oracle]),
        ("ExactIndex", "one query a call", each, None),
        ("SeismicIndex", "a batch, exact=True", of_blocks, found_by_blocks.rows[:n_oracle]),
        ("scipy", scipy_way, scipy_us, None),
    ]
    if "bmp" in run.engines:
        parameters = run.grids["bmp"].builds[0]
        built = run.indexes.get("bmp", data_set, run.rows(data_set, "bmp"), parameters)
        contender = Contender.open(built, queries, "bmp")
        microseconds, answers = contender.microseconds({"alpha": 1.0, "beta": 1.0})
        bmp_rows = contender.engine.rows(answers, len(queries))[:n_oracle]
        rows.append(("bmp", f"{text_of(parameters)}, alpha = beta = 1, 8-bit weights", microseconds, bmp_rows))
    table = table_of("engine", "how", "µs a query", "times ExactIndex", "true of the top 10", "exactly", text=2)
    table.caption = f"exactly: queries, of the first {n_oracle}, with the true top 10 in its order"
    results = []
    for engine, how, microseconds, top in rows:
        share = None if top is None else overlap(top, oracle)
        same = None if top is None else int((top == oracle).all(axis=1).sum())
        cells = ("", "") if top is None else (f"{share:.2%}", f"{same} of {n_oracle}")
        table.add_row(engine, how, f"{microseconds:,.0f}", f"{microseconds / batch:.2f}", *cells)
        results.append({"engine": engine, "how": how, "microseconds": microseconds, "true": share, "exactly": same})
    run.console.print(table)
    return {"set": data_set, "documents": len(documents), "oracle_queries": n_oracle, "rows": results}


def true_top(collection: Collection, n_queries: int) -> np.ndarray:
    """Rows of the top K by the products of all documents with each query in float32, equal scores by row."""
    documents = collection.documents.to_scipy()
    tops = []
    for query in collection.queries[:n_queries].to_scipy():
        scores = documents @ query.toarray().ravel()
        candidates = np.flatnonzero(scores >= max(np.partition(scores, -K)[-K], np.finfo(np.float32).tiny))
        order = candidates[np.lexsort((candidates, -scores[candidates]))][:K]
        tops.append(np.pad(order, (0, K - len(order)), constant_values=-1))
    return np.array(tops)


def overlap(rows: np.ndarray, oracle: np.ndarray) -> float:
    hits = (rows[:, :, None] == oracle[:, None, :]) & (oracle[:, None, :] >= 0)
    return float(hits.any(axis=2).sum() / (oracle >= 0).sum())


def fastest_scipy(collection: Collection) -> tuple[float, str]:
    """Microseconds per query of the fastest method with SciPy, and its name."""
    documents = collection.documents.to_scipy()
    lists = documents.T.tocsr()
    queries = collection.queries[:SCIPY_QUERIES].to_scipy()
    dense = [query.toarray().ravel() for query in queries]
    ways: dict[str, Callable[[], Any]] = {
        "documents @ dense query": lambda: [best_of(documents @ query) for query in dense],
        "documents @ batch": lambda: best_of_rows((documents @ queries.T).T.tocsr()),
        "query @ posting lists": lambda: [best_of_rows(query @ lists) for query in queries],
        "batch @ posting lists": lambda: best_of_rows(queries @ lists),
    }
    times = {way: median_of(call, queries.shape[0], rounds=1)[0] for way, call in ways.items()}
    fastest_way = min(times, key=lambda way: times[way])
    return times[fastest_way], fastest_way


def best_of(scores: np.ndarray) -> np.ndarray:
    return np.argpartition(scores, len(scores) - K)[-K:] if len(scores) > K else np.arange(len(scores))


def best_of_rows(scores: Any) -> list[np.ndarray]:
    """The columns of the K largest values of each row of a CSR matrix."""
    starts = zip(scores.indptr, scores.indptr[1:], strict=False)
    return [scores.indices[begin:end][best_of(scores.data[begin:end])] for begin, end in starts]


def median_of(call: Callable[[], Any], n_queries: int, rounds: int = 3) -> tuple[float, Any]:
    """Microseconds per query, after a call for warming up, and the last result."""
    times: list[float] = []
    result: Any = call() if rounds > 1 else None
    for _ in range(rounds):
        seconds, result = seconds_of(call)
        times.append(1e6 * seconds / n_queries)
    return float(np.median(times)), result
