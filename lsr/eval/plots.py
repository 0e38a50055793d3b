"""Plots of an evaluation: a measure against latency or length, and what changed for each query."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lsr.errors import ParameterError
from lsr.extras import need
from lsr.storage.files import is_stream, replacing_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png", ".pdf")
GREEN, RED, GRAY = "#1b7837", "#b2182b", "#4d4d4d"
_COLORS = (GRAY, GREEN, RED, "#2166ac", "#b35806")

_MARKERS = "os^Dv*P"

NARROW_AXIS = 20.0  # between the ends of an axis, up to which every digit has a tick

# Equal input gives equal files, and the text of an SVG stays text.
_STYLE: dict[Any, Any] = {"svg.hashsalt": "lsr", "svg.fonttype": "none", "pdf.fonttype": 42, "font.size": 9.0}
_METADATA = {".svg": {"Date": None}, ".png": {"Software": None}, ".pdf": {"CreationDate": None}}


class SystemPoint(NamedTuple):
    """A system: microseconds that it searches for a query, and what it reaches; encoding: microseconds before that."""

    system: str
    microseconds: float
    value: float
    encoding: float | None = None


class CurvePoint(NamedTuple):
    """deviation: of the value, as an error bar; None for none."""

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
    """Curves by name, their points joined from left to right over a logarithmic axis. Raises as plot_against_latency.

    label: of that axis, whose values must be above 0. more: further files for the same plot, as of all plots here.
    logarithmic: the axis of the measure, too, whose values must then be above 0 as well.
    """
    if not any(curves.values()):
        raise ParameterError(f"{path}: there is nothing to plot; give at least one curve with a point")
    with _axes(path, *more) as axes:
        for (name, points), color, marker in zip(curves.items(), cycle(_COLORS), cycle(_MARKERS), strict=False):
            ordered = sorted(points, key=lambda point: point.x)
            axes.errorbar(
                [point.x for point in ordered],
                [point.value for point in ordered],
                [math.nan if point.deviation is None else point.deviation for point in ordered],
                label=_plain(name),
                color=color,
                marker=marker,
                markersize=4,
                linewidth=1,
                capsize=2,
            )
        _logarithmic(axes, [point.x for points in curves.values() for point in points])
        if logarithmic:
            _logarithmic(axes, [point.value for points in curves.values() for point in points], "y")
        axes.set_xlabel(label)
        axes.set_ylabel(measure)
        axes.set_title(_plain(title), parse_math=False)
        axes.legend(frameon=False)


def plot_against_latency(
    points: Sequence[SystemPoint], measure: str, title: str, path: str | Path, *more: str | Path
) -> None:
    """Systems as points, time on a logarithmic axis; a line joins those that no other beats in both.

    The time is that of a search, without that of encoding the query, which the legend tells where it is known.

    Raises ParameterError without points or for a suffix that is not .svg, .png or .pdf, StorageError.
    """
    if not points:
        raise ParameterError(f"{path}: there is nothing to plot; give at least one system")
    with _axes(path, *more) as axes:
        _draw_frontier(axes, points, measure, title)
        for point, color, marker in zip(points, cycle(_COLORS), cycle(_MARKERS), strict=False):
            before = "" if point.encoding is None else f" (encoding: {point.encoding:,.0f} µs)"
            style: dict[str, Any] = {"color": color, "marker": marker, "linestyle": "", "zorder": 3, "clip_on": False}
            axes.plot([point.microseconds], [point.value], label=_plain(point.system) + before, **style)
        axes.margins(x=0.1, y=0.12)
        _end_at_one(axes, points)
        legend = axes.figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)


def plot_choices(
    points: Sequence[SystemPoint],
    chosen: Sequence[SystemPoint],
    measure: str,
    title: str,
    path: str | Path,
    *more: str | Path,
) -> None:
    """As plot_against_latency, with names for those `chosen` alone, and as little below these as is above them.

    chosen: not empty. Points far below them, of which there may be many, are left out.
    """
    if not chosen:
        raise ParameterError(f"{path}: there is nothing to plot; give at least one system that is chosen")
    lowest, highest = min(point.value for point in chosen), max(point.value for point in points)
    with _axes(path, *more) as axes:
        _draw_frontier(axes, points, measure, title)
        xs, ys = [point.microseconds for point in chosen], [point.value for point in chosen]
        axes.scatter(xs, ys, color=GREEN, s=36, zorder=3)
        for point in chosen:
            axes.annotate(
                _plain(point.system),
                (point.microseconds, point.value),
                xytext=(-5, 3),
                textcoords="offset points",
                ha="right",
                fontsize=7,
                parse_math=False,
            )
        room = max(highest - lowest, 0.02)
        axes.set_ylim(lowest - 2 * room, highest + room / 4)
        _end_at_one(axes, points)


def _draw_frontier(axes: Axes, points: Sequence[SystemPoint], measure: str, title: str) -> None:
    """Points over a logarithmic axis of time, and the line of those that no other beats."""
    _logarithmic(axes, [point.microseconds for point in points])
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
    axes.set_xlabel("search time, µs a query on one thread; encoding the query comes on top")
    axes.set_ylabel(measure)
    axes.set_title(_plain(title), parse_math=False)


def _logarithmic(axes: Axes, values: Sequence[float], which: Literal["x", "y"] = "x") -> None:
    """The horizontal axis or the other one, with plain numbers at its ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log"})
    narrow = max(values) < NARROW_AXIS * min(values)
    axis.set_major_locator(LogLocator(subs=(1, 1.5, *range(2, 10)) if narrow else (1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


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
    """What `second` gains over `first` for each query id, the largest first. Raises as plot_against_latency does.

    unit: what the keys of `differences` are, if they are not queries.
    """
    if not differences:
        raise ParameterError(f"{path}: there is nothing to plot; give at least one query")
    ordered = sorted(differences.values(), reverse=True)
    wins, losses = sum(value > 0 for value in ordered), sum(value < 0 for value in ordered)
    # As two areas, not as bars: a collection may have ten thousand queries.
    edges = [edge for at in range(len(ordered)) for edge in (at, at + 1)]
    heights = [value for value in ordered for _ in range(2)]
    with _axes(path, *more) as axes:
        for color, chosen in (
            (GREEN, [max(height, 0.0) for height in heights]),
            (RED, [min(height, 0.0) for height in heights]),
        ):
            axes.fill_between(edges, chosen, color=color, linewidth=0)
        axes.axhline(0, color=GRAY, linewidth=0.8)
        axes.set_xlim(0, len(ordered))
        axes.set_xlabel(unit)
        axes.set_ylabel(f"difference in {measure}")
        ties = len(ordered) - wins - losses
        title = f"{second} against {first}: {wins} better, {ties} equal, {losses} worse"
        axes.set_title(_plain(title), parse_math=False)


def best_for_their_time(points: Sequence[SystemPoint]) -> list[SystemPoint]:
    """The points that no other equals or beats in value with no more time, fastest first."""
    best: list[SystemPoint] = []
    for point in sorted(points, key=lambda point: (point.microseconds, -point.value)):
        if not best or point.value > best[-1].value:
            best.append(point)
    return best


def checked_format(path: str | Path) -> str:
    """.svg, .png or .pdf, and .svg for a pipe or "-"; to be asked for before long work, too.

    Raises ParameterError for another suffix.
    """
    suffix = Path(path).suffix.lower()
    if not suffix and is_stream(path):
        return ".svg"
    if suffix not in FORMATS:
        raise ParameterError(f"{path}: a plot is one of {', '.join(FORMATS)}; give it such a name")
    return suffix


def _plain(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _axes(*paths: str | Path) -> Iterator[Axes]:
    """One pair of axes, drawn once and written to each of `paths` when the body ends."""
    suffixes = [checked_format(path) for path in paths]
    need("a plot", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of scripts that the font does not have
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        yield figure.subplots()
        for path, suffix in zip(paths, suffixes, strict=True):
            with replacing_file(path) as file:
                figure.savefig(file, format=suffix[1:], dpi=150, metadata=_METADATA[suffix])
