"""Interpolate before feedback, after it, or both? Collections with many relevant documents per query, one pooled test.

    python benchmarks/interpolation_pooled.py --bge FOLDER                 every collection of COLLECTIONS
    python benchmarks/interpolation_pooled.py medline time --bge FOLDER    some of them
    python benchmarks/interpolation_pooled.py --report                     the tables of existing results

The sparse sides are stemmed BM25 and `tiny`, the dense sides all-MiniLM-L6-v2 and bge-small-en-v1.5 (FOLDER is a
sentence-transformers folder). A list has 1 % of the documents of its collection, at least 100, so that a list is not
the whole collection. Feedback is Vector-PRF's Rocchio with its published values.

Weights are cross-fitted: the judged queries of every collection are divided into two halves. The weight of each way is
the one of WEIGHTS with the largest mean over collections of the first measure on one half, and is used on the other
half.

Differences are means over collections of means over queries, averaged over the pairs of a sparse and a dense side
first; intervals and p are from a hierarchical bootstrap over collections and queries
(lsr.reproduce.hierarchical_bootstrap), p corrected by Holm's method over measures and ways. Per-query values are stored
in --output/values, and not measured again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsr import Feedback, Fusion, SearchParams, SearchRequest
from lsr.collections.collection import load_collection
from lsr.eval.measures import query_values, with_relevant
from lsr.eval.significance import holm
from lsr.eval.tables import Column, Table, to_markdown
from lsr.experiment.experiment_file import NamedEncoder, System
from lsr.experiment.indexes import Indexes
from lsr.reproduce.contrasts import clusters_of
from lsr.reproduce.hierarchical_bootstrap import Cases, Difference, bootstrap_difference

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LSR_TEST_DATA") or HERE.parents[1] / "shared" / "data")
# (split, lowest relevant grade), from the fewest tokens to the most.
COLLECTIONS: dict[str, tuple[str, int]] = {
    "time": ("test", 1),
    "medline": ("test", 1),
    "cystic-fibrosis": ("test", 1),
    "cranfield": ("test", 1),
    "nfcorpus": ("test", 1),
    "npl-vaswani": ("test", 1),
    "lisa": ("test", 1),
    "msmarco-v1-pool": ("dl19", 2),
}
SPARSE = {"bm25": NamedEncoder("bm25", {"tokenizer": "porter"}), "tiny": NamedEncoder("tiny")}
WEIGHTS = (0.1, 0.3, 0.5, 0.7, 0.9)
WAYS = {
    "none": (True, "none"),
    "before": (True, "before"),
    "after": (True, "after"),
    "both": (True, "both"),
    "no feedback": (False, "after"),
}
MEASURES = ("nDCG@10", "AP", "R@100")
SHARE, LEAST = 100, 100  # a list has one document in SHARE, and at least LEAST

Pair = tuple[str, str]  # a sparse and a dense side
Values = dict[str, dict[str, dict[str, float]]]  # "way weight" -> measure -> query id -> value


def request_of(way: str, weight: float, depth: int) -> SearchRequest:
    fed_back, place = WAYS[way]
    fusion = Fusion() if place == "none" else Fusion(weight=weight, depth=depth)
    feedback = Feedback("rocchio") if fed_back else None
    return SearchRequest(
        depth, SearchParams(exact=True), side="dense", feedback=feedback, interpolate=place, fusion=fusion
    )


def measure(name: str, dense: Mapping[str, NamedEncoder], data: Path, output: Path, threads: int) -> None:
    """Write output/values/NAME.SPARSE.DENSE.json.gz for each pair without one."""
    split, relevant = COLLECTIONS[name]
    collection = load_collection(data / name, split)
    indexes = Indexes(output / "indexes", None, threads, True)
    measures = {each: with_relevant(each, relevant) if each != "nDCG@10" else each for each in MEASURES}
    ids, qrels = list(collection.queries()), collection.qrels()
    for dense_name, dense_encoder in dense.items():
        for sparse_name, sparse_encoder in SPARSE.items():
            path = output / "values" / f"{name}.{sparse_name}.{dense_name}.json.gz"
            if path.exists():
                continue
            system = System(sparse_name, sparse_encoder, dense_encoder, {}, {})
            searcher = indexes.searcher(collection, system)
            depth = max(LEAST, len(searcher.index) // SHARE)
            encoded = {side: indexes.encoded(collection, system, searcher, side) for side in ("sparse", "dense")}
            values: Values = {}
            for way in WAYS:
                for weight in WEIGHTS if way != "none" else WEIGHTS[:1]:
                    run = searcher.snapshot.rank_encoded(ids, encoded, request_of(way, weight, depth))
                    found = query_values({each: qrels[each] for each in run}, run, list(measures.values()))
                    values[f"{way} {weight}"] = {each: found[spelled] for each, spelled in measures.items()}
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(gzip.compress(json.dumps(values).encode(), mtime=0))
            part.replace(path)
            print(f"{path.name}: {len(ids)} queries, lists of {depth}", flush=True)


def halves(queries: list[str]) -> list[list[str]]:
    """The two halves: every other query, in the order of their ids."""
    ordered = sorted(queries)
    return [ordered[0::2], ordered[1::2]]


def cross_fitted(by_collection: Mapping[str, Values], way: str) -> tuple[dict[str, dict[str, dict[str, float]]], str]:
    """(collection -> measure -> query -> value, with the best weight on the other half; and the two weights)."""
    weights = WEIGHTS if way != "none" else WEIGHTS[:1]
    fitted: dict[str, dict[str, dict[str, float]]] = {name: {each: {} for each in MEASURES} for name in by_collection}
    chosen: list[str] = []
    for half in (0, 1):

        def on_other(weight: float, other: int = 1 - half) -> float:
            means = []
            for values in by_collection.values():
                of_queries = values[f"{way} {weight}"][MEASURES[0]]
                means.append(np.mean([of_queries[query] for query in halves(list(of_queries))[other]]))
            return float(np.mean(means))

        best = max(weights, key=on_other)
        chosen.append(f"{best:g}")
        for name, values in by_collection.items():
            for each in MEASURES:
                of_queries = values[f"{way} {best}"][each]
                fitted[name][each] |= {query: of_queries[query] for query in halves(list(of_queries))[half]}
    return fitted, "" if way == "none" else " / ".join(chosen)


def report(dense: list[str], data: Path, output: Path) -> Iterator[str]:
    """The report in Markdown: the means of each way, and the tests of both against the others."""
    found: dict[tuple[str, str], dict[str, Values]] = {}
    for path in sorted((output / "values").glob("*.json.gz")):
        name, sparse_name, dense_name = path.name.removesuffix(".json.gz").rsplit(".", 2)
        found.setdefault((sparse_name, dense_name), {})[name] = json.loads(gzip.decompress(path.read_bytes()))
    complete = [name for name in COLLECTIONS if all(name in found.get((s, d), {}) for s in SPARSE for d in dense)]
    clusters: dict[str, dict[str, str]] = {}
    for name in complete:
        split, relevant = COLLECTIONS[name]
        clusters[name] = clusters_of(load_collection(data / name, split).qrels(), relevant)
    fitted = {
        (sparse, each, way): cross_fitted({name: found[sparse, each][name] for name in complete}, way)
        for sparse in SPARSE
        for each in dense
        for way in WAYS
    }

    def mean_of(pairs: Sequence[Pair], way: str, name: str, measure: str) -> npt.NDArray[np.float64]:
        """float64 [queries]: the averages over pairs of a sparse and a dense side."""
        columns = [fitted[sparse, each, way][0][name][measure] for sparse, each in pairs]
        return np.mean([[column[query] for query in sorted(column)] for column in columns], axis=0)

    def difference(pairs: Sequence[Pair], way: str, measure: str) -> Difference:
        cases = []
        for name in complete:
            ids = sorted(fitted[(*pairs[0], way)][0][name][measure])
            owners = np.unique([clusters[name][query] for query in ids], return_inverse=True)[1]
            first, second = (mean_of(pairs, one, name, measure) for one in (way, "both"))
            cases.append(Cases(first[None], second[None], owners.astype(np.int64)))
        return bootstrap_difference(cases)

    pairs = [(sparse, each) for sparse in SPARSE for each in dense]
    others = [way for way in WAYS if way != "both"]
    queries = sum(len(mean_of(pairs, "none", name, MEASURES[0])) for name in complete)
    columns = [Column("sparse"), Column("dense"), Column("collection"), *(Column(way, 3) for way in WAYS)]
    cells: list[list[str | float | None]] = []
    for pair in pairs:
        for name in complete:
            cells.append([*pair, name, *(float(mean_of([pair], way, name, MEASURES[0]).mean()) for way in WAYS)])
        cells.append([*pair, "weights", *(fitted[(*pair, way)][1] for way in WAYS)])
    yield f"{len(complete)} collections, {queries} queries. {MEASURES[0]}:"
    yield to_markdown(Table(columns, cells))

    interval = [Column("difference", 4), Column("low", 4), Column("high", 4)]
    asked = [(measure, way) for measure in MEASURES for way in others]
    found_of = [difference(pairs, way, measure) for measure, way in asked]
    rows: list[list[str | float | None]] = [
        [measure, way, *each, float(p)]
        for (measure, way), each, p in zip(asked, found_of, holm([each.p_value for each in found_of]), strict=True)
    ]
    columns = [Column("measure"), Column("both against"), *interval, Column("p", 4), Column("p (Holm)", 4)]
    yield "The test, pairs of sides averaged:"
    yield to_markdown(Table(columns, rows))

    rows = [[*pair, way, *difference([pair], way, MEASURES[0])[:3]] for pair in pairs for way in others]
    yield f"Each pair of sides, {MEASURES[0]}, not tested:"
    yield to_markdown(Table([Column("sparse"), Column("dense"), Column("both against"), *interval], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", help=f"collections, from {', '.join(COLLECTIONS)}")
    parser.add_argument("--bge", type=Path, help="folder of bge-small-en-v1.5; without it, the dense side is MiniLM")
    parser.add_argument(
        "--max-length", type=int, default=256, help="maximum number of tokens of a document for dense encoders"
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "lsr-interpolation-pooled")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    options = {"dtype": "bfloat16", "max_length": arguments.max_length}
    dense = {"minilm": NamedEncoder("minilm", options)}
    if arguments.bge is not None:
        dense["bge-small"] = NamedEncoder(str(arguments.bge), options)
    if not arguments.report:
        for name in arguments.collections or COLLECTIONS:
            measure(name, dense, arguments.data, arguments.output, arguments.threads)
    print("\n".join(report(list(dense), arguments.data, arguments.output)))


if __name__ == "__main__":
    main()
