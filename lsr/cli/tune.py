"""lsr tune"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lsr.cli import options
from lsr.cli.output import WORDS_TO_SEARCH, print_columns, print_json, print_next, remark, while_loading
from lsr.display import counted

if TYPE_CHECKING:
    from lsr.index.seismic.seismic_index import SeismicIndex
    from lsr.index.tools.tuning import Tuning, TuningPoint

_COLUMNS = ("recall", "held out", "µs per query", "query cut", "blocks", "neighbors")
_LEAST = ("neighbors", "held out")  # columns that a narrow terminal does not show


def tune(
    index: options.IndexFolder,
    queries: Annotated[
        str,
        typer.Option(
            metavar="QUERIES|VECTORS",
            help="A few hundred typical queries: a collection, a .jsonl or TSV file of texts, or vectors (.npz, "
            ".jsonl, .csr, or a folder written by lsr encode).",
        ),
    ],
    recall: Annotated[
        list[float] | None,
        typer.Option(help="Recall target. Can be repeated. Default: .9, .95, .97 and .99."),
    ] = None,
    k: options.Depth = 10,
    split: options.Split = None,
    encoder: options.OfQueries = None,
    threads: options.Threads = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plot recall against time, to a .svg, .png or .pdf file.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Find the fastest search parameters that reach a recall target, and store them in the index.

    Recall is the share of the exact top k that a search returns. Times are of one thread; --threads applies only to the
    exact search for comparison.
    """
    from lsr.cli.asked import open_with_queries
    from lsr.distributed.sharded_folder import is_sharded
    from lsr.eval.drawing import checked_format
    from lsr.index.tools.stored_presets import store_presets
    from lsr.index.tools.tuning import RECALLS, check_recall, sample_rows
    from lsr.retrieval.query_vectors import QueryVectors
    from lsr.retrieval.request import SPARSE
    from lsr.retrieval.searcher import Searcher
    from lsr.storage.manifest import read_manifest

    recalls = [check_recall(each) for each in recall or RECALLS]
    if plot is not None:
        checked_format(plot)
    options.check_output(plot)
    manifest = {} if is_sharded(index) else read_manifest(index)  # before searches: another index may replace it
    with while_loading(index):
        asked = open_with_queries(index, queries, split, encoder=encoder)
    given = len(asked.ids)
    sampled = asked.chosen([asked.ids[row] for row in sample_rows(given)])  # fewer texts to encode
    asked_for: dict[str, Any] = {"recalls": recalls, "k": k, "threads": threads, "progress": True}
    if isinstance(asked.searcher, Searcher):
        vectors = asked.searcher.snapshot.encode(sampled.rows)[SPARSE]
        tuning = cast("SeismicIndex", asked.searcher.index).tune(vectors, **asked_for)
        store_presets(index, tuning, manifest)
    else:
        rows = sampled.rows
        assert not isinstance(rows, QueryVectors)
        tuning = asked.searcher.tune(rows, **asked_for)
    inverted = bool(getattr(asked.searcher.snapshot.index, "inverted", True))
    remark(asked.note)
    if plot is not None:
        _plot(tuning, index, plot)
    if json:
        print_json(
            {
                "k": tuning.k,
                "queries": tuning.queries,
                "points": [point.as_json() for point in tuning.points],
                "frontier": [point.as_json() for point in tuning.frontier],
                "presets": [preset.as_json() for preset in tuning.presets.values()],
            }
        )
        return
    _print(tuning, given, inverted)
    if not inverted:
        encodes = encoder is None and asked.searcher.encodes
        words = ["search", index, WORDS_TO_SEARCH] if encodes else ["run", index, queries, "OUT"]
        print_next([*words, "--recall", f"{recalls[0]:g}"])


def _plot(tuning: Tuning, index: Path, path: Path) -> None:
    from lsr.eval import plots

    names: dict[TuningPoint, list[str]] = {}
    for asked, point in tuning.chosen.items():
        names.setdefault(point, []).append(f"{asked:g}")
    points = [plots.SystemPoint("", point.microseconds, point.recall) for point in tuning.points]
    chosen = [plots.SystemPoint("for " + ", ".join(each), at.microseconds, at.recall) for at, each in names.items()]
    plots.plot_choices(points, chosen, f"recall@{tuning.k}", index.resolve().name, path)


def _print(tuning: Tuning, given: int, inverted: bool) -> None:
    from lsr.index.tools.tuning import MOST_QUERIES

    many = f", sampled from {given:,}" if given > MOST_QUERIES else ""
    print(f"recall@{tuning.k} on {counted(tuning.queries, 'query', 'queries')}{many}; every second query is held out\n")
    print_columns([_COLUMNS, *map(_cells, tuning.frontier)], _LEAST)
    print("\nstored in the index\n")
    chosen = [(f"{asked:g}", *_cells(each)) for asked, each in tuning.chosen.items()]
    print_columns([("recall target", *_COLUMNS), *chosen], _LEAST)
    exact = [f"{asked:g}" for asked, point in tuning.chosen.items() if point.params.exact]
    if inverted:
        print("\nevery search of this index is exact, with any parameters")
    elif exact:
        print(f"\nfor recall {', '.join(exact)}, no approximate search is reliable and faster than an exact search")


def _cells(point: TuningPoint) -> tuple[str, ...]:
    params = point.params
    settings = ("exact", "-", "-") if params.exact else (str(params.query_cut), str(params.max_blocks), str(params.knn))
    return f"{point.recall:.4f}", f"{point.held_out:.4f}", f"{point.microseconds:,.0f}", *settings
