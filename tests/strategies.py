"""What hypothesis draws: rows as users give them, and sparse vectors in which ties and shared components are common."""

from __future__ import annotations

from hypothesis import strategies as st

from lsr.vectors.sparse_vectors import SparseVectors

Rows = list[list[tuple[int, float]]]

DIMS = (1, 2, 7, 1 << 16, (1 << 16) + 1, 1 << 32)


def components(dim: int) -> st.SearchStrategy[int]:
    """Few different ones, from both ends of the range, so that they meet."""
    return st.one_of(st.integers(0, min(dim, 6) - 1), st.integers(max(0, dim - 3), dim - 1))


def weights() -> st.SearchStrategy[float]:
    """Positive 32-bit floats; small whole numbers are common, so that scores tie."""
    return st.one_of(
        st.integers(1, 3).map(float),
        st.floats(2.0**-60, 2.0**60, width=32),
    )


@st.composite
def untidy_rows(draw: st.DrawFn, dim: int) -> Rows:
    """Rows of (component, weight) in any order, with duplicates and zeros."""
    pair = st.tuples(components(dim), st.one_of(st.just(0.0), weights()))
    return draw(st.lists(st.lists(pair, max_size=8), max_size=12))


@st.composite
def sparse_vectors(
    draw: st.DrawFn, dim: int | None = None, min_rows: int = 0, max_rows: int = 12, with_ids: bool = False
) -> SparseVectors:
    """Vectors of `dim` components, or of one of DIMS."""
    dim = draw(st.sampled_from(DIMS)) if dim is None else dim
    row = st.dictionaries(components(dim), weights(), max_size=8)
    rows = draw(st.lists(row, min_size=min_rows, max_size=max_rows))
    ids = None
    if with_ids:
        ids = draw(st.lists(st.text(min_size=1, max_size=5), min_size=len(rows), max_size=len(rows), unique=True))
    return from_pairs([list(each.items()) for each in rows], dim, ids)


def from_pairs(rows: Rows, dim: int, ids: list[str] | None = None) -> SparseVectors:
    """SparseVectors of rows of (component, weight)."""
    flat = [pair for row in rows for pair in row]
    indptr = [0]
    for row in rows:
        indptr.append(indptr[-1] + len(row))
    return SparseVectors(indptr, [c for c, _ in flat], [w for _, w in flat], dim, ids)
