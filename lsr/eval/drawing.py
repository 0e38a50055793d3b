"""Drawing plots: colors, ticks, labels that do not overlap, a legend that fits, and files."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError
from lsr.extras import need
from lsr.storage.files import is_stream, replacing_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

FORMATS = (".svg", ".png", ".pdf")

# Okabe and Ito's colors, which readers with any color blindness can distinguish; without yellow, which is too light
# for lines on white. Seven colors and eight markers give 56 different curves.
BLUE, VERMILION, GREEN, BLACK = "#0072b2", "#d55e00", "#009e73", "#000000"
PALETTE = (BLUE, VERMILION, GREEN, BLACK, "#e69f00", "#cc79a7", "#56b4e9")
MARKERS = "os^Dv*PX"
GRAY = "#6b6b6b"

SIZE = 4.8, 3.6  # inches: in one column of a paper, text has 6 points
DPI = 300
LINE, SIDE, KEY = 48, 28, 66  # characters of a title, of a vertical label and of the smaller legend that fit
KEY_HEIGHT = 12 / 72  # inches of a line of the legend
NAME = 32  # characters of a name beside a point

# Equal input gives equal files. The text of an SVG remains text.
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "lsr",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9.0,
    "axes.titlesize": 9.0,
}
_METADATA = {".svg": {"Date": None}, ".png": {"Software": None}, ".pdf": {"CreationDate": None}}

# Ticks in a decade, the densest first; 1.5 is for axes shorter than about one decade.
_TICKS = ((1, 1.5, *range(2, 10)), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
_NEAR, _STEP, _RINGS = 4.0, 7.0, 60  # distances of a label from its point: the first and the step, in points
# Directions of a label from its point, the best first: above and to the left of a frontier there are no points.
_BESIDE = ((-1, 1), (0, 1), (-1, 0), (1, 1), (1, -1), (0, -1), (-1, -1), (1, 0))
_AROUND = tuple((x / 4, y / 4) for y in range(4, -5, -1) for x in range(-4, 5) if 4 in (abs(x), abs(y)))


Box = tuple[float, float, float, float]  # left, bottom, right, top


class Label(NamedTuple):
    """A name for a point, in the units of the axes."""

    text: str
    x: float
    y: float


def checked_format(path: str | Path) -> str:
    """The format of a file: .svg, .png or .pdf; .svg for a pipe or "-". Call it before long work, too.

    Raises ParameterError for another suffix.
    """
    suffix = Path(path).suffix.lower()
    if not suffix and is_stream(path):
        return ".svg"
    if suffix not in FORMATS:
        raise ParameterError(f"{path}: unknown plot format; the name must end with {', '.join(FORMATS)}")
    return suffix


@contextmanager
def drawn_to(*paths: str | Path) -> Iterator[Axes]:
    """One pair of axes, drawn once and written to each of `paths` when the body ends."""
    suffixes = [checked_format(path) for path in paths]
    need("a plot", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # missing glyphs of other scripts
        figure = Figure(figsize=SIZE, layout="constrained")
        yield figure.subplots()
        for path, suffix in zip(paths, suffixes, strict=True):
            with replacing_file(path) as file:
                figure.savefig(file, format=suffix[1:], dpi=DPI, metadata=_METADATA[suffix])


def styles() -> Iterator[dict[str, Any]]:
    """A color and a marker for each curve, without repetition among the first 56."""
    return ({"color": color, "marker": marker} for color, marker in zip(cycle(PALETTE), cycle(MARKERS), strict=False))


def plain(name: str, width: int = LINE) -> str:
    """A name as text, in lines of at most `width` characters. Bytes that are not UTF-8 are shown as escapes."""
    return textwrap.fill(name.encode("utf-8", "backslashreplace").decode(), width)


def titled(axes: Axes, title: str, below: str, left: str) -> None:
    """Write the title and the labels of the axes."""
    axes.set_title(plain(title), parse_math=False)
    axes.set_xlabel(plain(below))
    axes.set_ylabel(plain(left, SIDE))


def legend_below(axes: Axes) -> None:
    """Name curves or points below the axes, in as many columns as fit; a long legend makes the figure taller."""
    handles, names = axes.get_legend_handles_labels()
    columns = next(columns for columns in (3, 2, 1) if columns == 1 or _side_by_side(names, columns))
    legend = axes.figure.legend(
        handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=8, columnspacing=1.2
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    lines = sum(name.count("\n") + 1 for name in names) / columns
    _figure(axes).set_figheight(SIZE[1] + KEY_HEIGHT * max(math.ceil(lines) - 3, 0))


def _figure(axes: Axes) -> Figure:
    return cast("Figure", axes.figure)  # never a subfigure here


def _side_by_side(names: Sequence[str], columns: int) -> bool:
    """Whether the names fit in this number of columns. matplotlib fills one column after the other."""
    rows = math.ceil(len(names) / columns)
    handle = 6  # characters: the width of a line with its marker
    widths = [
        max(len(line) for name in names[at : at + rows] for line in name.split("\n")) + handle
        for at in range(0, len(names), rows)
    ]
    return len(names) >= columns and sum(widths) <= KEY + handle


def with_logarithms(axes: Axes, which: Literal["x", "y"] = "x") -> None:
    """Make an axis logarithmic, with plain numbers at as many ticks as there is room for. Call it last."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log"})
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
    low, high = sorted(axis.get_view_interval())
    if high < 2 * low:  # perhaps without any power of ten or a multiple of one
        axis.set_major_locator(MaxNLocator(4))
        return
    for subs in _TICKS:
        axis.set_major_locator(LogLocator(subs=subs))
        _figure(axes).draw_without_rendering()
        low, high = sorted(axis.get_view_interval())
        shown = [
            label
            for tick, label in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
            if low <= tick <= high
        ]
        boxes = [label.get_window_extent() for label in shown]
        side = 0 if which == "x" else 1
        ends = sorted((float(box.min[side]), float(box.max[side])) for box in boxes)
        if all(end + 3 < begin for (_, end), (begin, _) in pairwise(ends)):
            return


def label_points(axes: Axes, labels: Sequence[Label], dots: Sequence[tuple[float, float]]) -> None:
    """Write each label near its point: not over another label or labeled point, and over as few `dots` as possible.

    A thin line leads to a label that is not next to its point. Call it when the rest of the plot is drawn.
    """
    if not labels:
        return
    _figure(axes).draw_without_rendering()
    frame = axes.get_window_extent()
    pixels = _figure(axes).dpi / 72  # per point
    anchors = axes.transData.transform([(label.x, label.y) for label in labels])
    crowd = axes.transData.transform(dots) if len(dots) else np.empty((0, 2))
    taken: list[Box] = [_around(x, y, 3 * pixels) for x, y in anchors]
    for label, (x, y) in zip(labels, anchors, strict=True):
        size = _annotated(axes, label, (0, 0)).get_window_extent()
        axes.texts[-1].remove()
        ring, box = _free_place((size.width, size.height), (x, y), frame.extents, taken, crowd, pixels)
        _annotated(axes, label, ((box[0] - x) / pixels, (box[1] - y) / pixels), led_to=ring > 0)
        taken.append(box)


def _annotated(axes: Axes, label: Label, offset: tuple[float, float], led_to: bool = False) -> Annotation:
    """offset: of the label's lower left corner from its point, in points."""
    line = {"arrowstyle": "-", "color": GRAY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
    text = axes.annotate(
        plain(label.text, NAME),
        (label.x, label.y),
        xytext=offset,
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=7,
        arrowprops=line if led_to else None,
        parse_math=False,
    )
    text.set_in_layout(False)  # it is inside the axes
    return text


def _free_place(
    size: tuple[float, float],
    anchor: tuple[float, float],
    frame: Sequence[float],
    taken: Sequence[Box],
    crowd: npt.NDArray[np.float64],
    pixels: float,
) -> tuple[int, Box]:
    """The distance of a label from its point in steps, and its box. If there is no room, next to its point."""
    beside = _boxes(size, anchor, _NEAR * pixels, _BESIDE)
    for ring in range(_RINGS):
        boxes = _boxes(size, anchor, (_NEAR + ring * _STEP) * pixels, _AROUND) if ring else beside
        free = [box for box in boxes if _within(box, frame) and not any(_overlap(box, each) for each in taken)]
        if free:
            return ring, min(free, key=lambda box: _covered(box, crowd))
    return 0, beside[0]


def _boxes(
    size: tuple[float, float], anchor: tuple[float, float], reach: float, directions: Sequence[tuple[float, float]]
) -> list[Box]:
    """The boxes of a label at this distance. A direction is from -1, left or below, to 1."""
    (width, height), (x, y) = size, anchor
    lefts = [x + right * reach - width * (1 - right) / 2 for right, _ in directions]
    lows = [y + up * reach - height * (1 - up) / 2 for _, up in directions]
    return [(left, low, left + width, low + height) for left, low in zip(lefts, lows, strict=True)]


def _around(x: float, y: float, radius: float) -> Box:
    return x - radius, y - radius, x + radius, y + radius


def _within(box: Box, frame: Sequence[float]) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _covered(box: Box, crowd: npt.NDArray[np.float64]) -> int:
    return int(np.count_nonzero(((crowd > box[:2]) & (crowd < box[2:])).all(axis=1)))
