"""Tuning: recalls against brute force, choices against an index of known recalls and times, presets on disk."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import IndexFormatError, ParameterError, StorageError
from lsr.index.index_folder import write_index
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.tools import tuning
from lsr.index.tools.stored_presets import store_presets
from lsr.index.tools.tuning import (
    BLOCKS,
    EXACT,
    MARGIN,
    TunedPreset,
    Tuning,
    TuningPoint,
    frontier_of,
    read_presets,
    resolve,
)
from lsr.storage.manifest import read_manifest, update_manifest, verify
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import dequantized
from tests.processes import FULL_DISK, KILLED_IN_WRITE, run_python, start_python

TERMS = 9  # of the longest query
QUERY_CUTS = (4, 6, 8, TERMS)


def some_queries(count: int) -> SparseVectors:
    """One of them has TERMS terms, the others one."""
    lengths = [1] * (count - 1) + [TERMS]
    return SparseVectors(
        np.r_[0, np.cumsum(lengths)], [0] * (count - 1) + list(range(TERMS)), np.ones(sum(lengths)), 40
    )


@dataclass
class FakeIndex:
    """Misses so much and takes so long as it is told.

    recall, microseconds: of parameters. slow: by how much the n-th search of all takes longer.
    """

    recall: Callable[[SearchParams], float]
    microseconds: Callable[[SearchParams], float]
    slow: Callable[[int], float] = lambda _: 1.0
    hits: int = 10
    always_exact: bool = False
    knn: int = 0
    dim: int = 40
    clock: float = 0.0
    searched: list[SearchParams] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def search(
        self, queries: SparseVectors, k: int = 10, params: SearchParams | None = None, threads: int = 1
    ) -> SearchResult:
        params = params or SearchParams()
        self.clock += 1e-6 * len(queries) * self.microseconds(params) * self.slow(len(self.searched))
        self.searched.append(params)
        self.sizes.append(len(queries))
        hits = min(self.hits, k)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        scores[:, :hits] = np.arange(hits, 0, -1)
        # The queries miss a document each in turn, so that either half misses as many.
        missing = 0 if params.exact else round((1 - self.recall(params)) * len(queries) * hits)
        for number in range(missing):
            scores[number % len(queries), hits - 1 - number // len(queries)] = 0.5
        rows = np.where(scores > -np.inf, np.arange(k), -1)
        return SearchResult(scores, rows)


def tune(index: FakeIndex, *arguments: Any, **more: Any) -> Tuning:
    return tuning.tune(index, *arguments, **more, knn=index.knn, always_exact=index.always_exact)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeIndex]:
    def make(*arguments: Any, kind: type[FakeIndex] = FakeIndex, **more: Any) -> FakeIndex:
        index = kind(*arguments, **more)
        monkeypatch.setattr(tuning, "perf_counter", lambda: index.clock)
        return index

    return make


MOST_BLOCKS = [math.ceil(blocks * math.sqrt(10)) for blocks in BLOCKS]


def usual_recall(params: SearchParams) -> float:
    """More terms, blocks and neighbors find more."""
    missed = 0.3 * math.exp(-params.query_cut / 3) + 0.2 * math.exp(-(params.max_blocks or 0) / 60)
    return 1.0 if params.exact else 1 - missed / (1 + params.knn / 20)


def usual_time(params: SearchParams) -> float:
    if params.exact:
        return 5000.0
    return 20 + params.query_cut * (1 + (params.max_blocks or 0) / 20) + params.knn


def promise(recall: float, count: int) -> float:
    """What a half of `count` queries promises, if they miss at most one document of ten each; else 0."""
    missing = math.ceil(round((1 - recall) * count * 10) / 2)
    if missing > count // 2:
        return 0.0
    shares = np.array([0.9] * (missing + 1) + [1.0] * (count // 2 - missing))
    return float(shares.mean() - MARGIN * shares.std(ddof=1) / math.sqrt(len(shares)))


# Choosing


@pytest.mark.parametrize("knn", [0, 10, 30])
def test_the_fastest_of_the_whole_grid_is_chosen(fake: Callable[..., FakeIndex], knn: int) -> None:
    count = 400
    index = fake(usual_recall, usual_time, knn=knn)
    found = tune(index, some_queries(count), (0.99, 0.9, 0.95, 0.98, 1.0))
    grid = [
        SearchParams(query_cut=cut, max_blocks=most, knn=neighbors)
        for cut, most, neighbors in product(QUERY_CUTS, MOST_BLOCKS, {0, min(knn, 10), knn})
    ]
    assert {point.params for point in found.points} <= {*grid, EXACT}
    assert list(found.chosen) == [0.9, 0.95, 0.98, 0.99, 1.0]
    for asked, point in found.chosen.items():
        able = [params for params in grid if promise(usual_recall(params), count) >= asked]
        assert point.params == min(able, key=usual_time, default=EXACT)
        assert point.recall >= asked
        assert point.microseconds == pytest.approx(usual_time(point.params))
    assert found.chosen[1.0].params == EXACT
    assert any(point.params.knn for point in found.chosen.values()) == (knn > 0)
    assert (found.k, found.queries) == (10, count)


def test_slower_settings_are_not_measured(fake: Callable[..., FakeIndex]) -> None:
    found = tune(fake(usual_recall, usual_time), some_queries(400), [0.9])
    assert len(found.points) < len(QUERY_CUTS) * len(BLOCKS) * 0.6
    for query_cut in QUERY_CUTS:
        walk = [point for point in found.points if point.params.query_cut == query_cut and point.params != EXACT]
        assert [point.params.max_blocks for point in walk] == MOST_BLOCKS[: len(walk)]
        assert not any(promise(usual_recall(point.params), 400) >= 0.9 for point in walk[:-1])


@pytest.mark.parametrize("seed", range(5, 10))
def test_noise_does_not_pick_the_winner(fake: Callable[..., FakeIndex], seed: int) -> None:
    noise = np.random.default_rng(seed).choice([1.0, 1.05, 3.0], 10_000, p=[0.5, 0.3, 0.2])
    quiet = tune(fake(usual_recall, usual_time), some_queries(400), (0.9, 0.95))
    noisy = fake(usual_recall, usual_time, slow=lambda search: float(noise[search]))
    found = tune(noisy, some_queries(400), (0.9, 0.95))
    for asked, point in found.chosen.items():
        assert point.microseconds == pytest.approx(quiet.chosen[asked].microseconds, rel=0.03)


def test_contenders_take_turns(fake: Callable[..., FakeIndex]) -> None:
    index = fake(usual_recall, lambda params: 50.0 - (params.max_blocks or 0) / 1e4 if not params.exact else 5000.0)
    tune(index, some_queries(400), [0.9])
    race = index.searched[-2 * tuning.CONTENDERS :]
    assert race[: tuning.CONTENDERS] == race[tuning.CONTENDERS :]
    assert len(set(race)) == tuning.CONTENDERS


def test_long_searches_are_not_repeated(fake: Callable[..., FakeIndex]) -> None:
    index = fake(usual_recall, lambda params: 1e6 if params.exact else usual_time(params))
    tune(index, some_queries(400), [0.9])
    assert index.searched.count(EXACT) == 4 + 2  # what all are compared with, the first query, and the time


def test_the_halves_are_told_apart(fake: Callable[..., FakeIndex]) -> None:
    class Uneven(FakeIndex):
        def search(self, *arguments: Any, **more: Any) -> SearchResult:
            result = super().search(*arguments, **more)
            if not self.searched[-1].exact:
                result.scores[1::2, 5:] = 0.5
            return result

    found = tune(fake(lambda _: 1.0, usual_time, kind=Uneven), some_queries(400), [0.9])
    assert found.chosen[0.9].recall == 1.0
    assert found.chosen[0.9].held_out == 0.5
    assert not found.chosen[0.9].params.exact


def test_a_recall_is_promised_with_a_margin(fake: Callable[..., FakeIndex]) -> None:
    exact = tune(fake(lambda _: 0.957, usual_time), some_queries(100), [0.95]).chosen[0.95]
    assert exact.params == EXACT
    many = tune(fake(lambda _: 0.957, usual_time), some_queries(1000), [0.95]).chosen[0.95]
    assert exact.params != many.params
    few = tune(fake(lambda _: 1.0, usual_time), some_queries(20), [0.9, 0.99])
    assert [point.params.exact for point in few.chosen.values()] == [False, True]


def test_at_most_a_thousand_queries_are_measured(fake: Callable[..., FakeIndex]) -> None:
    index = fake(usual_recall, usual_time)
    found = tune(index, some_queries(10_000), [0.9])
    assert found.queries == 1000
    assert max(index.sizes) == 1000
    exactly = [size for size, params in zip(index.sizes, index.searched, strict=True) if params == EXACT]
    assert exactly == [128] * 7 + [104] + [1, 128]  # what all are compared with, the first query, and the time
    rows = tuning.sample_rows(10_000)
    assert np.array_equal(rows, np.unique(rows)) and np.array_equal(rows, tuning.sample_rows(10_000))
    assert abs(rows.mean() - 5000) < 300 and np.array_equal(tuning.sample_rows(5), np.arange(5))


def test_without_a_reliable_and_faster_setting_exact_search_is_chosen(fake: Callable[..., FakeIndex]) -> None:
    for index in (fake(lambda _: 0.5, usual_time), fake(usual_recall, lambda p: 1.0 if p.exact else 2.0)):
        found = tune(index, some_queries(100), (0.6, 0.9))
        assert {point.params for point in found.chosen.values()} == {EXACT}
        assert found.frontier[-1].params == EXACT
    assert len(found.points) == 1 + len(QUERY_CUTS)  # of each walk the fastest, which is slower than exact search


def test_a_flat_index_has_one_point(fake: Callable[..., FakeIndex]) -> None:
    found = tune(fake(usual_recall, usual_time, always_exact=True), some_queries(50), (0.9, 0.99))
    assert found.points == found.frontier == (TuningPoint(EXACT, 1.0, found.points[0].microseconds, 1.0),)
    assert set(found.chosen.values()) == set(found.points)


def test_fewer_hits_than_k(fake: Callable[..., FakeIndex]) -> None:
    found = tune(fake(usual_recall, usual_time, hits=3), some_queries(400), [0.9], k=7)
    assert all(0 < point.recall <= 1 for point in found.points)
    assert found.frontier[-1].recall == 1.0


def test_equals_of_the_last_place_count(fake: Callable[..., FakeIndex]) -> None:
    class Ties(FakeIndex):
        def search(self, *arguments: Any, **more: Any) -> SearchResult:
            result = super().search(*arguments, **more)
            result.scores[:] = 3.0
            if not self.searched[-1].exact:  # other documents, whose scores were added up in another order
                return SearchResult(result.scores * np.float32(1 - 2e-7), result.rows + 100)
            return result

    found = tune(fake(usual_recall, usual_time, kind=Ties), some_queries(60))
    assert len(found.points) > 1
    assert all(point.recall == point.held_out == 1.0 for point in found.points)


@pytest.mark.parametrize("recalls", [(), (0.0,), (1.1,), (0.9, math.nan), ("0.9",), (True,)])
def test_recalls_out_of_range(fake: Callable[..., FakeIndex], recalls: Any) -> None:
    with pytest.raises(ParameterError, match=r"recalls? (is|are) "):
        tune(fake(usual_recall, usual_time), some_queries(60), recalls)


@pytest.mark.parametrize(
    ("change", "message"), [({"k": 0}, "k is 0"), ({"threads": 0}, "threads is 0"), ({"recalls": []}, "are empty")]
)
def test_bad_parameters(fake: Callable[..., FakeIndex], change: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        tune(fake(usual_recall, usual_time), some_queries(60), **change)


def test_queries_of_another_dimension(fake: Callable[..., FakeIndex]) -> None:
    with pytest.raises(ParameterError, match="queries have 40 components, but the index has 41"):
        tune(fake(usual_recall, usual_time, dim=41), some_queries(60))


def test_too_few_queries(fake: Callable[..., FakeIndex]) -> None:
    with pytest.raises(
        ParameterError, match="19 of 19 queries return a document; tuning needs at least 20, because half"
    ):
        tune(fake(usual_recall, usual_time), some_queries(19))
    with pytest.raises(ParameterError, match="0 of 30 queries return"):
        tune(fake(usual_recall, usual_time, hits=0), some_queries(30))


# Real vectors


@pytest.fixture
def small_index(packages: SparseVectors) -> SeismicIndex:
    return SeismicIndex.build(packages[:3000])


def test_recalls_are_those_of_brute_force(small_index: SeismicIndex, package_queries: SparseVectors) -> None:
    nothing = SparseVectors([0, 0, 1], [7], [1e-30], package_queries.dim)  # one empty, one perhaps unknown
    queries = SparseVectors.concatenate([package_queries[:60], nothing])
    found = small_index.tune(queries, recalls=(0.8, 0.95), k=10, threads=2)
    assert found.queries in (60, 61)
    documents = dequantized(small_index).to_scipy()
    scores = (package_queries[:60].to_scipy() @ documents.T).toarray().astype(np.float64)
    best = -np.sort(-scores, axis=1)[:, 9]
    for point in (*found.chosen.values(), *found.frontier):
        rows = small_index.search(package_queries[:60], 10, point.params).rows
        good = (np.take_along_axis(scores, rows, axis=1) >= best[:, None] * (1 - 1e-5)).mean(axis=1)
        chosen_by = np.append(good[::2], np.ones(found.queries - 60))  # a query of one component misses nothing
        assert point.recall == pytest.approx(chosen_by.mean(), abs=1 / 300 + 1e-9)
        assert point.held_out == pytest.approx(good[1::2].mean(), abs=1 / 300 + 1e-9)
    assert [point.recall >= asked for asked, point in found.chosen.items()] == [True, True]


def test_tuned_in_memory(small_index: SeismicIndex, package_queries: SparseVectors) -> None:
    queries = package_queries[:60]
    with pytest.raises(
        ParameterError, match="the index is not tuned; run lsr tune INDEX --queries QUERIES --recall 0.9"
    ):
        small_index.search(queries, 10, SearchParams.at_recall(0.9))
    found = small_index.tune(queries, recalls=[0.9])
    assert small_index.presets == found.presets
    tuned = small_index.search(queries, 10, SearchParams.at_recall(0.85))
    expected = small_index.search(queries, 10, found.chosen[0.9].params)
    assert np.array_equal(tuned.rows, expected.rows)


def test_stored_with_an_index(small_index: SeismicIndex, package_queries: SparseVectors, tmp_path: Path) -> None:
    small_index.save(tmp_path / "index")
    assert SeismicIndex.open(tmp_path / "index").presets == {}
    found = small_index.tune(package_queries[:60], recalls=[0.9, 1.0])
    store_presets(tmp_path / "index", found)
    opened = SeismicIndex.open(tmp_path / "index")
    assert opened.presets == found.presets
    for recall in (0.7, 0.9, 0.97, 1.0):
        rows = opened.search(package_queries, 10, SearchParams.at_recall(recall)).rows
        expected = opened.search(package_queries, 10, resolve(found.presets, recall)).rows
        assert np.array_equal(rows, expected)
    with pytest.raises(IndexFormatError, match="presets in manifest.json are damaged"):
        update_manifest(tmp_path / "index", lambda _: {"presets": 7})
        SeismicIndex.open(tmp_path / "index")


# The frontier


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 10)), max_size=30))
def test_frontier(pairs: list[tuple[int, int]]) -> None:
    points = [TuningPoint(EXACT, recall / 10, microseconds, 0.5) for recall, microseconds in pairs]
    frontier = frontier_of(points)
    assert list(frontier) == sorted(frontier, key=lambda point: point.recall)
    for point in points:
        better = [each for each in points if each.recall >= point.recall and each.microseconds <= point.microseconds]
        best = all((each.recall, each.microseconds) == (point.recall, point.microseconds) for each in better)
        assert (point in frontier) == best


# Presets


def preset(asked: float, **params: Any) -> TunedPreset:
    return TunedPreset(asked, 10, 300, TuningPoint(SearchParams(**params), min(1.0, asked + 0.01), 123.25, asked))


PRESETS = {0.9: preset(0.9, query_cut=4), 0.97: preset(0.97, heap_factor=0.7, knn=10), 1.0: preset(1.0, exact=True)}


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def tuning_of(presets: dict[float, TunedPreset]) -> Tuning:
    return Tuning(10, 300, (), (), {asked: each.point for asked, each in presets.items()})


@pytest.mark.parametrize(
    ("recall", "asked"), [(0.1, 0.9), (0.9, 0.9), (0.9 + 1e-12, 0.9), (0.901, 0.97), (0.97, 0.97), (0.99, 1.0)]
)
def test_resolve(recall: float, asked: float) -> None:
    assert resolve(PRESETS, recall) == PRESETS[asked].point.params


def test_resolve_without_such_a_recall() -> None:
    with pytest.raises(ParameterError) as raised:
        resolve({asked: PRESETS[asked] for asked in (0.97, 0.9)}, 0.98)
    assert str(raised.value) == (
        "recall is 0.98: the index is tuned for 0.9, 0.97; run lsr tune INDEX --queries QUERIES --recall 0.98"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_index(tmp_path / "index", {"format_version": 3, "kind": "test"}, {"numbers": np.arange(9)}, 9, None)
    return tmp_path / "index"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stored(folder: Path) -> dict[float, TunedPreset]:
    verify(folder)
    return read_presets(read_manifest(folder, (3,), "test"), folder)


def test_stored_is_read(folder: Path) -> None:
    assert stored(folder) == {}
    before = read_manifest(folder, (3,))
    store_presets(folder, tuning_of(PRESETS), before)
    assert stored(folder) == PRESETS
    assert list(stored(folder)) == [0.9, 0.97, 1.0]
    after = read_manifest(folder, (3,))
    assert {**after, "presets": None} == {**before, "presets": None}
    assert next(iter(after)) == "product"
    assert names(folder) == ["manifest.json", "numbers.npy"]


def test_tuning_again_replaces_and_keeps(folder: Path) -> None:
    store_presets(folder, tuning_of(PRESETS))
    again = {0.97: preset(0.97, query_cut=7), 0.95: preset(0.95)}
    store_presets(folder, tuning_of(again))
    assert stored(folder) == {**PRESETS, **again}
    assert list(stored(folder)) == [0.9, 0.95, 0.97, 1.0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: 7,
        lambda _: {"0.9": {}},
        lambda _: ["0.9"],
        lambda record: [{**record, "asked": 0}],
        lambda record: [{**record, "asked": math.nan}],
        lambda record: [{**record, "asked": 10**400}],
        lambda record: [{**record, "recall": 1.5}],
        lambda record: [{**record, "held_out": "0.9"}],
        lambda record: [{**record, "microseconds": -1}],
        lambda record: [{**record, "k": 0}],
        lambda record: [{**record, "queries": 1.5}],
        lambda record: [{**record, "query_cut": 0}],
        lambda record: [{**record, "knn": None}],
        lambda record: [{**record, "exact": 1}],
        *(lambda record, name=name: [without(record, name)] for name in PRESETS[0.9].as_json()),
    ],
)
def test_damaged_presets_are_named(folder: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    update_manifest(folder, lambda _: {"presets": damage(PRESETS[0.9].as_json())})
    for action in (lambda: stored(folder), lambda: store_presets(folder, tuning_of(PRESETS))):
        with pytest.raises(IndexFormatError, match=r"index: the presets in manifest\.json are damaged .*tune again"):
            action()


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_an_error_in_the_middle_leaves_the_old_presets(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store_presets(folder, tuning_of(PRESETS))
    before = (folder / "manifest.json").read_bytes()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, step, fail)
        store_presets(folder, tuning_of({0.5: preset(0.5)}))
    assert (folder / "manifest.json").read_bytes() == before
    assert names(folder) == ["manifest.json", "numbers.npy"]
    store_presets(folder, tuning_of({0.5: preset(0.5)}))
    assert set(stored(folder)) == {0.5, *PRESETS}


STORE = """
import sys
from pathlib import Path
from tests.index.tools.test_tuning import preset, tuning_of
from lsr.index.tools.stored_presets import store_presets
first = int(sys.argv[2])
for percent in range(first, first + 20):
    store_presets(sys.argv[1], tuning_of({percent / 100: preset(percent / 100)}))
"""


def test_killed_in_the_middle(folder: Path) -> None:
    store_presets(folder, tuning_of(PRESETS))
    ended = run_python(KILLED_IN_WRITE.format(limit=300) + STORE, folder, 10)
    assert ended.returncode < 0, ended.stderr
    assert len(names(folder)) == 3  # what the kill left behind
    assert stored(folder) == PRESETS
    store_presets(folder, tuning_of({0.5: preset(0.5)}))
    assert set(stored(folder)) == {0.5, *PRESETS}
    assert names(folder) == ["manifest.json", "numbers.npy"]


def test_a_full_disk(folder: Path) -> None:
    ended = run_python(FULL_DISK.format(limit=300) + STORE, folder, 10)
    assert "StorageError" in ended.stderr
    assert "manifest.json: cannot be written: File too large; free some space" in ended.stderr
    assert stored(folder) == {}
    assert names(folder) == ["manifest.json", "numbers.npy"]


def test_processes_at_once_lose_nothing(folder: Path) -> None:
    running = [start_python(STORE, folder, first) for first in (10, 40, 70)]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert len(stored(folder)) == 60


def test_another_index_keeps_its_manifest(folder: Path, tmp_path: Path) -> None:
    write_index(tmp_path / "other", {"format_version": 3, "kind": "test"}, {"letters": np.arange(5)}, 5, None)
    opened = read_manifest(folder, (3,))

    def take_its_place(manifest: dict[str, Any]) -> dict[str, Any]:
        folder.rename(tmp_path / "old")
        shutil.copytree(tmp_path / "other", folder)
        return {"presets": []}

    with pytest.raises(StorageError, match=r"manifest\.json: cannot be written"):
        update_manifest(folder, take_its_place)
    assert "presets" not in read_manifest(folder, (3,))
    assert "presets" not in read_manifest(tmp_path / "old", (3,))
    with pytest.raises(StorageError, match="index: the index was replaced while it was tuned; tune it again"):
        store_presets(folder, tuning_of(PRESETS), opened)
    assert stored(folder) == {}


def test_stored_through_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("index")
    store_presets(tmp_path / "link", tuning_of(PRESETS))
    assert stored(folder) == PRESETS
    assert (tmp_path / "link").is_symlink()


def test_folders_without_an_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexFormatError, match="nowhere: is not an index"):
        store_presets(tmp_path / "nowhere", tuning_of(PRESETS))
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "something else"}))
    with pytest.raises(IndexFormatError, match="not the manifest of an index"):
        store_presets(tmp_path, tuning_of(PRESETS))
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"name": "something else"}


def test_measures_out_of_range() -> None:
    good = PRESETS[0.9]
    for change in ({"recall": -0.1}, {"held_out": math.nan}, {"microseconds": True}):
        with pytest.raises(ParameterError, match=f"{next(iter(change))} is"):
            replace(good.point, **change)
