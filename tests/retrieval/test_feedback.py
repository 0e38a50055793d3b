"""Feedback against hand-computed examples and naive twins, on random vectors and on an index's own rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig
from lsr.index.rows import GatheredRows
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.feedback import dense_feedback, sparse_rocchio
from lsr.retrieval.request import Feedback
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.naive import feedback as twin

vectors = st.dictionaries(st.integers(0, 9) | st.just(2**31), st.floats(2.0**-7, 10, width=32), max_size=8)
DIM = 2**31 + 1


def rows_of(documents: list[dict[int, float]]) -> GatheredRows:
    found = sparse(documents)
    return GatheredRows(found.indptr, found.indices.astype(np.uint32), found.values)


def sparse(rows: list[dict[int, float]], dim: int = DIM) -> SparseVectors:
    indptr = np.cumsum([0, *map(len, rows)])
    return SparseVectors(indptr, [c for row in rows for c in row], [w for row in rows for w in row.values()], dim)


def as_dict(vectors: SparseVectors, row: int) -> dict[int, float]:
    return dict(zip(*(array.tolist() for array in vectors.row(row)), strict=True))


def test_average_and_rocchio_of_dense_vectors_by_hand() -> None:
    query = np.array([[1.0, 0.0]], np.float32)
    up, down = [np.array([[0.0, 2.0], [2.0, 4.0]], np.float32)], [np.array([[5.0, 0.0]], np.float32)]
    average = dense_feedback(query, up, down, Feedback("average").on_side("dense"))
    assert average.tolist() == [[1.0, 2.0]]
    rocchio = dense_feedback(query, up, down, Feedback(gamma=0.2, negatives=1).on_side("dense"))
    assert rocchio[0] == pytest.approx([0.4 + 0.6 - 1.0, 0.6 * 3])
    assert query.tolist() == [[1.0, 0.0]]


def test_sparse_rocchio_by_hand() -> None:
    query = sparse([{1: 3.0, 2: 4.0}])  # of length 5: .6, .8
    up = rows_of([{2: 1.0}, {5: 2.0, 7: 0.0001}])  # unit vectors; their mean is .5, .5, and next to nothing
    feedback = Feedback(alpha=2.0, beta=1.0, terms=2).on_side("sparse")
    found = as_dict(sparse_rocchio(query, up, rows_of([]), np.array([[2, 0]]), feedback), 0)
    half = 2**-0.5
    assert found == pytest.approx({1: 1.2, 2: 1.6 + half, 5: half})


def test_subtraction_with_gamma_leaves_no_negative_weights() -> None:
    query = sparse([{1: 1.0, 2: 1.0}])
    feedback = Feedback(gamma=2.0, negatives=1).on_side("sparse")
    found = sparse_rocchio(query, rows_of([{1: 1.0}]), rows_of([{2: 1.0}]), np.array([[1, 1]]), feedback)
    assert as_dict(found, 0) == pytest.approx({1: 2**-0.5 + 0.75})


@settings(deadline=None)
@given(
    st.lists(st.tuples(vectors, st.lists(vectors, max_size=4), st.lists(vectors, max_size=3)), max_size=4),
    st.tuples(*[st.sampled_from([0.0, 0.3, 1.0, 7.0])] * 3),
    st.integers(1, 5),
)
def test_sparse_rocchio_equals_the_naive_twin(
    cases: list[tuple[dict[int, float], list[dict[int, float]], list[dict[int, float]]]],
    factors: tuple[float, float, float],
    terms: int,
) -> None:
    alpha, beta, gamma = factors
    feedback = Feedback(alpha=alpha, beta=beta, gamma=gamma, negatives=3 if gamma else 0, terms=terms).on_side("sparse")
    found = sparse_rocchio(
        sparse([query for query, _, _ in cases]),
        rows_of([document for _, up, _ in cases for document in up]),
        rows_of([document for _, _, down in cases for document in down]),
        np.array([[len(up), len(down)] for _, up, down in cases], np.int64).reshape(-1, 2),
        feedback,
    )
    assert len(found) == len(cases)
    for row, (query, up, down) in enumerate(cases):
        expected = twin.rocchio(query, up, down, alpha, beta, gamma, terms)
        actual = as_dict(found, row)
        for component in expected.keys() | actual.keys():  # one that rounds to nothing may be there or not
            assert actual.get(component, 0.0) == pytest.approx(expected.get(component, 0.0), rel=1e-5, abs=1e-6)
        indices = found.row(row)[0]
        assert (np.diff(indices.astype(np.int64)) > 0).all()


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_dense_rocchio_equals_numpy(dim: int, relevant: int, others: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    query, up, down = (random.standard_normal((n, dim), np.float32) for n in (1, relevant, others))
    feedback = Feedback(alpha=0.3, beta=0.5, gamma=0.2, negatives=3).on_side("dense")
    expected = 0.3 * query[0] + 0.5 * up.mean(0) - (0.2 * down.mean(0) if others else 0)
    assert dense_feedback(query, [up], [down], feedback)[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [SeismicIndex, ExactIndex])
def test_gathered_rows_are_the_indexs_vectors(kind: type[SeismicIndex] | type[ExactIndex]) -> None:
    index = kind.build(made_vectors.short_documents(2000), IndexConfig())
    chosen = np.array([3, 1999, 3, 0])
    rows = index.gather(chosen)
    for at, row in enumerate(chosen):
        entries = slice(rows.indptr[at], rows.indptr[at + 1])
        order = np.argsort(rows.indices[entries])
        components, weights = index.vector(int(row))
        assert rows.indices[entries][order].tolist() == components.tolist()
        assert rows.values[entries][order].tolist() == weights.tolist()
    assert len(index.gather(np.empty(0, np.int64)).indices) == 0
    for wrong in ([-1], [2000]):
        with pytest.raises(ParameterError, match="2000 documents"):
            index.gather(np.array(wrong))


def test_rocchio_of_many_terms_equals_the_naive_twin() -> None:
    index = SeismicIndex.build(made_vectors.long_documents(3000))
    queries = made_vectors.long_queries(20)
    found = index.search(queries, k=10)
    feedback = Feedback().on_side("sparse")
    counts = np.stack([(found.rows >= 0).sum(1), np.zeros(20, np.int64)], axis=1)
    second = sparse_rocchio(queries, index.gather(found.rows[found.rows >= 0]), rows_of([]), counts, feedback)
    for query in range(20):
        documents = [dict(zip(*index.vector(row), strict=True)) for row in found.rows[query].tolist() if row >= 0]
        plain = {int(c): float(w) for c, w in as_dict(queries, query).items()}
        expected = twin.rocchio(
            plain, [{int(c): float(w) for c, w in each.items()} for each in documents], [], 1.0, 0.75, 0.0, 10
        )
        assert as_dict(second, query) == pytest.approx(expected, rel=1e-4)


def test_published_values_by_side() -> None:
    dense, sparse_side, average = (
        Feedback().on_side("dense"),
        Feedback().on_side("sparse"),
        Feedback("average").on_side("dense"),
    )
    assert (dense.depth, dense.alpha, dense.beta, dense.gamma) == (5, 0.4, 0.6, 0.0)
    assert (sparse_side.depth, sparse_side.alpha, sparse_side.beta, sparse_side.terms) == (10, 1.0, 0.75, 10)
    assert average.depth == 3
    assert Feedback(alpha=0.0).on_side("dense").alpha == 0.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "bo1"}, "feedback is 'bo1'"),
        ({"depth": 0}, "depth is 0"),
        ({"terms": 1.5}, "terms is 1.5"),
        ({"alpha": -1}, "alpha is -1"),
        ({"beta": float("inf")}, "beta is inf"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"gamma": None}, "gamma is None"),
        ({"gamma": 0.1}, "negatives 0"),
        ({"negatives": 2}, "gamma is 0"),
        ({"method": "average", "alpha": 0.5}, "average has no alpha"),
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Feedback(**wrong)  # type: ignore[arg-type]


def test_sides_refuse_what_they_do_not_have() -> None:
    with pytest.raises(ParameterError, match="average works on dense"):
        Feedback("average").on_side("sparse")
    with pytest.raises(ParameterError, match="no terms"):
        Feedback(terms=5).on_side("dense")
