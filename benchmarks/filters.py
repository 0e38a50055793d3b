"""Searches with prepared filters compared with unfiltered ones: python benchmarks/filters.py FOLDER.

The documents are packages, grown to --rows beyond the real ones (grown.py); the index is built once in FOLDER. A filter
allows 1, 10 or 50 % of them, at random. Searches take turns; figures are medians of the rounds, on one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from presets import K, grown_index
from search_worker import DATA, SETS

from lsr import SparseVectors
from lsr.index.filters import Filter

SHARES = (0.01, 0.1, 0.5)
QUERIES, ROUNDS = 1000, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    index = grown_index(arguments.folder, arguments.rows)
    queries = SparseVectors.read(DATA / SETS["packages"][1])[:QUERIES]
    random = np.random.default_rng(3)
    filters: dict[str, Filter | None] = {"all": None}
    for share in SHARES:
        begin = perf_counter()
        filters[f"{share:.0%}"] = Filter.of(random.random(len(index)) < share, len(index), index.ids)
        print(f"a filter of {share:.0%} prepared in {1000 * (perf_counter() - begin):.0f} ms")
    times: dict[str, list[float]] = {name: [] for name in filters}
    for turn in range(ROUNDS + 1):
        for name, allowed in filters.items():
            begin = perf_counter()
            index.search(queries, K, allowed=allowed)
            if turn:  # the first turn prepares
                times[name].append(1e6 * (perf_counter() - begin) / len(queries))
    whole = median(times["all"])
    for name, each in times.items():
        print(
            f"{len(index):,} documents, {name} allowed: {median(each):.0f} µs per query, {median(each) / whole:.2f} x"
        )


if __name__ == "__main__":
    main()
