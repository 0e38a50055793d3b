"""Settings of builds and searches: their defaults, and what they refuse."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any

import pytest

from lsr.errors import ParameterError
from lsr.index.config import IndexConfig, SearchParams
from lsr.index.seismic import SeismicIndex
from tests.strategies import from_pairs


def test_defaults_are_those_of_the_docs() -> None:
    assert asdict(IndexConfig()) == {
        "pruning": "global",
        "n_postings": 4000,
        "max_fraction": 3.0,
        "centroid_fraction": 0.2,
        "min_cluster_size": 2,
        "doc_cut": 15,
        "summary_energy": 0.5,
        "seed": 1142,
    }
    assert asdict(SearchParams()) == {"query_cut": 16, "heap_factor": 0.8, "exact": False}


@pytest.mark.parametrize("settings", [IndexConfig(), SearchParams()])
def test_settings_are_frozen_and_make_themselves_again(settings: IndexConfig | SearchParams) -> None:
    assert type(settings)(**asdict(settings)) == settings
    with pytest.raises(FrozenInstanceError):
        setattr(settings, fields(settings)[0].name, 1)


@pytest.mark.parametrize(
    "accepted",
    [
        {"pruning": "fixed", "n_postings": 1},
        {"n_postings": 2, "max_fraction": 0.5},
        {"centroid_fraction": 1e-9},
        {"centroid_fraction": 1, "summary_energy": 1},
        {"min_cluster_size": 0, "doc_cut": 1},
        {"doc_cut": 16, "seed": 0},
        {"seed": 2**32 - 1},
    ],
)
def test_index_settings_at_their_limits(accepted: dict[str, Any]) -> None:
    assert asdict(IndexConfig(**accepted)) == asdict(IndexConfig()) | accepted


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("pruning", ["coi", "", None, 1, "GLOBAL"]),
        ("n_postings", [0, -1]),
        ("max_fraction", [0.0, -1.0, math.inf, -math.inf, math.nan, 1e-6]),
        ("centroid_fraction", [0.0, -0.1, 1.01, math.inf, math.nan]),
        ("min_cluster_size", [-1]),
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
    ("name", "refused"), [("query_cut", [0, -1]), ("heap_factor", [-0.1, math.inf, -math.inf, math.nan])]
)
def test_search_settings_beyond_their_limits(name: str, refused: list[Any]) -> None:
    for value in refused:
        with pytest.raises(ParameterError, match=f"^{name} is .*; it must be "):
            SearchParams(**{name: value})


NO_NUMBERS = ["4", None, [1], 1j]
WHOLE_NUMBERS = ("n_postings", "min_cluster_size", "doc_cut", "seed")


@pytest.mark.parametrize("name", [*WHOLE_NUMBERS, "max_fraction", "centroid_fraction", "summary_energy"])
def test_index_settings_that_are_no_numbers(name: str) -> None:
    for value in [*NO_NUMBERS, *([2.5] if name in WHOLE_NUMBERS else [])]:
        with pytest.raises(ParameterError, match=f"^{name} is "):
            IndexConfig(**{name: value})


@pytest.mark.parametrize("name", ["query_cut", "heap_factor"])
def test_search_settings_that_are_no_numbers(name: str) -> None:
    for value in [*NO_NUMBERS, *([2.5] if name == "query_cut" else [])]:
        with pytest.raises(ParameterError, match=f"^{name} is "):
            SearchParams(**{name: value})


@pytest.mark.parametrize(
    "config",
    [
        {"n_postings": 2**70},
        {"pruning": "fixed", "n_postings": 2**70},
        {"max_fraction": 1e300},
        {"min_cluster_size": 2**70},
    ],
    ids=str,
)
def test_settings_that_no_machine_number_can_hold(config: dict[str, Any]) -> None:
    # As good as infinite, or refused.
    vectors = from_pairs([[(0, 1.0 + row)] for row in range(200)], 1)
    with suppress(ParameterError):
        assert len(SeismicIndex.build(vectors, IndexConfig(**config))) == 200
    params = SearchParams(query_cut=2**70)
    assert SeismicIndex.build(vectors).search(vectors[:1], 1, params).rows.tolist() == [[199]]
