"""lsr compare"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lsr.cli import options
from lsr.cli.evaluate import MEASURES, judged_run, measure_names, read_judgments
from lsr.cli.output import print_columns, print_json, remark

if TYPE_CHECKING:
    from lsr.eval.significance import Comparison

PerQuery = dict[str, dict[str, float]]


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="TREC run file of the baseline.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="TREC run file to compare with the baseline.")],
    qrels: Annotated[
        str, typer.Option(metavar="QRELS|COLLECTION", help="Judgments: a file of qrels, or a collection.")
    ],
    measures: options.Measures = MEASURES,
    split: options.Split = None,
    same_id: options.SameId = None,
    test: Annotated[Literal["t-test", "randomization"], typer.Option(help="Paired test over queries.")] = "t-test",
    per_query: Annotated[bool, typer.Option("--per-query", help="Also print each query's values.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Plot the differences of the first measure by query, to a .svg, .png or .pdf file."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compare the measures of two runs, with significance tests.

    Judged queries without results count as zero. p-values are two-sided, and Holm-corrected over measures.
    """
    from lsr.eval import significance
    from lsr.eval.measures import evaluate_queries
    from lsr.eval.plots import plot_differences

    names = measure_names(measures)
    options.check_output(plot)
    judgments, drop = read_judgments(qrels, split, options.drops(same_id))
    runs = [judged_run(path, drop) for path in (first, second)]
    if same_id is None:
        remark(options.same_id_note(*runs))
    values = [evaluate_queries(judgments, each, names) for each in runs]
    compared = significance.compare(values[0], values[1], test)
    if plot is not None:
        differences = {query: values[1][names[0]][query] - values[0][names[0]][query] for query in judgments}
        plot_differences(differences, names[0], first.name, second.name, plot)
    if json:
        record: dict[str, object] = {"queries": len(judgments), "measures": [each._asdict() for each in compared]}
        print_json({**record, "per_query": {"first": values[0], "second": values[1]}} if per_query else record)
        return
    shown = _names(first, second)
    if per_query:
        _print_queries(values[0], values[1], shown)
    _print_comparisons(compared, shown)


def _names(first: Path, second: Path) -> tuple[str, str]:
    """Column names of the two runs: the shortest form in which they differ."""
    stems = [path.name.removesuffix(".gz").rpartition(".")[0] for path in (first, second)]
    pairs = (stems, [first.name, second.name])
    return next(((one, other) for one, other in pairs if one and other and one != other), (str(first), str(second)))


def _print_comparisons(compared: list[Comparison], runs: tuple[str, str]) -> None:
    rows = [
        (
            each.measure,
            f"{each.first:.4f}",
            f"{each.second:.4f}",
            f"{round(each.difference, 4) + 0.0:+.4f}",
            f"{each.p_value:.4f}",
            f"{each.corrected:.4f}",
            f"{each.wins}/{each.ties}/{each.losses}",
        )
        for each in compared
    ]
    header = ("measure", *runs, "difference", "p", "p (Holm)", "better/equal/worse")
    print_columns([header, *rows], least=("better/equal/worse", "p"))


def _print_queries(first: PerQuery, second: PerQuery, runs: tuple[str, str]) -> None:
    rows = []
    for name in first:
        changes = sorted(first[name], key=lambda query: -abs(second[name][query] - first[name][query]))
        for query in changes:
            before, after = first[name][query], second[name][query]
            rows.append((name, query, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"))
    print_columns([("measure", "query", *runs, "difference"), *rows])
    print()
