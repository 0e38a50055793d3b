"""Plots: whole files, the same each time, with what they should show."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from lsr.errors import ParameterError, StorageError
from lsr.eval.plots import Point, best_for_their_time, plot_against_latency, plot_differences

POINTS = [Point("tiny", 90.0, 0.30), Point("bm25", 20.0, 0.25), Point("slow & bad", 500.0, 0.20)]
DIFFERENCES = {"1": 0.5, "2": -0.25, "3": 0.0, "4": 0.1}

Plot = Callable[[Path], None]
PLOTS: list[Plot] = [
    lambda path: plot_against_latency(POINTS, "nDCG@10", "scifact", path),
    lambda path: plot_differences(DIFFERENCES, "nDCG@10", "bm25", "tiny", path),
]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize(("suffix", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_equal_input_gives_equal_files(plot: Plot, suffix: str, begin: bytes, tmp_path: Path) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    plot(first)
    plot(second)
    assert first.read_bytes().startswith(begin)
    assert first.read_bytes() == second.read_bytes()


def text_of(path: Path) -> str:
    return " ".join(
        "".join(element.itertext()) for element in ElementTree.parse(path).iter() if element.tag.endswith("text")
    )


def test_systems_measure_and_collection_are_named(tmp_path: Path) -> None:
    PLOTS[0](tmp_path / "plot.svg")
    shown = text_of(tmp_path / "plot.svg")
    for word in ("tiny", "bm25", "slow & bad", "nDCG@10", "scifact", "µs a query"):
        assert word in shown


def test_differences_are_counted(tmp_path: Path) -> None:
    PLOTS[1](tmp_path / "plot.svg")
    assert "tiny against bm25: 2 better, 1 equal, 1 worse" in text_of(tmp_path / "plot.svg")


def test_best_for_their_time() -> None:
    assert [point.system for point in best_for_their_time(POINTS)] == ["bm25", "tiny"]
    assert best_for_their_time([Point("a", 1, 0.5), Point("b", 1, 0.6), Point("c", 2, 0.6)]) == [Point("b", 1, 0.6)]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"\.svg, \.png, \.pdf"):
        plot_differences(DIFFERENCES, "AP", "a", "b", tmp_path / "plot.gif")
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        with pytest.raises(ParameterError, match="nothing to plot"):
            plot_differences({}, "AP", "a", "b", path)
        with pytest.raises(ParameterError, match="nothing to plot"):
            plot_against_latency([], "AP", "a", path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError):
        plot_differences(DIFFERENCES, "AP", "a", "b", Path("/proc/nothing/plot.svg"))
