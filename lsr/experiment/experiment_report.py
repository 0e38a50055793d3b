"""The report of an experiment: tables, tests and plots, written again from its results each time.

tables/results.{md,csv,tex}      every system on every collection: measures, microseconds, bytes
tables/MEASURE.{md,csv,tex}      one measure: rows are collections, columns are systems; and the mean
tables/tests.csv                 every system against the baseline on every row of the tables, for every measure
tables/tuning.csv                the tried settings, if a system was tuned
plots/COLLECTION/*.{svg,pdf,png} recall and effectiveness against latency, without and with encoding of the query;
                                 per-query differences to the baseline
report.md                        the results, the software and machine behind them, and how to cite them
methods.{md,tex}                 the methods section of a paper: collections, systems, measures, tests, versions
refs.bib                         the references of the methods section
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from lsr.eval.measures import aggregate
from lsr.eval.plots import SystemPoint, plot_against_latency, plot_differences
from lsr.eval.significance import Comparison, compare_values, with_holm
from lsr.eval.tables import BETTER, WORSE, Column, Table, Value, to_csv, to_latex, to_markdown
from lsr.experiment.experiment_file import MEAN, Experiment
from lsr.experiment.measure import Figures
from lsr.experiment.methods import methods, to_tex
from lsr.experiment.references import references
from lsr.experiment.suites import Judged
from lsr.provenance import DATE, bibtex
from lsr.storage.files import DAMAGE, replacing_file, storage_errors

LEVEL = 0.05
_NOT_IN_PAPERS = (
    "recall@10 of exact",
    "query nnz",
    "document nnz",
    "FLOPS",
)  # not in papers, where the table would be too wide
_MEANS = ("encode_microseconds", "search_microseconds", "recall_of_exact", "query_nnz", "document_nnz", "flops")
_RECALL = re.compile(r"^(?:R|Recall)(?:\(.*\))?@(\d+)$")


class Result(NamedTuple):
    """The result of a system on a collection. tuning: {"on", "settings", "tried"}, if the system was tuned.

    made_with: fact -> value, of the software and the machine; empty for results of earlier versions.
    """

    judged: Judged
    system: str
    figures: Figures
    tuning: Mapping[str, Any] | None
    made_with: Mapping[str, str]


class Row(NamedTuple):
    """The result of a system in a row of the tables: on a collection, or the mean over the collections of a group.

    values: measure -> figure.
    pairs: measure -> query -> value, the values of which the figure is the mean, and which paired tests compare; for a
        group, collection -> mean over its queries.
    query_nnz, document_nnz, flops: None without a sparse side.
    bytes: for a group, the sum.
    group: whether the row is a group.
    """

    collection: str
    system: str
    values: Mapping[str, float]
    pairs: Mapping[str, Mapping[str, float]]
    encode_microseconds: float
    search_microseconds: float
    recall_of_exact: float
    query_nnz: float | None
    document_nnz: float | None
    flops: float | None
    bytes: float
    group: bool


def write_report(experiment: Experiment, results: Sequence[Result], folder: Path) -> None:
    """Write tables and plots into `folder`. Raises StorageError."""
    rows = _rows(experiment, results)
    tests = _tests(experiment, rows)
    writer = _Writer(folder, experiment.name)
    all_figures = _results_table(experiment, rows, tests)
    for_papers = _without(all_figures, _NOT_IN_PAPERS)
    writer.table(all_figures, "results", f"{experiment.name}: all figures", for_papers)
    for measure in experiment.measures:
        table = _measure_table(experiment, rows, tests, measure)
        writer.table(table, _file_name(measure), f"{experiment.name}: {measure}")
    writer.text("tests.csv", to_csv(_tests_table(tests)))
    if any(result.tuning for result in results):
        writer.text("tuning.csv", to_csv(_tuning_table(results)))
    _plot(experiment, rows, writer)
    writer.beside("report.md", _report(experiment, results, all_figures))
    tuned = {(each.judged.name, each.system): each.tuning for each in results if each.tuning}
    paragraphs = methods(experiment, [each.made_with for each in results], tuned, LEVEL)
    writer.beside("methods.md", paragraphs)
    writer.beside("methods.tex", to_tex(paragraphs))
    writer.beside("refs.bib", references(experiment))
    writer.finish()


def results_table(experiment: Experiment, results: Sequence[Result]) -> Table:
    """The table of every system on every collection: measures with their marks, microseconds, bytes."""
    rows = _rows(experiment, results)
    return _results_table(experiment, rows, _tests(experiment, rows))


def _without(table: Table, names: Sequence[str]) -> Table:
    """The table without some columns, which are to the right of all marked columns."""
    kept = [at for at, column in enumerate(table.columns) if column.name not in names]
    rows = [[row[at] for at in kept] for row in table.rows]
    return table._replace(columns=[table.columns[at] for at in kept], rows=rows)


def _report(experiment: Experiment, results: Sequence[Result], table: Table) -> str:
    """The report in Markdown. Results can come from several runs on several machines: each has its section."""
    lines = [f"# {experiment.name}", "", f"Marks: significantly better or worse than {experiment.baseline}.", ""]
    lines += [to_markdown(table), "encode and search µs: median per query, on one thread.", ""]
    made: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for result in results:
        made.setdefault(tuple(each for each in result.made_with.items() if each[0] != DATE), []).append(result)
    for facts, which in made.items():
        whose = ", ".join(f"{each.system} on {each.judged.name}" for each in which)
        dates = sorted({date for each in which if (date := each.made_with.get(DATE))})
        lines += ["## Made with" if len(made) == 1 else f"## Made with: {whose}", ""]
        lines += [f"- {name}: {value}" for name, value in facts or (("versions and machine", "not recorded"),)]
        lines += [*(f"- {DATE}: {' to '.join(dict.fromkeys([dates[0], dates[-1]]))}" for _ in dates[:1]), ""]
    return "\n".join(
        [*lines, "## Cite", "", "The papers of the methods that you use, and:", "", "```bibtex", bibtex(), "```", ""]
    )


def _rows(experiment: Experiment, results: Sequence[Result]) -> list[Row]:
    """A row for each collection or group and system, in the order of the experiment."""
    gathered: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        gathered.setdefault((result.judged.group or result.judged.name, result.system), []).append(result)
    rows = []
    for (collection, system), members in gathered.items():
        figures = [member.figures for member in members]
        means = [(member.judged.name, aggregate(member.figures.per_query)) for member in members]
        pairs = {
            measure: figures[0].per_query[measure]
            if members[0].judged.group is None
            else {name: figures_of[measure] for name, figures_of in means}
            for measure in experiment.measures
        }
        rows.append(
            Row(
                collection,
                system,
                {
                    measure: statistics.fmean(figures_of[measure] for _, figures_of in means)
                    for measure in experiment.measures
                },
                pairs,
                **{name: _mean(figures, name) for name in _MEANS},
                bytes=sum(each.bytes for each in figures),
                group=members[0].judged.group is not None,
            )
        )
    return rows


def _mean(figures: Sequence[Figures], name: str) -> Any:
    """The mean over the results that have this figure; None if none has it."""
    known = [found for each in figures if (found := getattr(each, name)) is not None]
    return statistics.fmean(known) if known else None


Tests = dict[tuple[str, str, str], Comparison]


def _tests(experiment: Experiment, rows: Sequence[Row]) -> Tests:
    """(collection, measure, system) -> paired t-test against the baseline, corrected over the systems."""
    tests: Tests = {}
    for collection in dict.fromkeys(row.collection for row in rows):
        here = {row.system: row for row in rows if row.collection == collection}
        baseline = here[experiment.baseline]
        others = [system for system in here if system != experiment.baseline]
        for measure in experiment.measures:
            compared = with_holm(
                [compare_values(measure, baseline.pairs[measure], here[system].pairs[measure]) for system in others]
            )
            tests |= {(collection, measure, system): each for system, each in zip(others, compared, strict=True)}
    return tests


def _results_table(experiment: Experiment, rows: Sequence[Row], tests: Tests) -> Table:
    columns = [
        Column("collection"),
        Column("system"),
        *(Column(measure, 4) for measure in experiment.measures),
        Column("recall@10 of exact", 4),
        Column("query nnz", 1),
        Column("document nnz", 1),
        Column("FLOPS", 2),
        Column("encode µs", 0),
        Column("search µs", 0),
        Column("MB", 1),
    ]
    cells: list[list[Value]] = []
    marks = {}
    for at, row in enumerate(rows):
        values = [row.values[measure] for measure in experiment.measures]
        costs = [row.query_nnz, row.document_nnz, row.flops, row.encode_microseconds, row.search_microseconds]
        cells.append([row.collection, row.system, *values, row.recall_of_exact, *costs, row.bytes / 1e6])
        for column, measure in enumerate(experiment.measures, start=2):
            marks[at, column] = _mark(tests.get((row.collection, measure, row.system)))
    best = set()
    for column in range(2, 2 + len(experiment.measures)):
        for collection in dict.fromkeys(row.collection for row in rows):
            here = [at for at, row in enumerate(rows) if row.collection == collection]
            measure = experiment.measures[column - 2]
            most = max(rows[at].values[measure] for at in here)
            best |= {(at, column) for at in here if rows[at].values[measure] == most}
    return Table(columns, cells, marks, best)


def _measure_table(experiment: Experiment, rows: Sequence[Row], tests: Tests, measure: str) -> Table:
    """The table of one measure: rows are collections, columns are systems; the last row is the mean."""
    systems = [system.name for system in experiment.systems]
    found = {(row.collection, row.system): row.values[measure] for row in rows}
    collections = list(dict.fromkeys(row.collection for row in rows))
    cells: list[list[Value]] = []
    marks, best = {}, set()
    for at, collection in enumerate(collections):
        values = [found[collection, system] for system in systems]
        cells.append([collection, *values])
        for column, system in enumerate(systems, start=1):
            marks[at, column] = _mark(tests.get((collection, measure, system)))
        best |= {(at, column) for column, value in enumerate(values, start=1) if value == max(values)}
    if len(collections) > 1:
        means = [statistics.fmean(found[collection, system] for collection in collections) for system in systems]
        cells.append([MEAN, *means])
        best |= {(len(collections), column) for column, value in enumerate(means, start=1) if value == max(means)}
    return Table([Column("collection"), *(Column(system, 4) for system in systems)], cells, marks, best)


def _tests_table(tests: Tests) -> Table:
    columns = ["collection", "system", *Comparison._fields]
    cells: list[list[Value]] = [
        [collection, system, *comparison] for (collection, _, system), comparison in tests.items()
    ]
    return Table([Column(name, None) for name in columns], cells)


def _tuning_table(results: Sequence[Result]) -> Table:
    columns = [Column(name) for name in ("collection", "system", "tuned on", "values", "figure", "chosen")]
    cells: list[list[Value]] = []
    for result in results:
        tuning = result.tuning or {"tried": ()}
        for values, figure in tuning["tried"]:
            chosen = all(tuning["settings"][key] == value for key, value in values.items())
            shown = [tuning["on"], json.dumps(values), figure, "yes" if chosen else "no"]
            cells.append([result.judged.name, result.system, *shown])
    return Table(columns, cells)


def _plot(experiment: Experiment, rows: Sequence[Row], writer: _Writer) -> None:
    first = experiment.measures[0]
    recalls = sorted((int(found[1]), measure) for measure in experiment.measures if (found := _RECALL.search(measure)))
    for collection in dict.fromkeys(row.collection for row in rows):
        here = [row for row in rows if row.collection == collection]
        for measure in dict.fromkeys([first, *(measure for _, measure in recalls[-1:])]):
            points = [_point(row, row.values[measure]) for row in here]
            name = _file_name(measure)
            plot_against_latency(points, measure, collection, *writer.plots(collection, name))
            both = writer.plots(collection, f"{name}-with-encoding")
            plot_against_latency(points, measure, collection, *both, with_encoding=True)
        points = [_point(row, row.recall_of_exact) for row in here]
        plot_against_latency(points, "recall@10 of exact search", collection, *writer.plots(collection, "recall"))
        baseline = next(row for row in here if row.system == experiment.baseline).pairs[first]
        for row in here:
            if row.system != experiment.baseline:
                changes = {query: value - baseline[query] for query, value in row.pairs[first].items()}
                unit = "collections" if row.group else "queries"
                paths = writer.plots(collection, f"difference-{row.system}")
                plot_differences(changes, first, experiment.baseline, row.system, *paths, unit=unit)


def _point(row: Row, value: float) -> SystemPoint:
    return SystemPoint(row.system, row.search_microseconds, value, row.encode_microseconds)


def _mark(comparison: Comparison | None) -> str:
    if comparison is None or comparison.corrected >= LEVEL:
        return ""
    return BETTER if comparison.difference > 0 else WORSE


def _file_name(measure: str) -> str:
    """The measure as the name of a file: nDCG@10 -> ndcg-10."""
    return "".join(each if each.isalnum() else "-" for each in measure.lower()).strip("-")


class _Writer:
    """Writes the files of a report, and removes old files of an earlier report.

    report.json, in the experiment's folder, lists them. Other files beside them are not touched.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._folder, self._list = folder, folder / "report.json"
        self._written: list[str] = []

    def path(self, *parts: str) -> Path:
        """The path of a file of the report."""
        self._written.append("/".join(parts))
        return self._folder.joinpath(*parts)

    def text(self, name: str, text: str) -> None:
        with replacing_file(self.path("tables", name)) as file:
            file.write(text.encode())

    def table(self, table: Table, name: str, caption: str, in_papers: Table | None = None) -> None:
        """Write a table. in_papers: the table for LaTeX, instead of `table`."""
        latex = to_latex(in_papers or table, caption, f"{self._name}-{name}")
        for suffix, text in (("md", to_markdown(table)), ("csv", to_csv(table)), ("tex", latex)):
            self.text(f"{name}.{suffix}", text)

    def plots(self, collection: str, name: str) -> list[Path]:
        """The paths of a plot for the web, for pdflatex, and for slides."""
        return [self.path("plots", collection, f"{name}.{suffix}") for suffix in ("svg", "pdf", "png")]

    def beside(self, name: str, text: str) -> None:
        """Write a file beside the folders of tables and plots."""
        with replacing_file(self.path(name)) as file:
            file.write(text.encode())

    def finish(self) -> None:
        """Raises StorageError."""
        try:
            before = [str(each) for each in json.loads(self._list.read_bytes())]
        except DAMAGE:
            before = []
        for name in {*before} - {*self._written}:
            parts = name.split("/")
            if parts[0] in ("tables", "plots") and ".." not in parts:
                with storage_errors(self._folder):
                    self._folder.joinpath(*parts).unlink(missing_ok=True)
                with suppress(OSError):
                    self._folder.joinpath(*parts).parent.rmdir()
        with replacing_file(self._list) as file:
            file.write(json.dumps(self._written).encode())
