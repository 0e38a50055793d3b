"""Real sparse vectors and similar generated ones, in a .csr file whose first rows are a smaller collection.

    python benchmarks/grown.py wiki 8841823 FOLDER --terms 120        of MS MARCO's shape

The first rows are real. Each further row mixes a real row with one of its neighbors in the order of lsr's blocks, in
which similar rows are close to each other. So the grown rows have the components of real ones, similar weights, about
the same length, and neighbors: the properties on which the time of a search depends. They are not a sample of a larger
collection: results on them must say that they are grown.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
from search_worker import DATA, SETS

from lsr import SeismicIndex, SparseVectors
from lsr.vectors.io.csr import write_batches
from lsr.vectors.normalize import component_dtype

CHUNK = 100_000  # rows per state of the random numbers, so that a larger file begins with the smaller one
SEED = 20_261_130
REACH = 24  # largest distance of neighbors in the order, in both directions
# Probabilities with which a mixture keeps components: of both rows, of the row itself and of its neighbor. A row and
# its neighbor share about a third of their components; with these values, the length does not change.
OF_BOTH, OF_ROW, OF_NEIGHBOR = 0.9, 0.62, 0.38
NOISE = 0.12  # deviation of the logarithm of a weight


class Grown:
    """The rows of a .csr file written by `grow`, memory-mapped."""

    def __init__(self, path: Path) -> None:
        n, self.dim, nnz = np.fromfile(path, np.int64, 3).tolist()
        self.indptr = np.memmap(path, np.int64, "r", 24, (n + 1,))
        self._indices = np.memmap(path, np.int32, "r", 24 + 8 * (n + 1), (nnz,))
        self._values = np.memmap(path, np.float32, "r", 24 + 8 * (n + 1) + 4 * nnz, (nnz,))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def slice(self, begin: int, end: int) -> SparseVectors:
        """Rows begin..end, copied into memory."""
        indptr = np.array(self.indptr[begin : end + 1])
        first, last = indptr[0], indptr[-1]
        indices = self._indices[first:last].astype(component_dtype(self.dim))
        return SparseVectors.from_normalized(indptr - first, indices, np.array(self._values[first:last]), self.dim)

    def row(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Components and weights of one row."""
        begin, end = self.indptr[row], self.indptr[row + 1]
        return self._indices[begin:end], self._values[begin:end]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", choices=SETS)
    parser.add_argument("rows", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--terms", type=int, help="number of heaviest components of a real row to keep; default: all")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    grow(arguments.data_set, arguments.rows, str(arguments.folder), arguments.terms)


def grow(data_set: str, rows: int, folder: str, terms: int | None = None) -> None:
    """Make `folder`/documents.csr with at least `rows` rows, unless it exists.

    The order of the real rows is stored beside it, so that a larger file begins with the same rows. terms: number of
    heaviest components of a real row to keep; None for all.
    """
    path, order_path = Path(folder) / "documents.csr", Path(folder) / "order.npy"
    if path.exists() and len(Grown(path)) >= rows:
        return
    real = SparseVectors.read(DATA / SETS[data_set][0])
    if terms:
        real = real.top_k(terms)
    if rows > len(real) and not order_path.exists():
        np.save(order_path, neighbor_order(real))
    parts = [real[: min(rows, len(real))]]
    if rows > len(real):
        parts += mixtures(real, np.load(order_path), rows - len(real))
    write_batches(path, real.dim, lambda: iter(parts))
    lengths = {"real": real.nnz / len(real), "all": sum(part.nnz for part in parts) / rows}
    about = {"set": data_set, "rows": rows, "real_rows": min(rows, len(real)), "components_a_row": lengths}
    (Path(folder) / "documents.json").write_text(json.dumps(about, indent=1))


def neighbor_order(vectors: SparseVectors) -> np.ndarray:
    """int64[rows]: the rows in the order of lsr's blocks. Raises SystemExit for too few rows for blocks."""
    index = SeismicIndex.build(vectors, threads=None)
    if index.inverted:
        raise SystemExit("the collection is too small to have blocks of neighbors")
    return index.engine.arrays()["rows"].astype(np.int64)


def mixtures(real: SparseVectors, order: np.ndarray, rows: int) -> list[SparseVectors]:
    """`rows` mixtures, one of each real row in turn, and several of each if there are more mixtures than real rows."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    arrays = real.indptr, real.indices, real.values, order, places

    def part(begin: int) -> SparseVectors:
        end = min(begin + CHUNK, rows)
        indptr, indices, values = mix(*arrays, begin, end, SEED + begin // CHUNK)
        rounded = values.astype(np.float16).astype(np.float32)  # like real weights
        return SparseVectors.from_normalized(indptr, indices, rounded, real.dim)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(part, range(0, rows, CHUNK)))


@numba.njit(nogil=True)
def mix(indptr: Any, indices: Any, values: Any, order: Any, places: Any, begin: int, end: int, seed: int) -> Any:
    """Mixtures begin..end: indptr, components in ascending order, weights."""
    np.random.seed(seed)
    n = len(order)
    longest = 0
    for row in range(n):
        longest = max(longest, indptr[row + 1] - indptr[row])
    starts = np.zeros(end - begin + 1, np.int64)
    room = np.int64((end - begin) * (indptr[n] // n + 1) * 1.5) + 2 * longest
    components, weights = np.empty(room, indices.dtype), np.empty(room, np.float32)
    filled = np.int64(0)
    for made in range(end - begin):
        row = (begin + made) % n
        neighbor = order[place_beside(places[row], n)]
        if filled + 2 * longest > room:
            room *= 2
            components, weights = enlarged(components, room), enlarged(weights, room)
        a, b = indptr[row], indptr[neighbor]
        first = filled
        while a < indptr[row + 1] or b < indptr[neighbor + 1]:
            in_row, in_neighbor = a < indptr[row + 1], b < indptr[neighbor + 1]
            if in_row and in_neighbor:
                in_row, in_neighbor = indices[a] <= indices[b], indices[b] <= indices[a]
            if in_row and in_neighbor:
                component, kept = indices[a], OF_BOTH
                weight = values[a] if np.random.random() < 0.5 else values[b]
            elif in_row:
                component, kept, weight = indices[a], OF_ROW, values[a]
            else:
                component, kept, weight = indices[b], OF_NEIGHBOR, values[b]
            a += in_row
            b += in_neighbor
            if np.random.random() < kept:
                components[filled] = component
                weights[filled] = weight * np.exp(np.random.normal(0.0, NOISE))
                filled += 1
        if filled == first and indptr[row] < indptr[row + 1]:  # rows must not be empty
            components[filled], weights[filled] = indices[indptr[row]], values[indptr[row]]
            filled += 1
        starts[made + 1] = filled
    return starts, components[:filled].copy(), weights[:filled].copy()


@numba.njit(nogil=True)
def place_beside(place: int, n: int) -> int:
    """Another place at a distance of at most REACH."""
    while True:
        other = place + np.random.randint(-REACH, REACH + 1)
        if other != place and 0 <= other < n:
            return other


@numba.njit(nogil=True)
def enlarged(array: Any, room: int) -> Any:
    larger = np.empty(room, array.dtype)
    larger[: len(array)] = array
    return larger


if __name__ == "__main__":
    main()
