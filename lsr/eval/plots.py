"""Plots of an evaluation: a measure against latency or length, and the differences per query."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lsr.errors import ParameterError
from lsr.eval.drawing import (
    BLUE,
    GRAY,
    GREEN,
    KEY,
    VERMILION,
    Label,
    drawn_to,
    label_points,
    legend_below,
    plain,
    styles,
    titled,
    with_logarithms,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEARCH_TIME = "search time, µs per query on one thread, without encoding"
WHOLE_TIME = "time to encode and search, µs per query on one thread"


class SystemPoint(NamedTuple):
    """A system in a plot.

    system: its name.
    microseconds: the time of a search per query.
    value: the value of the measure.
    encoding: the time of encoding a query, in microseconds, or None.
    """

    system: str
    microseconds: float
    value: float
    encoding: float | None = None


class CurvePoint(NamedTuple):
    """A point of a curve.

    x, value: its coordinates.
    deviation: of the value, drawn as an error bar; None for none.
    """

    x: float
    value: float
    deviation: float | None = None


def plot_curves(
    curves: Mapping[str, Sequence[CurvePoint]],
    label: str,
    measure: str,
    title: str,
    path: str | Path,
    *more: str | Path,
    logarithmic: bool = False,
) -> None:
    """Plot curves by name. Their points are joined from left to right, over a logarithmic axis.

    curves: {name: points}. x of all points must be above 0.
    label: of the axis of x.
    measure: of the axis of values.
    title: of the plot.
    path: an .svg, .png or .pdf file.
    more: further files for the same plot, as in all functions here.
    logarithmic: make the axis of the measure logarithmic, too; its values must then be above 0.

    Raises the errors of plot_against_latency.
    """
    if not any(curves.values()):
        raise ParameterError(f"{path}: nothing to plot; give at least one curve with a point")
    with drawn_to(path, *more) as axes:
        for (name, points), style in zip(curves.items(), styles(), strict=False):
            ordered = sorted(points, key=lambda point: point.x)
            axes.errorbar(
                [point.x for point in ordered],
                [point.value for point in ordered],
                [math.nan if point.deviation is None else point.deviation for point in ordered],
                label=plain(name, KEY),
                **style,
                markersize=4,
                linewidth=1,
                capsize=2,
            )
        titled(axes, title, label, measure)
        legend_below(axes)
        with_logarithms(axes)
        if logarithmic:
            with_logarithms(axes, "y")


def plot_against_latency(
    points: Sequence[SystemPoint],
    measure: str,
    title: str,
    path: str | Path,
    *more: str | Path,
    with_encoding: bool = False,
) -> None:
    """Plot systems as points, with time on a logarithmic axis. A line joins the points that no other beats in both.

    The time is that of a search. The legend shows the time of encoding a query, if it is known. with_encoding: the time
    is the sum of both.

    Raises ParameterError without points, for a point without encoding time if with_encoding, and for a suffix other
    than .svg, .png or .pdf; StorageError.
    """
    if not points:
        raise ParameterError(f"{path}: nothing to plot; give at least one system")
    drawn = [_with_encoding(point, path) for point in points] if with_encoding else points
    with drawn_to(path, *more) as axes:
        _draw_frontier(axes, drawn, measure, title, WHOLE_TIME if with_encoding else SEARCH_TIME)
        for point, style in zip(drawn, styles(), strict=False):
            before = "" if point.encoding is None else f" (encoding: {point.encoding:,.0f} µs)"
            name = plain(point.system + before, KEY)
            axes.plot([point.microseconds], [point.value], label=name, **style, linestyle="", zorder=3, clip_on=False)
        axes.margins(x=0.1, y=0.12)
        _end_at_one(axes, drawn)
        legend_below(axes)
        with_logarithms(axes)


def _with_encoding(point: SystemPoint, path: str | Path) -> SystemPoint:
    if point.encoding is None:
        raise ParameterError(
            f"{path}: the time of encoding a query is unknown for {point.system!r}; remove this system"
        )
    return point._replace(microseconds=point.microseconds + point.encoding)


def plot_choices(
    points: Sequence[SystemPoint],
    chosen: Sequence[SystemPoint],
    measure: str,
    title: str,
    path: str | Path,
    *more: str | Path,
) -> None:
    """Like plot_against_latency, but only `chosen` points have names, and points far below them are cut off.

    chosen: at least one. The axis shows as much below the chosen points as above them.
    """
    if not chosen:
        raise ParameterError(f"{path}: nothing to plot; give at least one chosen system")
    lowest, highest = min(point.value for point in chosen), max(point.value for point in points)
    with drawn_to(path, *more) as axes:
        _draw_frontier(axes, points, measure, title, SEARCH_TIME)
        xs, ys = [point.microseconds for point in chosen], [point.value for point in chosen]
        axes.scatter(xs, ys, color=BLUE, s=36, zorder=3)
        room = max(highest - lowest, 0.02)
        axes.set_ylim(lowest - 2 * room, highest + room / 4)
        _end_at_one(axes, points)
        with_logarithms(axes)
        labels = [Label(point.system, point.microseconds, point.value) for point in chosen]
        label_points(axes, labels, [(point.microseconds, point.value) for point in points])


def _draw_frontier(axes: Axes, points: Sequence[SystemPoint], measure: str, title: str, time: str) -> None:
    """Draw points, and the line of the points that no other beats."""
    axes.set_xscale("log")
    axes.scatter([point.microseconds for point in points], [point.value for point in points], color=GRAY, s=16)
    frontier = best_for_their_time(points)
    axes.plot(
        [point.microseconds for point in frontier],
        [point.value for point in frontier],
        color=GREEN,
        linewidth=1,
        drawstyle="steps-post",
        zorder=0,
    )
    titled(axes, title, time, measure)


def _end_at_one(axes: Axes, points: Sequence[SystemPoint]) -> None:
    """End the axis of a measure at 1, its largest possible value, unless a point is above."""
    if max(point.value for point in points) <= 1:
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.0))


def plot_differences(
    differences: Mapping[str, float],
    measure: str,
    first: str,
    second: str,
    path: str | Path,
    *more: str | Path,
    unit: str = "queries",
) -> None:
    """Plot the gains of `second` over `first` by query id, largest first. Raises what plot_against_latency raises.

    unit: a name for the keys of `differences`, if they are not queries.
    """
    if not differences:
        raise ParameterError(f"{path}: nothing to plot; give at least one query")
    ordered = sorted(differences.values(), reverse=True)
    wins, losses = sum(value > 0 for value in ordered), sum(value < 0 for value in ordered)
    # Two areas instead of bars: a collection can have ten thousand queries.
    edges = [edge for at in range(len(ordered)) for edge in (at, at + 1)]
    heights = [value for value in ordered for _ in range(2)]
    with drawn_to(path, *more) as axes:
        for color, chosen in (
            (BLUE, [max(height, 0.0) for height in heights]),
            (VERMILION, [min(height, 0.0) for height in heights]),
        ):
            axes.fill_between(edges, chosen, color=color, linewidth=0)
        axes.axhline(0, color=GRAY, linewidth=0.8)
        axes.set_xlim(0, len(ordered))
        ties = len(ordered) - wins - losses
        title = f"{second} against {first}: {wins} better, {ties} equal, {losses} worse"
        titled(axes, title, unit, f"difference in {measure}")


def best_for_their_time(points: Sequence[SystemPoint]) -> list[SystemPoint]:
    """The points for which no other point has at least their value in at most their time, fastest first."""
    best: list[SystemPoint] = []
    for point in sorted(points, key=lambda point: (point.microseconds, -point.value)):
        if not best or point.value > best[-1].value:
            best.append(point)
    return best
