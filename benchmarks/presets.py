"""The recall of tuned presets on queries that tuning has not seen: python benchmarks/presets.py FOLDER.

The documents are packages, grown to --rows beyond the real ones (grown.py); the index is built once in FOLDER. Each
round tunes with other 1,000 queries. The same 1,500 further queries then measure recall@10 of each preset.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from grown import Grown, grow
from search_worker import DATA, SETS

from lsr import SeismicIndex, SparseVectors
from lsr.index.tools.tuning import EXACT, SAME_SCORE

K = 10
TUNED, MEASURED = 1000, 1500  # queries


def grown_index(folder: Path, rows: int) -> SeismicIndex:
    """The index of grown packages in a folder, built if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    built = folder / f"{rows}.index"
    if not built.exists():
        grow("packages", rows, str(folder))
        vectors = Grown(folder / "documents.csr").slice(0, rows)
        SeismicIndex.build(vectors, threads=2).save(built)
    return SeismicIndex.open(built)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    index = grown_index(arguments.folder, arguments.rows)
    queries = SparseVectors.read(DATA / SETS["packages"][1])
    random = np.random.default_rng(5)
    order = random.permutation(len(queries))
    measured, others = queries[np.sort(order[:MEASURED])], order[MEASURED:]
    exact = index.search(measured, K, EXACT)
    least = exact.scores[:, -1:] * (1 - SAME_SCORE)
    print(f"{len(index):,} documents; recall@{K} of {MEASURED:,} queries (standard error), tuned with {TUNED:,} others")
    for number in range(arguments.rounds):
        begin = perf_counter()
        tuning = index.tune(queries[np.sort(random.choice(others, TUNED, replace=False))], k=K)
        print(f"tuned in {perf_counter() - begin:.0f} s")
        for asked, point in tuning.chosen.items():
            found = (index.search(measured, K, point.params).scores >= least).mean(axis=1)
            error = found.std(ddof=1) / len(found) ** 0.5
            print(f"round {number + 1}, asked {asked}: {found.mean():.4f} ({error:.4f}), {point.microseconds:.0f} µs")


if __name__ == "__main__":
    main()
