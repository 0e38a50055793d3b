"""Plots: whole files, the same each time, with what they should show."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from lsr.errors import ParameterError, StorageError
from lsr.eval.drawing import MARKERS, PALETTE, checked_format
from lsr.eval.plots import (
    CurvePoint,
    SystemPoint,
    best_for_their_time,
    plot_against_latency,
    plot_choices,
    plot_curves,
    plot_differences,
)

POINTS = [SystemPoint("tiny", 90.0, 0.30), SystemPoint("bm25", 20.0, 0.25), SystemPoint("slow & bad", 500.0, 0.20)]
CURVES = {
    "flops": [CurvePoint(1000.0, 0.4, 0.01), CurvePoint(10.0, 0.2, 0.02), CurvePoint(100.0, 0.3, 0.03)],
    "l1 & l0": [CurvePoint(20.0, 0.25), CurvePoint(300.0, 0.5)],
}
DIFFERENCES = {"1": 0.5, "2": -0.25, "3": 0.0, "4": 0.1}

Plot = Callable[[Path], None]
PLOTS: list[Plot] = [
    lambda path: plot_against_latency(POINTS, "nDCG@10", "scifact", path),
    lambda path: plot_differences(DIFFERENCES, "nDCG@10", "bm25", "tiny", path),
    lambda path: plot_curves(CURVES, "non-zeros of a document", "nDCG@10", "scifact", path),
    lambda path: plot_choices(POINTS, POINTS[:1], "recall@10", "scifact", path),
]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize(("suffix", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_equal_input_gives_equal_files(plot: Plot, suffix: str, begin: bytes, tmp_path: Path) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    plot(first)
    plot(second)
    assert first.read_bytes().startswith(begin)
    assert first.read_bytes() == second.read_bytes()


def test_a_plot_in_two_formats_is_that_of_each(tmp_path: Path) -> None:
    paths = [tmp_path / "both.svg", tmp_path / "both.pdf"]
    plot_differences(DIFFERENCES, "nDCG@10", "bm25", "tiny", *paths)
    for path in paths:
        PLOTS[1](alone := tmp_path / f"alone{path.suffix}")
        assert path.read_bytes() == alone.read_bytes()


def text_of(path: Path) -> str:
    return " ".join(
        "".join(element.itertext()) for element in ElementTree.parse(path).iter() if element.tag.endswith("text")
    )


def test_systems_measure_and_collection_are_named(tmp_path: Path) -> None:
    PLOTS[0](tmp_path / "plot.svg")
    shown = text_of(tmp_path / "plot.svg")
    for word in ("tiny", "bm25", "slow & bad", "nDCG@10", "scifact", "µs per query"):
        assert word in shown


def test_systems_are_told_apart_and_no_axis_goes_beyond_one(tmp_path: Path) -> None:
    points = [SystemPoint("a", 30.0, 1.0, 15_631.0), SystemPoint("b$x$", 31.0, 1.0, None)]
    plot_against_latency(points, "recall@10", "scifact", tmp_path / "plot.svg")
    shown = text_of(tmp_path / "plot.svg")
    for word in ("a (encoding: 15,631 µs)", "b$x$", "1.00", "without encoding"):
        assert word in shown
    assert not re.search(r"1\.0[1-9]", shown)
    styles = re.findall(r"fill: (#\w+); stroke: \1", (tmp_path / "plot.svg").read_text())
    assert set(PALETTE[:2]) <= set(styles)
    plot_choices(points, points[:1], "recall@10", "scifact", tmp_path / "choices.svg")
    assert not re.search(r"1\.0[1-9]", text_of(tmp_path / "choices.svg"))


def test_the_time_of_encoding_moves_a_point_and_the_frontier(tmp_path: Path) -> None:
    points = [SystemPoint("bm25", 900.0, 0.25, 100.0), SystemPoint("tiny", 90.0, 0.30, 99_910.0)]
    for with_encoding, corners in ((False, 1), (True, 3)):  # alone tiny beats bm25; with its encoder it is slower
        path = tmp_path / f"{with_encoding}.svg"
        plot_against_latency(points, "nDCG@10", "scifact", path, with_encoding=with_encoding)
        assert len(lines_of(path, "#009e73", corners)) == 1
        assert ("time to encode and search" in text_of(path)) == with_encoding
    with pytest.raises(ParameterError, match="'tiny'"):
        plot_against_latency(POINTS, "AP", "a", tmp_path / "plot.svg", with_encoding=True)
    assert not (tmp_path / "plot.svg").exists()


def test_fifty_six_curves_are_told_apart_by_those_who_see_no_red_or_no_green() -> None:
    assert math.gcd(len(PALETTE), len(MARKERS)) == 1 and len(set(PALETTE)) * len(set(MARKERS)) == 56
    # What is left of a color without the long or without the middle cones (Viénot, Brettel and Mollon 1999).
    kinds = {
        "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
        "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    }
    linear = [[(int(color[at : at + 2], 16) / 255) ** 2.2 for at in (1, 3, 5)] for color in PALETTE]
    for matrix in kinds.values():
        seen = [[sum(a * b for a, b in zip(row, color, strict=True)) for row in matrix] for color in linear]
        shown = [[255 * max(part, 0.0) ** (1 / 2.2) for part in color] for color in seen]
        assert min(math.dist(one, other) for one, other in combinations(shown, 2)) > 25


def crowded(path: Path, kind: str) -> None:
    """More, longer and closer names than a plot usually has."""
    names = [f"splade-v3-distilbert-pruned-to-{cut}-terms" for cut in range(11)]
    points = [SystemPoint(name, 1000.0 + at, 0.3 + at / 9000, 15_000.0) for at, name in enumerate(names)]
    if kind == "curves":
        ends = {name: [CurvePoint(1000.0, 1.0), CurvePoint(19_000.0, 2.0)] for name in names}
        plot_curves(ends, "non-zeros of a document " * 4, "measure " * 8, "title " * 20, path, logarithmic=True)
    elif kind == "differences":
        plot_differences(DIFFERENCES, "nDCG@10", "a" * 100, "b" * 100, path)
    elif kind == "choices":
        plot_choices([SystemPoint("", 10.0, 0.1), *points], points, "recall@10", "scifact", path)
    else:
        plot_against_latency(points, "nDCG@10", "scifact", path, with_encoding=kind == "end to end")


@pytest.mark.parametrize("kind", ["latency", "end to end", "curves", "differences", "choices"])
def test_labels_do_not_overlap_and_stay_on_the_paper(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    crowded(tmp_path / "plot.pdf", kind)
    [figure] = figures
    figure.draw_without_rendering()
    [axes] = figure.axes
    ticks = {
        label
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    shown = [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_text() and text.get_visible() and text not in ticks
    ]
    boxes = {text: Text.get_window_extent(text) for text in shown}
    assert len(shown) > (5 if kind == "differences" else 15)
    for one, other in combinations(shown, 2):
        assert not Bbox.intersection(boxes[one], boxes[other]), (one.get_text(), other.get_text())
    for text, box in boxes.items():
        assert figure.bbox.padded(1).contains(box.x0, box.y0) and figure.bbox.padded(1).contains(box.x1, box.y1), text
    named = [text for text in shown if isinstance(text, Annotation)]
    assert len(named) == (11 if kind == "choices" else 0)


def test_only_choices_are_named(tmp_path: Path) -> None:
    PLOTS[3](tmp_path / "plot.svg")
    shown = text_of(tmp_path / "plot.svg")
    for word in ("tiny", "recall@10", "scifact", "µs per query"):
        assert word in shown
    assert not re.search("bm25|slow", shown)


def test_differences_are_counted(tmp_path: Path) -> None:
    PLOTS[1](tmp_path / "plot.svg")
    assert "tiny against bm25: 2 better, 1 equal, 1 worse" in text_of(tmp_path / "plot.svg")


def lines_of(path: Path, color: str, corners: int) -> list[list[tuple[float, float]]]:
    """The points of each line of a color that has so many."""
    found = []
    for element in ElementTree.parse(path).iter():
        if element.tag.endswith("path") and f"stroke: {color}" in element.get("style", ""):
            points = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", element.get("d", ""))
            if len(points) == corners:
                found.append([(float(x), float(y)) for x, y in points])
    return found


def test_curves_go_from_left_to_right_over_a_logarithmic_axis(tmp_path: Path) -> None:
    PLOTS[2](tmp_path / "plot.svg")
    shown = text_of(tmp_path / "plot.svg")
    for word in ("flops", "l1 & l0", "nDCG@10", "scifact", "non-zeros of a document"):
        assert word in shown
    [[first, second, third]] = lines_of(tmp_path / "plot.svg", PALETTE[0], 3)
    for one, other in ((first, second), (second, third)):
        assert other[0] - one[0] == pytest.approx((third[0] - first[0]) / 2, abs=1e-3)  # a factor of ten
        assert other[1] - one[1] == pytest.approx((third[1] - first[1]) / 2, abs=1e-3)
    assert third[0] > first[0] and third[1] < first[1]  # y runs downwards
    # Error bars reach as far as the deviations say, up and down; from the first value to the last it is .2.
    bars = {round(x, 2): abs(top - bottom) for (x, top), (_, bottom) in lines_of(tmp_path / "plot.svg", PALETTE[0], 2)}
    for (x, _), deviation in zip((first, second, third), (0.02, 0.03, 0.01), strict=True):
        assert bars[round(x, 2)] == pytest.approx(2 * deviation / 0.2 * (first[1] - third[1]), rel=1e-3)


def test_curves_over_two_logarithmic_axes(tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    squares = [CurvePoint(x, x * x) for x in (1.0, 10.0, 100.0)]
    plot_curves({"squares": squares}, "x", "y", "title", path, logarithmic=True)
    [[first, second, third]] = lines_of(path, PALETTE[0], 3)
    for axis in (0, 1):
        assert second[axis] - first[axis] == pytest.approx((third[axis] - first[axis]) / 2, abs=1e-3)
    assert "10000" in text_of(path)


def test_the_order_of_points_does_not_matter(tmp_path: Path) -> None:
    PLOTS[2](tmp_path / "a.svg")
    turned = {name: points[::-1] for name, points in CURVES.items()}
    plot_curves(turned, "non-zeros of a document", "nDCG@10", "scifact", tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_best_for_their_time() -> None:
    assert [point.system for point in best_for_their_time(POINTS)] == ["bm25", "tiny"]
    assert best_for_their_time([SystemPoint("a", 1, 0.5), SystemPoint("b", 1, 0.6), SystemPoint("c", 2, 0.6)]) == [
        SystemPoint("b", 1, 0.6)
    ]


def test_invalid_plots_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"\.svg, \.png, \.pdf"):
        plot_differences(DIFFERENCES, "AP", "a", "b", tmp_path / "plot.gif")
    with pytest.raises(
        ParameterError, match=r"plot\.gif: unknown plot format; the name must end with \.svg, \.png, \.pdf"
    ):
        checked_format(tmp_path / "plot.gif")
    assert checked_format("plot.SVG") == ".svg"
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        with pytest.raises(ParameterError, match="nothing to plot"):
            plot_choices(POINTS, [], "AP", "a", path)
        with pytest.raises(ParameterError, match="nothing to plot"):
            plot_differences({}, "AP", "a", "b", path)
        with pytest.raises(ParameterError, match="nothing to plot"):
            plot_against_latency([], "AP", "a", path)
        for curves in ({}, {"a": []}):
            with pytest.raises(ParameterError, match="nothing to plot"):
                plot_curves(curves, "x", "AP", "a", path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError):
        plot_differences(DIFFERENCES, "AP", "a", "b", Path("/proc/nothing/plot.svg"))
