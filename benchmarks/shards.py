"""The cost of shards: time of a query compared with a single index, builds and searches on more processors.

    python benchmarks/shards.py [--rows 20000] [--shards 2] [--cluster local]

Documents are generated (Zipf words), and encoded by BM25. Everything runs on this machine: the network of a cluster is
not measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

import lsr
from lsr.collections.documents import as_documents
from lsr.distributed.ranking_merge import merge_rankings
from lsr.distributed.routed_documents import DocumentsDigest, route
from lsr.distributed.shard import ShardFound

QUERIES = 300


def made_documents(rows: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(7)
    words = np.minimum(rng.zipf(1.3, (rows, 60)), 50_000)
    return [{"id": f"d{row}", "text": " ".join(f"w{word}" for word in each)} for row, each in enumerate(words.tolist())]


def microseconds(search: Callable[[str], object], queries: list[str]) -> float:
    """The median of single searches, after some that do not count."""
    for query in queries[:50]:
        search(query)
    times = []
    for query in queries:
        begun = perf_counter()
        search(query)
        times.append(perf_counter() - begun)
    return float(np.median(times) * 1e6)


def seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--cluster", help="also measure Ray: local, or an address")
    asked = parser.parse_args()
    documents = made_documents(asked.rows)
    rng = np.random.default_rng(8)
    words = [document["text"].split() for document in documents[: QUERIES * 3]]
    queries = [" ".join(rng.choice(words[at], 5)) for at in range(QUERIES)]
    named = {str(at): query for at, query in enumerate(queries)}
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    )
    print(f"{asked.rows:,} documents of 60 words, {asked.shards} shards, {QUERIES} queries of 5 words, k = 10")
    collection = as_documents(documents)
    with tempfile.TemporaryDirectory() as folder:
        routed = seconds(lambda: route(collection.documents(), Path(folder), asked.shards, None, DocumentsDigest()))
    print(f"read and routed: {asked.rows / routed:,.0f} documents a second")
    rng = np.random.default_rng(9)
    lists = {
        shard: ShardFound(1, np.arange(10)[None], -np.sort(-rng.random((1, 10))), [["id"] * 10], None)
        for shard in range(64)
    }
    merged = np.median([seconds(lambda: merge_rankings(lists, 1, 10)) for _ in range(200)])
    print(f"lists of 64 shards merged in {merged * 1e6:.0f} µs")
    print("| | build, s | a query, µs | ranking alone, µs | 300 queries in one call, ms |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        lsr.build_index(documents[:200], Path(folder, "warm"), "bm25")  # loads kernels
        one = Path(folder, "one")
        built = seconds(lambda: lsr.build_index(documents, one, "bm25", threads=1))
        searcher = lsr.Searcher.open(one)
        ways: list[tuple[str, float, lsr.Searcher | lsr.ShardedSearcher]] = [("one index", built, searcher)]
        for name, cluster in (("shards of this process", None), ("actors of Ray", asked.cluster)):
            if name.startswith("actors") and cluster is None:
                continue
            place = Path(folder, name)
            built = seconds(
                lambda place=place, cluster=cluster: lsr.build_sharded_index(
                    documents, place, "bm25", asked.shards, cluster=cluster
                )
            )
            ways.append((name, built, lsr.ShardedSearcher.open(place, cluster=cluster, cpus=0.5)))
        for name, built, each in ways:
            whole = microseconds(lambda query, each=each: [hit.text for hit in each.search(query, 10)], queries)
            ranking = microseconds(lambda query, each=each: each.run({"q": query}, 10), queries)
            batch = float(np.median([seconds(lambda each=each: each.run(named, 10)) for _ in range(7)][2:]))
            print(f"| {name} | {built:.1f} | {whole:.0f} | {ranking:.0f} | {batch * 1e3:.0f} |", flush=True)
            if isinstance(each, lsr.ShardedSearcher):
                each.close()


if __name__ == "__main__":
    main()
