"""The cost of shards: time of a query compared with a single index, and encoding and searching on more processors.

    python benchmarks/shards.py [--rows 20000] [--shards 1 2] [--cluster local] [--encoder tiny]

Documents are generated (Zipf words). Builds and searches are of BM25. With --cluster, documents are also encoded by
--encoder in as many processes as each number of shards. Everything runs on this machine: the network of a cluster is
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
from lsr.distributed.shard_processes import processes
from lsr.distributed.shard_tasks import DOCUMENTS, BuildPlan
from lsr.encoders.base import ENCODER_FOLDER

QUERIES = 300
PARTS = 16  # of equal size, which the processes encode


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
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2], help="numbers of shards, and of processes")
    parser.add_argument("--cluster", help="also measure Ray: local, or an address")
    parser.add_argument("--encoder", default="bm25", help="encodes documents in processes of Ray")
    asked = parser.parse_args()
    documents = made_documents(asked.rows)
    rng = np.random.default_rng(8)
    words = [document["text"].split() for document in documents[: QUERIES * 3]]
    queries = [" ".join(rng.choice(words[at], 5)) for at in range(QUERIES)]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    )
    print(f"{asked.rows:,} documents of 60 words, {QUERIES} queries of 5 words, k = 10")
    collection = as_documents(documents)
    with tempfile.TemporaryDirectory() as folder:
        routed = seconds(
            lambda: route(collection.documents(), Path(folder), max(asked.shards), None, DocumentsDigest())
        )
    print(f"read and routed: {asked.rows / routed:,.0f} documents a second")
    rng = np.random.default_rng(9)
    lists = {
        shard: ShardFound(1, np.arange(10)[None], -np.sort(-rng.random((1, 10))), [["id"] * 10], None)
        for shard in range(64)
    }
    merged = np.median([seconds(lambda: merge_rankings(lists, 1, 10)) for _ in range(200)])
    print(f"lists of 64 shards merged in {merged * 1e6:.0f} µs")
    print("\n| | build, s | a query, µs | ranking alone, µs | 300 queries in one call, ms |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        lsr.build_index(documents[:200], Path(folder, "warm"), "bm25")  # loads kernels
        one = Path(folder, "one")
        built = seconds(lambda: lsr.build_index(documents, one, "bm25", threads=1))
        measure("one index", built, lsr.Searcher.open(one), queries)
        for cluster in (None, asked.cluster) if asked.cluster else (None,):
            for shards in asked.shards:
                name = f"shards: {shards}, {'in this process' if cluster is None else 'as actors of Ray'}"
                place = Path(folder, name)
                built = seconds(
                    lambda place=place, shards=shards, cluster=cluster: lsr.build_sharded_index(
                        documents, place, "bm25", shards, cluster=cluster
                    )
                )
                with lsr.ShardedSearcher.open(place, cluster=cluster, cpus=0.5) as searcher:
                    measure(name, built, searcher, queries)
        if asked.cluster:
            encoder = lsr.load_encoder(asked.encoder)
            if not encoder.fitted:
                encoder.fit(document["text"] for document in documents)
            print(f"\n| processes of Ray | {asked.encoder}: documents/s, together |\n|---|---|")
            for workers in asked.shards:
                rate = encoding_rate(documents, encoder, asked.cluster, workers)
                print(f"| {workers} | {rate:,.0f} |", flush=True)


def measure(name: str, built: float, searcher: lsr.Searcher | lsr.ShardedSearcher, queries: list[str]) -> None:
    """Print one row of the table."""
    named = {str(at): query for at, query in enumerate(queries)}
    whole = microseconds(lambda query: [hit.text for hit in searcher.search(query, 10)], queries)
    ranking = microseconds(lambda query: searcher.run({"q": query}, 10), queries)
    batch = float(np.median([seconds(lambda: searcher.run(named, 10)) for _ in range(7)][2:]))
    print(f"| {name} | {built:.1f} | {whole:.0f} | {ranking:.0f} | {batch * 1e3:.0f} |", flush=True)


def encoding_rate(documents: list[dict[str, str]], encoder: lsr.Encoder, cluster: str, workers: int) -> float:
    """Documents a second in the second half of the parts: by then, Ray has started the processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = route(as_documents(documents).documents(), folder / DOCUMENTS, PARTS, None, DocumentsDigest())
        encoder.save(folder / ENCODER_FOLDER)
        plan = BuildPlan(folder, counts, lsr.IndexConfig())
        done, times = [0], [0.0]
        with processes(cluster).building(plan, encoder, None, workers) as work:
            for encoded in work.encode(plan.missing_parts()):
                done.append(done[-1] + encoded)
                times.append(perf_counter())
    half = len(done) // 2
    return (done[-1] - done[half]) / (times[-1] - times[half])


if __name__ == "__main__":
    main()
