"""SparseVectors: the normal form, the checks, and everything that cuts and joins rows."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import LsrError, ParameterError, VectorsError
from lsr.vectors.normalize import normalize, row_steps
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests import made_vectors
from tests.processes import run_python
from tests.strategies import DIMS, Rows, from_pairs, sparse_vectors, untidy_rows


def as_rows(vectors: SparseVectors) -> list[list[tuple[int, float]]]:
    return [
        list(zip(indices.tolist(), values.tolist(), strict=True))
        for indices, values in (vectors.row(i) for i in range(len(vectors)))
    ]


def is_normal(vectors: SparseVectors) -> bool:
    """The normal form and the types that the class promises, looked at in plain Python."""
    starts = vectors.indptr.tolist()
    return (
        vectors.indptr.dtype == np.int64
        and vectors.indices.dtype == (np.uint16 if vectors.dim <= 65_536 else np.uint32)
        and vectors.values.dtype == np.float32
        and starts[0] == 0
        and starts[-1] == len(vectors.indices) == len(vectors.values)
        and starts == sorted(starts)
        and all(
            components == sorted(set(components)) and all(0 <= c < vectors.dim for c in components)
            for components in ([c for c, _ in row] for row in as_rows(vectors))
        )
        and all(0 < weight < float("inf") for row in as_rows(vectors) for _, weight in row)
    )


# The constructor


@given(st.sampled_from(DIMS).flatmap(lambda dim: st.tuples(st.just(dim), untidy_rows(dim))))
def test_constructor_sorts_sums_and_drops(drawn: tuple[int, Rows]) -> None:
    dim, rows = drawn
    vectors = from_pairs(rows, dim)
    expected = []
    for row in rows:
        sums: dict[int, float] = {}
        for component, weight in row:
            sums[component] = sums.get(component, 0.0) + weight
        expected.append([(c, float(np.float32(w))) for c, w in sorted(sums.items()) if np.float32(w) > 0])
    assert is_normal(vectors)
    assert [[c for c, _ in row] for row in as_rows(vectors)] == [[c for c, _ in row] for row in expected]
    np.testing.assert_allclose(
        [w for row in as_rows(vectors) for _, w in row], [w for row in expected for _, w in row], rtol=2e-7
    )


def test_many_rows_shuffled_come_back() -> None:
    # Long enough for many steps of rows.
    expected = made_vectors.short_documents(30_000)
    rows = np.repeat(np.arange(len(expected)), np.diff(expected.indptr))
    shuffled = np.lexsort((np.random.default_rng(5).random(expected.nnz), rows))
    vectors = SparseVectors(
        expected.indptr, expected.indices[shuffled].astype(np.int64), expected.values[shuffled], expected.dim
    )
    assert is_normal(vectors)
    assert vectors == expected


def test_arrays_in_normal_form_are_not_copied() -> None:
    expected = made_vectors.short_queries(10_000)
    vectors = SparseVectors(expected.indptr, expected.indices, expected.values, expected.dim)
    assert vectors.indptr is expected.indptr
    assert vectors.indices is expected.indices
    assert vectors.values is expected.values


def test_arrays_given_are_never_changed() -> None:
    arrays = np.array([0, 3, 4]), np.array([5, 2, 5, 0]), np.array([1.0, 2.0, 0.0, 3.0])
    before = [array.copy() for array in arrays]
    SparseVectors(*arrays, 6)
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("index_type", ["i1", "u1", "i4", "u8", ">i4"])
@pytest.mark.parametrize("value_type", ["f2", "f4", "f8", "i8", "u1", ">f8"])
def test_any_number_type(index_type: str, value_type: str) -> None:
    vectors = SparseVectors([0, 2, 3], np.array([4, 1, 0], index_type), np.array([1, 2, 3], value_type), 100)
    assert is_normal(vectors)
    assert as_rows(vectors) == [[(1, 2.0), (4, 1.0)], [(0, 3.0)]]


def test_weights_too_small_for_float32_are_zeros() -> None:
    assert as_rows(SparseVectors([0, 2], [0, 1], [1e-300, 1.0], 2)) == [[(1, 1.0)]]
    assert as_rows(SparseVectors([0, 2], [0, 1], [-0.0, 1.0], 2)) == [[(1, 1.0)]]


def test_duplicates_are_summed_in_double_precision() -> None:
    # One after the other in float32, each 1 would vanish beside 2**24.
    vectors = SparseVectors([0, 3], [3] * 3, [1.0, 2.0**24, 1.0], 4)
    assert as_rows(vectors) == [[(3, 2.0**24 + 2)]]


def test_nothing_at_all() -> None:
    for vectors in (SparseVectors.empty(0), SparseVectors.empty(30_522), SparseVectors([0, 0, 0], [], [], 0)):
        assert vectors.nnz == 0
        assert is_normal(vectors)
    assert len(SparseVectors([0, 0, 0], [], [], 0)) == 2


def test_memory_of_normalizing() -> None:
    rows, length = 40_000, 100
    generator = np.random.default_rng(1)
    indices = generator.integers(0, 30_522, rows * length).astype(np.uint16)
    values = np.ones(rows * length, np.float32)
    indptr = np.arange(0, rows * length + 1, length)
    tracemalloc.start()
    try:
        vectors = SparseVectors(indptr, indices, values, 30_522)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert vectors.nnz < rows * length  # there were duplicates
    assert peak < 2 * (indices.nbytes + values.nbytes)


@pytest.mark.parametrize(
    ("indptr", "indices", "values", "dim", "message"),
    [
        ([0, 1, 2], [5, 5], [1, np.nan], 9, "row 1: weight of component 5 is nan; weights must be finite and non-neg"),
        ([0, 1, 2], [5, 5], [1, np.inf], 9, "row 1: weight of component 5 is inf; weights must be finite and non-neg"),
        ([0, 1, 2], [5, 5], [1, -0.5], 9, "row 1: weight of component 5 is -0.5; weights must be finite and non-neg"),
        ([0, 1, 2], [5, 5], [1, 1e39], 9, "row 1: weight of component 5 is 1e+39; weights must fit a 32-bit float"),
        ([0, 2], [5, 5], [3e38, 3e38], 9, "row 0: the sum of the weights of component 5 does not fit a 32-bit float"),
        ([0, 0, 0, 1], [9], [1], 9, "row 2: component 9 is outside 0 to 8; there are 9 components"),
        ([0, 1], [-1], [1], 9, "row 0: component -1 is outside 0 to 8"),
        ([0, 1], [2**32], [1], 2**32, "row 0: component 4294967296 is outside"),
        ([0, 1], [0], [1], 0, "row 0: component 0 is outside 0 to -1"),
        ([1, 2], [0, 1], [1, 1], 9, "indptr starts at 1; it must start at 0"),
        ([0, 2, 1, 2], [0, 1], [1, 1], 9, "row 1: indptr decreases from 2 to 1"),
        ([0, 1], [0, 1], [1, 1], 9, "indptr ends at 1, but there are 2 components"),
        ([0, 3], [0, 1], [1, 1], 9, "indptr ends at 3, but there are 2 components"),
        ([], [], [], 9, "indptr is empty"),
        ([0, 2], [0, 1], [1], 9, "2 components but 1 weights"),
        ([0, 1], [0.5], [1], 9, "indices has values of type float64; they must be whole numbers"),
        ([0.0, 1.0], [0], [1], 9, "indptr has values of type float64; they must be whole numbers"),
        ([0, 1], [0], ["1"], 9, "values has values of type <U1; they must be numbers"),
        ([0, 1], [0], [None], 9, "values has values of type object"),
        ([0, 1], [0], [1j], 9, "values has values of type complex128"),
        ([0, 1], [[0]], [1], 9, "indices has 2 dimensions"),
        (0, [0], [1], 9, "indptr has 0 dimensions"),
        ([0, 1], [[0], [1, 2]], [1], 9, "indices is not an array"),
        ([0, 1], [2**70], [1], 9, "indices has values of type object"),
        ([0], [], [], -1, "dim is -1; it must be from 0 to 2**32"),
        ([0], [], [], 2**32 + 1, "dim is 4294967297; it must be from 0 to 2**32"),
        ([0], [], [], 2.0, "dim is 2.0; it must be a whole number"),
        ([0], [], [], True, "dim is True; it must be a whole number"),
        ([0], [], [], None, "dim is None; it must be a whole number"),
    ],
)
def test_bad_arrays_are_named(indptr: Any, indices: Any, values: Any, dim: Any, message: str) -> None:
    with pytest.raises(VectorsError) as error:
        SparseVectors(indptr, indices, values, dim)
    assert message in str(error.value)


def test_the_row_is_named_far_from_the_start() -> None:
    good = made_vectors.short_documents(20_000)
    values = good.values.copy()
    values[good.indptr[17_123] + 3] = np.nan
    component = good.indices[good.indptr[17_123] + 3]
    with pytest.raises(VectorsError, match=f"row 17123: weight of component {component} is nan"):
        SparseVectors(good.indptr, good.indices, values, good.dim)


def test_caller_names_the_rows() -> None:
    with pytest.raises(VectorsError, match="line 12: weight"):
        normalize([0, 1, 2], [0, 0], [1, -1], 5, lambda row: f"line {row + 11}")


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 12))
def test_row_steps_cover_all_rows_once(lengths: list[int], postings: int) -> None:
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    steps = list(row_steps(indptr, postings))
    assert [row for start, stop in steps for row in range(start, stop)] == list(range(len(lengths)))
    assert all(stop - start == 1 or indptr[stop] - indptr[start] <= postings for start, stop in steps)


# Rows in and out


@given(sparse_vectors(with_ids=True), st.data())
def test_slices(vectors: SparseVectors, data: st.DataObject) -> None:
    key = data.draw(st.slices(len(vectors)))
    assert_rows(vectors[key], vectors, list(range(len(vectors)))[key])


@given(sparse_vectors(min_rows=1, with_ids=True), st.data())
def test_arrays_of_rows(vectors: SparseVectors, data: st.DataObject) -> None:
    n = len(vectors)
    chosen = data.draw(st.lists(st.integers(-n, n - 1), max_size=9))
    assert_rows(vectors[np.array(chosen, np.int64)], vectors, [row % n for row in chosen])
    assert_rows(vectors[chosen], vectors, [row % n for row in chosen])
    mask = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    assert_rows(vectors[np.array(mask)], vectors, [row for row in range(n) if mask[row]])


def assert_rows(found: SparseVectors, vectors: SparseVectors, rows: list[int]) -> None:
    assert is_normal(found)
    assert found.dim == vectors.dim
    assert as_rows(found) == [as_rows(vectors)[row] for row in rows]
    assert found.ids == (None if vectors.ids is None else [vectors.ids[row] for row in rows])


def test_one_row() -> None:
    vectors = from_pairs([[(0, 1.0)], [(2, 5.0), (1, 4.0)]], 3, ["a", "b"])
    assert_rows(vectors[1], vectors, [1])
    assert_rows(vectors[-2], vectors, [0])
    assert_rows(vectors[np.int32(1)], vectors, [1])
    assert [each.ids for each in vectors] == [["a"], ["b"]]
    indices, values = vectors.row(-1)
    assert indices.tolist() == [1, 2]
    assert values.tolist() == [4.0, 5.0]


def test_slices_share_memory() -> None:
    vectors = made_vectors.short_queries(10_000)
    assert np.shares_memory(vectors[100:200].values, vectors.values)


def test_a_permutation_of_many() -> None:
    vectors = made_vectors.short_documents(30_000)
    order = np.random.default_rng(3).permutation(len(vectors))
    assert vectors[order] != vectors
    assert vectors[order][np.argsort(order)] == vectors


@pytest.mark.parametrize("key", [2, -3, [0, 2], [-3], [True], [True] * 3, [0.5], "a", None, [[0]], True])
def test_rows_that_do_not_exist(key: Any) -> None:
    with pytest.raises(ParameterError):
        from_pairs([[(0, 1.0)], []], 3)[key]


@given(sparse_vectors(dim=7, with_ids=True), st.lists(st.integers(0, 12), max_size=4))
def test_concatenate_undoes_slicing(vectors: SparseVectors, cuts: list[int]) -> None:
    edges = sorted({0, len(vectors), *(cut for cut in cuts if cut < len(vectors))})
    parts = [vectors[a:b] for a, b in pairwise(edges)] or [vectors]
    assert SparseVectors.concatenate(parts) == vectors


def test_concatenate_needs_parts_that_fit() -> None:
    one = from_pairs([[(0, 1.0)]], 3)
    with pytest.raises(VectorsError, match="no vectors to concatenate"):
        SparseVectors.concatenate([])
    with pytest.raises(VectorsError, match="part 1 has 4 components, part 0 has 3"):
        SparseVectors.concatenate([one, SparseVectors.empty(4)])
    with pytest.raises(VectorsError, match="one of the parts 0 and 1 has ids"):
        SparseVectors.concatenate([one, from_pairs([[(0, 1.0)]], 3, ["a"])])


@given(sparse_vectors(with_ids=True), st.integers(1, 9))
def test_top_k(vectors: SparseVectors, k: int) -> None:
    expected = []
    for row in as_rows(vectors):
        heaviest = sorted(row, key=lambda pair: (-pair[1], pair[0]))[:k]
        expected.append(sorted(heaviest))
    found = vectors.top_k(k)
    assert is_normal(found)
    assert as_rows(found) == expected
    assert found.ids == vectors.ids


def test_top_k_of_long_rows() -> None:
    vectors = made_vectors.long_documents(3_000)
    found = vectors.top_k(50)
    for i in range(0, len(vectors), 37):
        indices, values = vectors.row(i)
        heaviest = np.sort(np.argsort(-values, kind="stable")[:50])
        np.testing.assert_array_equal(found.row(i)[0], indices[heaviest])
        np.testing.assert_array_equal(found.row(i)[1], values[heaviest])


def test_top_k_needs_k() -> None:
    with pytest.raises(ParameterError, match="k is 0"):
        SparseVectors.empty(3).top_k(0)


# Other forms


@given(sparse_vectors())
def test_scipy_and_back(vectors: SparseVectors) -> None:
    matrix = vectors.to_scipy()
    assert matrix.shape == (len(vectors), vectors.dim)
    assert SparseVectors.from_scipy(matrix, vectors.ids) == vectors


@given(sparse_vectors(dim=7))
def test_dense(vectors: SparseVectors) -> None:
    dense = vectors.to_dense()
    assert dense.dtype == np.float32
    np.testing.assert_array_equal(dense, vectors.to_scipy().toarray())
    assert SparseVectors.from_scipy(scipy.sparse.csr_array(dense)) == vectors


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr"])
@pytest.mark.parametrize("family", ["array", "matrix"])
def test_from_every_scipy_format(form: str, family: str) -> None:
    dense = np.array([[0.0, 2, 0], [1, 0, 3], [0, 0, 0]])
    matrix = getattr(scipy.sparse, f"csr_{family}")(dense).asformat(form)
    np.testing.assert_array_equal(SparseVectors.from_scipy(matrix).to_dense(), dense)


def test_from_scipy_normalizes() -> None:
    matrix = scipy.sparse.csr_matrix(([1.0, 0.0, 2.0, 4.0], [3, 0, 3, 1], [0, 4]), shape=(1, 5))
    assert as_rows(SparseVectors.from_scipy(matrix)) == [[(1, 4.0), (3, 3.0)]]


def test_from_scipy_refuses_what_it_cannot_take() -> None:
    with pytest.raises(VectorsError, match="not ndarray"):
        SparseVectors.from_scipy(np.ones((2, 2)))
    with pytest.raises(VectorsError, match="row 0: weight of component 1 is -2"):
        SparseVectors.from_scipy(scipy.sparse.csr_array(np.array([[1.0, -2.0]])))


def test_from_dicts() -> None:
    vocabulary = Vocabulary(["a", "b", "c"])
    vectors = SparseVectors.from_dicts([{"c": 2.0, "a": 1}, {}, {"b": 0.0}], vocabulary, ["x", "y", "z"])
    assert as_rows(vectors) == [[(0, 1.0), (2, 2.0)], [], []]
    assert vectors.ids == ["x", "y", "z"]
    assert vectors.dim == 3
    with pytest.raises(VectorsError, match="row 1: token 'd' is not in the vocabulary"):
        SparseVectors.from_dicts([{}, {"d": 1.0}], vocabulary)
    with pytest.raises(VectorsError, match="row 0: weight of component 1 is nan"):
        SparseVectors.from_dicts([{"b": float("nan")}], vocabulary)


def test_from_dicts_of_components_and_of_odd_values() -> None:
    vectors = SparseVectors.from_dicts([{4: 2.0, np.int32(1): 1}, {}], ids=["x", "y"])
    assert (as_rows(vectors), vectors.shape, vectors.ids) == ([[(1, 1.0), (4, 2.0)], []], (2, 5), ["x", "y"])
    assert SparseVectors.from_dicts([{0: 1.0}], dim=9).dim == 9
    assert as_rows(SparseVectors.from_dicts([{"b": 1.0}], {"b": 1, "a": 0})) == [[(1, 1.0)]]
    for rows, message in (
        ({"a": 1.0}, r"one dict; give a list with one dict per row: \[row\]"),
        ([{"a": 1.0}], r"'a' is a token, but there is no vocabulary; give one, vocabulary=sorted\("),
        ([{}, "a"], "row 1 is of type str; give a dict"),
        ([{0: None}], "row 0: the weight of 0 is None; it must be a number"),
        ([{0: "x"}], "row 0: the weight of 0 is 'x'"),
        ([{0: -1.0}], "row 0: weight of component 0 is -1.0"),
        ([{-1: 1.0}], "row 0: component -1 is outside"),
        ([{1 << 70: 1.0}], "not a 64-bit integer"),
        ([{True: 1.0}], "True is of type bool; keys must be tokens"),
    ):
        with pytest.raises(VectorsError, match=message):
            SparseVectors.from_dicts(rows)  # type: ignore[arg-type]


@given(sparse_vectors(dim=7))
def test_tensors_and_arrays(vectors: SparseVectors) -> None:
    dense = vectors.toarray()
    assert SparseVectors.from_dense(dense) == SparseVectors.from_torch(torch.tensor(dense)) == vectors.with_ids(None)
    for tensor in (
        torch.tensor(dense).to_sparse(),
        torch.tensor(dense).to_sparse_csr(),
        torch.tensor(dense).T.to_sparse().T,
    ):
        assert SparseVectors.from_torch(tensor, vectors.ids) == vectors
        assert SparseVectors.of(tensor) == vectors.with_ids(None)


def test_tensors_of_other_kinds() -> None:
    weights = torch.tensor([[0.0, 2.5], [1.0, 0.0]], requires_grad=True)
    expected = [[(1, 2.5)], [(0, 1.0)]]
    assert as_rows(SparseVectors.from_torch(weights)) == expected
    assert as_rows(SparseVectors.from_torch(weights.bfloat16().to_sparse())) == expected
    repeated = torch.sparse_coo_tensor([[0, 0, 1], [1, 1, 0]], [1.5, 1.0, 1.0], (2, 2))
    assert as_rows(SparseVectors.from_torch(repeated)) == expected
    assert as_rows(SparseVectors.from_torch(weights[0].to_sparse())) == expected[:1]
    assert as_rows(SparseVectors.of([row.to_sparse() for row in weights])) == expected
    for other, message in (
        (np.ones((2, 2)), "from_torch needs a tensor, not ndarray"),
        (torch.ones(2, 2, 2).to_sparse(), r"shape \(2, 2, 2\)"),
        (torch.ones(2, 2, 2), r"type float32 and shape \[2, 2, 2\]"),
        (
            torch.tensor([[0.5, -0.5]]),
            "sparse weights are not negative. Dense embeddings belong in DenseIndex",
        ),
        (torch.tensor([[float("nan")]]), "row 0: weight of component 0 is nan"),
    ):
        with pytest.raises(VectorsError, match=message):
            SparseVectors.from_torch(other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("heart", "rows are texts, 'heart'; encode them first"),
        (["heart"], "rows are texts, 'heart'"),
        ({0: 1.0}, "give a list with one dict per row"),
        (None, "rows are of type NoneType; give SparseVectors"),
        ([None], "rows are of type list; give"),
        (7, "rows are of type int"),
        (np.ones(3), r"type float64 and shape \[3\]; give numbers of shape"),
        (np.array([["a"]]), "rows are of type ndarray"),
        ([[1.0], [1.0, 2.0]], "give numbers of shape"),
    ],
)
def test_objects_without_rows_are_refused(given: Any, message: str) -> None:
    with pytest.raises((ParameterError, VectorsError), match=message):
        SparseVectors.of(given, what="rows")
    assert SparseVectors.of([], dim=3) == SparseVectors.empty(3)


@given(sparse_vectors(min_rows=1, with_ids=True))
def test_equality(vectors: SparseVectors) -> None:
    again = SparseVectors(vectors.indptr, vectors.indices.copy(), vectors.values.copy(), vectors.dim, vectors.ids)
    assert again == vectors
    assert again != SparseVectors(vectors.indptr, vectors.indices, vectors.values, vectors.dim)
    assert again != vectors[:-1]
    if vectors.nnz:
        values = vectors.values * np.float32(2)
        assert again != SparseVectors(vectors.indptr, vectors.indices, values, vectors.dim, vectors.ids)


def test_ids_are_changed_in_a_copy() -> None:
    vectors = from_pairs([[(0, 1.0)], [(2, 5.0)]], 3, ["a", "b"])
    with pytest.raises(AttributeError):
        vectors.ids = None  # type: ignore[misc]
    renamed = vectors.with_ids(["c", "d"])
    assert (vectors.ids, renamed.ids, renamed.with_ids(None).ids) == (["a", "b"], ["c", "d"], None)
    assert renamed.values is vectors.values
    assert renamed.with_ids(["a", "b"]) == vectors
    with pytest.raises(VectorsError, match="1 ids for 2 rows"):
        vectors.with_ids(["c"])


def test_rows_and_numbers_of_other_types_are_refused() -> None:
    vectors = from_pairs([[(0, 1.0)], [(2, 5.0)]], 3)
    for key in (None, "x", [1, [2]], [[0]], 0.5, [0.5], {}, [None]):
        with pytest.raises(ParameterError, match="rows are selected by"):
            _ = vectors[key]
    for row in (None, "x", [0], True, 0.0):
        with pytest.raises(ParameterError, match="a row is selected by its number"):
            vectors.row(row)  # type: ignore[arg-type]
    for k in (None, "x", [1], True, 0, -1, 1.5):
        with pytest.raises(ParameterError, match="k is"):
            vectors.top_k(k)  # type: ignore[arg-type]
    assert vectors.top_k(1 << 70) == vectors


def test_import_is_light() -> None:
    heavy = "{'numba', 'torch', 'pyarrow', 'transformers'}"
    code = f"import sys, lsr.vectors.sparse_vectors; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code).stdout == "[]\n"


def test_every_error_is_one_of_ours() -> None:
    with pytest.raises(LsrError):
        SparseVectors([0, 1], [0], [float("nan")], 1)
    with pytest.raises(ValueError, match="nan"):
        SparseVectors([0, 1], [0], [float("nan")], 1)
