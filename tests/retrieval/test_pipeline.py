"""Pipelines, step by step, against the same steps over dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lsr.errors import ParameterError
from lsr.index.dense.dense_index import DenseIndex
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.retrieval.fusion import Ranking, interpolate
from lsr.retrieval.pipeline import Found, Lists, Sides, search_pipeline
from lsr.retrieval.request import DENSE, SPARSE, WORDS, Feedback, Fusion, SearchRequest, word_types
from lsr.vectors.sparse_vectors import SparseVectors
from tests.naive import feedback as naive_feedback
from tests.naive import fusion as naive_fusion

DOCUMENTS, QUERIES, COMPONENTS, DIM = 60, 12, 25, 8
DEPTH = 20  # of the lists that are fused: fewer than there are documents, so that some are missing


class World:
    """Random sparse and dense vectors of the same documents and queries."""

    def __init__(self) -> None:
        random = np.random.default_rng(11)

        def sparse(rows: int, share: float) -> np.ndarray:
            weights = random.random((rows, COMPONENTS)) * (random.random((rows, COMPONENTS)) < share)
            return weights.astype(np.float32)

        self.sparse, self.sparse_queries = sparse(DOCUMENTS, 0.3), sparse(QUERIES, 0.2)
        self.dense = random.standard_normal((DOCUMENTS, DIM)).astype(np.float32)
        self.dense_queries = random.standard_normal((QUERIES, DIM)).astype(np.float32)
        self.index = ExactIndex.build(self.to_vectors(self.sparse))
        self.dense_index = DenseIndex.build(self.dense)

    @staticmethod
    def to_vectors(matrix: np.ndarray) -> SparseVectors:
        import scipy.sparse

        return SparseVectors.from_scipy(scipy.sparse.csr_matrix(matrix))

    def find(self, request: SearchRequest, dropped: np.ndarray | None = None) -> Found:
        encoded = {SPARSE: self.to_vectors(self.sparse_queries), DENSE: self.dense_queries}
        sides = Sides(self.index, self.dense_index if DENSE in request.sides else None, request, 1, dropped)
        return search_pipeline(sides, {side: encoded[side] for side in request.sides})


@pytest.fixture(scope="module")
def world() -> World:
    return World()


class Naive:
    """One query, with dictionaries: row -> score, component -> weight."""

    def __init__(self, world: World, query: int, dropped: int = -1) -> None:
        self.world, self.dropped = world, dropped
        self.queries = {
            SPARSE: world.sparse_queries[query].astype(np.float64),
            DENSE: world.dense_queries[query].astype(np.float64),
        }

    def search(self, side: str, query: np.ndarray, k: int) -> dict[int, float]:
        scores = (self.world.sparse if side == SPARSE else self.world.dense).astype(np.float64) @ query
        order = [int(row) for row in np.argsort(-scores, kind="stable") if row != self.dropped]
        return (
            {row: float(scores[row]) for row in order if side == DENSE or scores[row] > 0}
            if k > DOCUMENTS
            else {row: float(scores[row]) for row in [r for r in order if side == DENSE or scores[r] > 0][:k]}
        )

    def fused(self, sparse: dict[int, float], dense: dict[int, float], fusion: Fusion) -> dict[int, float]:
        lists: Any = [sparse, dense]
        if fusion.method == "rrf":
            found = naive_fusion.reciprocal_rank_fusion(lists)
        else:
            weights = fusion.weight, 1 - fusion.weight
            found = naive_fusion.fuse(lists, weights, fusion.normalize, fusion.missing)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))  # type: ignore[arg-type]

    def feed_back(
        self, side: str, relevant: dict[int, float], not_relevant: list[int], feedback: Feedback
    ) -> np.ndarray:
        query, rows = self.queries[side], list(relevant)
        if not rows:
            return query
        if side == DENSE:
            up, down = self.world.dense[rows].astype(np.float64), self.world.dense[not_relevant].astype(np.float64)
            if feedback.method == "average":
                return (query + up.sum(0)) / (1 + len(up))
            moved = feedback.alpha * query + feedback.beta * up.mean(0)
            return moved - feedback.gamma * down.mean(0) if len(down) else moved
        as_dicts = [
            [{c: float(w) for c, w in enumerate(self.world.sparse[row]) if w} for row in chosen]
            for chosen in (rows, not_relevant)
        ]
        asked = {c: w for c, w in enumerate(query) if w}
        if feedback.method == "rm3":
            scored = list(zip(as_dicts[0], relevant.values(), strict=True))
            weights = naive_feedback.rm3(asked, scored, feedback.alpha, feedback.terms) or asked
        else:
            factors = feedback.alpha, feedback.beta, feedback.gamma
            weights = naive_feedback.rocchio(asked, *as_dicts, *factors, feedback.terms)
        return np.array([weights.get(component, 0.0) for component in range(COMPONENTS)])

    def run(self, request: SearchRequest) -> dict[int, float]:
        """The steps of section 'before', 'after' and 'both' of the paper, as they are written there."""
        k, main, fusion = request.k, request.main, request.fusion
        feedback = request.feedback and request.feedback.on_side(main)
        other = DENSE if main == SPARSE else SPARSE
        query = self.queries[main]
        deep = max(k, DEPTH)
        if feedback is not None:
            if request.interpolate in ("before", "both"):
                first = {SPARSE: self.search(SPARSE, self.queries[SPARSE], DEPTH)}
                first[DENSE] = self.search(DENSE, self.queries[DENSE], DEPTH)
                found = list(self.fused(first[SPARSE], first[DENSE], fusion).items())
                found = found[: max(DEPTH, feedback.depth + feedback.negatives)]
            else:
                depth = DEPTH if feedback.negatives else feedback.depth
                found = list(self.search(main, query, depth).items())
            rest = [row for row, _ in found[feedback.depth :]]
            top = dict(found[: feedback.depth])
            query = self.feed_back(main, top, rest[len(rest) - feedback.negatives :], feedback)
        if request.interpolate not in ("after", "both"):
            return self.search(main, query, k)
        last = {main: self.search(main, query, deep), other: self.search(other, self.queries[other], deep)}
        return dict(list(self.fused(last[SPARSE], last[DENSE], fusion).items())[:k])


CASES = [
    {"side": side, "feedback": feedback, "interpolate": interpolate, "fusion": Fusion(weight=weight, depth=DEPTH)}
    for side in (SPARSE, DENSE)
    for feedback in (None, "rocchio", "average", "rm3", Feedback(depth=4, gamma=0.3, negatives=3))
    for interpolate in ("none", "before", "after", "both")
    for weight in ((0.5, 0.2) if interpolate != "none" else (0.5,))
    if (feedback, side) not in (("average", SPARSE), ("rm3", DENSE))
    and not (feedback is None and interpolate in ("before", "both"))
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
@pytest.mark.parametrize("k", [5, 40])
@pytest.mark.parametrize("drop", [False, True])
def test_every_pipeline_equals_its_steps(world: World, case: dict[str, Any], k: int, drop: bool) -> None:
    if case["interpolate"] == "none" and not getattr(case["feedback"], "negatives", 0):
        case = {**case, "fusion": Fusion()}  # without effect, and refused
    equals_its_steps(world, SearchRequest.of(k, **case), drop)


@pytest.mark.parametrize(
    "fusion",
    [
        Fusion("rrf", depth=DEPTH),
        Fusion("interpolation", 0.3, "z-score", "minimum", DEPTH),
        Fusion("interpolation", 0.3, "z-score", "zero", DEPTH),
        Fusion("interpolation", 0.7, "min-max", "zero", DEPTH),
        Fusion("interpolation", 0.4, "none", "minimum", DEPTH),
        Fusion("interpolation", 0.4, "none", "zero", DEPTH),
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [SPARSE, DENSE])
@pytest.mark.parametrize("interpolate", ["before", "after", "both"])
def test_every_fusion_in_every_place(world: World, fusion: Fusion, side: str, interpolate: str) -> None:
    equals_its_steps(world, SearchRequest.of(40, None, None, side, "rocchio", interpolate, fusion), False)


def equals_its_steps(world: World, request: SearchRequest, drop: bool) -> None:
    dropped = np.array([-1 if query % 3 == 0 else query * 4 for query in range(QUERIES)]) if drop else None
    found = world.find(request, dropped)
    for query in range(QUERIES):
        expected = Naive(world, query, -1 if dropped is None else int(dropped[query])).run(request)
        kept = found.lists.rows[query] >= 0
        rows, scores = found.lists.rows[query, kept].tolist(), found.lists.scores[query, kept].tolist()
        assert len(rows) == len(expected)
        assert scores == pytest.approx(list(expected.values()), rel=1e-4, abs=1e-5)
        actual = dict(zip(rows, scores, strict=True))
        assert {row: actual[row] for row in expected if row in actual} == pytest.approx(
            {row: score for row, score in expected.items() if row in actual}, rel=1e-4, abs=1e-5
        )
        assert len(actual.keys() & expected.keys()) >= len(expected) - 1  # the last may tie but for rounding


def test_parts_are_the_inner_products_of_each_list(world: World) -> None:
    found = world.find(SearchRequest(30, interpolate="after", fusion=Fusion(depth=DEPTH)))
    for side, documents, queries in (
        (SPARSE, world.sparse, world.sparse_queries),
        (DENSE, world.dense, world.dense_queries),
    ):
        products = queries @ documents.T
        parts = found.parts[side]
        there = ~np.isnan(parts)
        assert there.any() and not there.all()
        expected = np.take_along_axis(products, np.maximum(found.lists.rows, 0), axis=1)
        assert parts[there] == pytest.approx(expected[there], rel=1e-4, abs=1e-5)


def test_sides_that_are_not_needed_are_not_searched(world: World) -> None:
    for options, sides in (
        ({}, (SPARSE,)),
        ({"feedback": "rocchio"}, (SPARSE,)),
        ({"side": "dense", "feedback": "average"}, (DENSE,)),
        ({"interpolate": "after"}, (SPARSE, DENSE)),
    ):
        request = SearchRequest.of(3, **options)
        assert request.sides == sides
        world.find(request)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"interpolate": "both"}, "needs feedback"),
        ({"interpolate": "between", "feedback": "rocchio"}, "interpolate is 'between'"),
        ({"side": "left"}, "side is 'left'"),
        ({"feedback": "average", "side": "sparse"}, "average works on dense"),
        ({"feedback": "bo1"}, "feedback is 'bo1'"),
        ({"fusion": Fusion(weight=0.3)}, "weight is 0.3, and the search does not interpolate"),
        ({"fusion": Fusion(depth=10), "feedback": "rocchio"}, "depth is 10, and the search does not interpolate"),
        ({"fusion": "rrf", "feedback": "rocchio"}, "the search does not interpolate"),
        (
            {"fusion": Fusion(weight=0.3), "feedback": Feedback(gamma=0.1, negatives=2)},
            "weight is 0.3, and the search does not interpolate",
        ),
        ({"interpolate": False}, "interpolate is False"),
        ({"side": ""}, "side is ''"),
        ({"feedback": 3}, "feedback is 3"),
        ({"feedback": Feedback(terms=3), "side": "dense"}, "dense vectors have no terms"),
        ({"interpolate": "after", "fusion": 3}, "fusion is 3"),
        ({"interpolate": "after", "fusion": "sum"}, "fusion is 'sum'"),
        ({"k": 0}, "k is 0"),
        ({"k": 2.5}, "k is 2.5"),
        ({"params": {"exact": True}}, "params is {'exact': True}"),
    ],
)
def test_invalid_combinations_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        SearchRequest.of(**options)


@pytest.mark.parametrize("side", [SPARSE, DENSE])
@pytest.mark.parametrize("interpolate", ["none", "both"])
def test_depths_beyond_the_collection_take_no_memory(world: World, side: str, interpolate: str) -> None:
    def find(depth: int) -> Found:
        terms = depth if side == SPARSE else None
        feedback = Feedback(depth=DOCUMENTS, gamma=0.2, negatives=depth, terms=terms)
        return world.find(SearchRequest.of(depth, None, None, side, feedback, interpolate, Fusion(depth=depth)))

    huge, enough = find(10**12), find(1000)
    assert huge.lists.rows.shape[1] <= 2 * DOCUMENTS
    assert np.array_equal(huge.lists.rows, enough.lists.rows)
    assert np.array_equal(huge.lists.scores, enough.lists.scores)


def test_words_stand_for_objects_with_published_values() -> None:
    words = SearchRequest.of(feedback="rocchio", interpolate="both", fusion="rrf")
    assert words == SearchRequest(feedback=Feedback("rocchio"), interpolate="both", fusion=Fusion("rrf"))


@pytest.mark.parametrize(
    "unused",
    [
        {"weight": 0.3},
        {"fusion": "rrf"},
        {"normalize": "z-score"},
        {"missing": "zero", "interpolate": "none"},
        {"weight": 0.7, "negatives": 2, "gamma": 0.1, "feedback": "rocchio"},
        {"normalize": "z-score", "interpolate": "after", "fusion": "rrf"},
        {"alpha": 1.0},
        {"feedback_depth": 3},
        {"gamma": 0.1},
        {"negatives": 4},
        {"query_cut": 4, "side": "dense"},
        {"recall": 0.9, "side": "dense"},
    ],
)
def test_values_without_effect_are_refused(unused: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(unused)).removeprefix("feedback_")):
        SearchRequest.from_words(unused)


def test_words_of_files_and_command_lines_make_the_same_request() -> None:
    words = {"query_cut": 4, "feedback": "rocchio", "feedback_depth": 3, "feedback_terms": 4, "alpha": 0.9}
    words |= {"interpolate": "both", "weight": 0.3, "fusion_depth": 20, "side": "sparse", "missing": "zero"}
    assert SearchRequest.from_words(words, 7, ["a"]) == SearchRequest(
        7,
        SearchParams(query_cut=4),
        ["a"],
        "sparse",
        Feedback(depth=3, terms=4, alpha=0.9),
        "both",
        Fusion(weight=0.3, depth=20, missing="zero"),
    )
    assert SearchRequest.from_words({}) == SearchRequest()
    assert word_types().keys() == WORDS.keys()


class Grouped:
    """An index whose documents are split: three rows each, of which results have the best one."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self.index, name)

    def __len__(self) -> int:
        return len(self.index)

    def search(self, queries: Any, k: int, *others: Any) -> SearchResult:
        found = self.index.search(queries, len(self.index), *others)
        scores, rows = np.full((len(found), k), -np.inf), np.full((len(found), k), -1)
        for query, documents in enumerate(found):
            best: dict[int, tuple[float, int]] = {}
            for each in documents:
                best.setdefault(each.row // 3, (each.score, each.row))
            for place, (score, row) in enumerate(list(best.values())[:k]):
                scores[query, place], rows[query, place] = score, row
        return SearchResult(scores, rows)


def firsts(rows: np.ndarray) -> np.ndarray:
    return np.where(rows < 0, -1, rows // 3 * 3)


@pytest.mark.parametrize("method", ["interpolation", "rrf"])
def test_documents_are_fused_not_their_passages(world: World, method: Any) -> None:
    fusion = Fusion(method, depth=8)
    request = SearchRequest(6, interpolate="after", fusion=fusion)
    index, dense = Grouped(world.index), Grouped(world.dense_index)
    dropped = np.full(QUERIES, -1)
    dropped[0] = 9
    sides: Any = Sides(index, dense, request, 1, dropped, firsts)  # type: ignore[arg-type]
    encoded = {SPARSE: world.to_vectors(world.sparse_queries), DENSE: world.dense_queries}
    found = search_pipeline(sides, encoded)
    lists = {side: sides.search(side, encoded[side], 8) for side in (SPARSE, DENSE)}
    for query in range(QUERIES):
        best = {
            side: {
                int(row) // 3 * 3: (float(score), int(row))
                for row, score in zip(each.rows[query], each.scores[query], strict=True)
                if row >= 0
            }
            for side, each in lists.items()
        }
        rankings = [
            Ranking(np.array(list(each)), np.array([score for score, _ in each.values()])) for each in best.values()
        ]
        expected = interpolate(rankings[0], rankings[1], fusion)
        rows = found.lists.rows[query]
        np.testing.assert_array_equal(firsts(rows), expected.documents[:6])
        np.testing.assert_allclose(found.lists.scores[query], expected.scores[:6])
        for place, row in enumerate(rows.tolist()):
            document = row // 3 * 3
            assert row == (best[SPARSE].get(document) or best[DENSE][document])[1]
            for side in (SPARSE, DENSE):
                score = best[side].get(document, (np.nan, 0))[0]
                np.testing.assert_allclose(found.parts[side][query, place], score)
    assert 9 not in firsts(found.lists.rows[0])


def test_feedback_learns_from_the_best_passages(world: World) -> None:
    request = SearchRequest(5, feedback=Feedback(depth=3))
    index: Any = Grouped(world.index)
    queries = world.to_vectors(world.sparse_queries)
    found = search_pipeline(Sides(index, None, request, 1, None, firsts), {SPARSE: queries})
    best = index.search(queries, 3, request.params, 1, None)
    top, feedback = Lists(best.rows, best.scores), Feedback(depth=3).on_side(SPARSE)
    second = Sides(index, None, request).feed_back(SPARSE, queries, top, top.rows[:, :0], feedback)
    np.testing.assert_array_equal(found.lists.rows, index.search(second, 5, request.params, 1, None).rows)
