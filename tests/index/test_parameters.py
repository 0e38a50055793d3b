"""Settings of builds and searches: their defaults, and what they refuse."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any

import numpy as np
import pytest

from lsr.errors import ParameterError
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.seismic.seismic_index import SeismicIndex
from tests.strategies import from_pairs


def test_defaults_are_those_of_the_docs() -> None:
    assert asdict(IndexConfig()) == {
        "block_size": 4,
        "doc_cut": 15,
        "summary_energy": 0.7,
        "layout": "fast",
        "knn": 0,
        "seed": 1142,
    }
    assert asdict(SearchParams()) == {
        "query_cut": 16,
        "heap_factor": 0.5,
        "max_blocks": None,
        "knn": 0,
        "exact": False,
        "recall": None,
        "budget_us": None,
    }


@pytest.mark.parametrize("settings", [IndexConfig(), SearchParams()])
def test_settings_are_frozen_and_make_themselves_again(settings: IndexConfig | SearchParams) -> None:
    assert type(settings)(**asdict(settings)) == settings
    with pytest.raises(FrozenInstanceError):
        setattr(settings, fields(settings)[0].name, 1)


@pytest.mark.parametrize(
    "accepted",
    [
        {"block_size": 1, "layout": "compact"},
        {"block_size": 255, "knn": 1000},
        {"summary_energy": 1e-9, "doc_cut": 1},
        {"summary_energy": 1, "seed": 2**32 - 1},
        {"doc_cut": 16, "seed": 0},
    ],
)
def test_index_settings_at_their_limits(accepted: dict[str, Any]) -> None:
    assert asdict(IndexConfig(**accepted)) == asdict(IndexConfig()) | accepted


@pytest.mark.parametrize(
    "accepted",
    [
        {"query_cut": 1, "heap_factor": 0},
        {"heap_factor": 1000, "max_blocks": 1},
        {"max_blocks": None, "knn": 0, "recall": 1e-9},
        {"query_cut": 2**40, "knn": 2**40},
        {"recall": 1},
    ],
)
def test_search_settings_at_their_limits(accepted: dict[str, Any]) -> None:
    assert asdict(SearchParams(**accepted)) == asdict(SearchParams()) | accepted


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("block_size", [0, -1, 256]),
        ("layout", ["small", "", None, 1, "FAST"]),
        ("knn", [-1, 1001]),
        ("doc_cut", [0, -1, 17]),
        ("summary_energy", [0.0, -0.5, 1.01, math.inf, math.nan]),
        ("seed", [-1, 2**32]),
    ],
)
def test_index_settings_beyond_their_limits(name: str, refused: list[Any]) -> None:
    for value in refused:
        with pytest.raises(ParameterError, match=f"^{name} is .*; .* must be "):
            IndexConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("query_cut", [0, -1]),
        ("heap_factor", [-0.1, 1000.1, math.inf, -math.inf, math.nan]),
        ("max_blocks", [0, -1]),
        ("knn", [-1]),
        ("recall", [-0.1, 0, 1.1, math.nan]),
    ],
)
def test_search_settings_beyond_their_limits(name: str, refused: list[Any]) -> None:
    for value in refused:
        with pytest.raises(ParameterError, match=f"^{name} is .*; it must be "):
            SearchParams(**{name: value})


NO_NUMBERS = ["4", True, [1], 1j]
WHOLE_NUMBERS = ("block_size", "doc_cut", "knn", "seed")
SEARCH_NUMBERS = ("query_cut", "max_blocks", "knn", "budget_us")


@pytest.mark.parametrize("name", [*WHOLE_NUMBERS, "summary_energy"])
def test_index_settings_that_are_no_numbers(name: str) -> None:
    for value in [*NO_NUMBERS, None, *([2.5] if name in WHOLE_NUMBERS else [])]:
        with pytest.raises(ParameterError, match=f"^{name} is "):
            IndexConfig(**{name: value})


@pytest.mark.parametrize("name", [*SEARCH_NUMBERS, "heap_factor", "recall"])
def test_search_settings_that_are_no_numbers(name: str) -> None:
    optional = name in ("max_blocks", "recall", "budget_us")
    for value in [*NO_NUMBERS, *([] if optional else [None]), *([2.5] if name in SEARCH_NUMBERS else [])]:
        with pytest.raises(ParameterError, match=f"^{name} is "):
            SearchParams(**{name: value})


@pytest.mark.parametrize("exact", [1, 0, None, "true"])
def test_exact_is_true_or_false(exact: Any) -> None:
    with pytest.raises(ParameterError, match="^exact is .*; it must be true or false"):
        SearchParams(exact=exact)


def test_numbers_of_numpy_become_those_of_a_manifest() -> None:
    config = IndexConfig(block_size=np.int64(4), summary_energy=np.float32(0.5))
    assert json.loads(json.dumps(asdict(config))) == asdict(IndexConfig(block_size=4, summary_energy=0.5))


@pytest.mark.parametrize("alone", [{"exact": True}, {"recall": 0.9}], ids=str)
@pytest.mark.parametrize("other", [{"query_cut": 4}, {"heap_factor": 0.8}, {"max_blocks": 3}, {"knn": 2}], ids=str)
def test_exact_and_recall_cannot_be_combined_with_other_parameters(
    alone: dict[str, Any], other: dict[str, Any]
) -> None:
    (name,), (beside,) = alone, other
    with pytest.raises(ParameterError, match=f"{name} cannot be combined with {beside}; remove one of them"):
        SearchParams(**alone, **other)
    assert SearchParams(**alone, query_cut=16, heap_factor=0.5, max_blocks=None, knn=0) == SearchParams(**alone)
    with pytest.raises(ParameterError, match="exact cannot be combined with recall; remove one of them"):
        SearchParams(exact=True, recall=0.9)


def test_at_recall() -> None:
    assert SearchParams.at_recall(0.9) == SearchParams(recall=0.9)


@pytest.mark.parametrize(
    "params",
    [
        SearchParams(query_cut=2**40),
        SearchParams(max_blocks=2**40),
    ],
    ids=["query_cut", "max_blocks"],
)
def test_settings_beyond_every_collection(params: SearchParams) -> None:
    # As good as infinite.
    vectors = from_pairs([[(0, 1.0 + row)] for row in range(200)], 1)
    assert SeismicIndex.build(vectors).search(vectors[:1], 1, params).rows.tolist() == [[199]]


def test_settings_of_earlier_versions_are_left_out_of_a_manifest() -> None:
    earlier = {"block_size": 6, "centroid_fraction": 0.35, "min_cluster_size": 2, "seed": 3}
    assert IndexConfig.from_json(earlier) == IndexConfig(block_size=6, seed=3)
    assert IndexConfig.from_json(asdict(IndexConfig(knn=4))) == IndexConfig(knn=4)
    for entries in ({"color": 1}, None, [], "block_size"):
        with pytest.raises(TypeError):
            IndexConfig.from_json(entries)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="^block_size is 0"):
        IndexConfig.from_json({"block_size": 0})
