"""lsr experiment"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from lsr.cli import options
from lsr.cli.output import print_json, print_next, print_table, say
from lsr.errors import ParameterError

if TYPE_CHECKING:
    from lsr.experiment.experiment_file import Experiment
    from lsr.experiment.experiment_report import Result


def experiment(
    file: Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="Experiment: a TOML file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FOLDER", help="Folder of the results. Default: the name of the file without .toml."
        ),
    ] = None,
    offline_data: options.OfflineData = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print the collections, systems and downloads of the experiment.")
    ] = False,
    device: options.Device = None,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Run retrieval systems on collections, and write runs, tables, significance tests and plots.

    Finished results are kept. If interrupted, run the same command again to resume.
    """
    from lsr.experiment.experiment_file import read_experiment
    from lsr.experiment.suites import shown_downloads

    described = read_experiment(file)
    folder = file.with_suffix("") if output is None else output
    if folder == file:
        raise ParameterError(
            f"{file}: the name does not end with .toml, so the output folder cannot be named after it; give --output"
        )
    options.check_folder(offline_data)
    wanted = shown_downloads(described.collections, offline_data)
    if plan:
        _check_collections(described, offline_data)
        if json:
            names = {"collections": [each.name for each in described.collections]}
            print_json({**names, "systems": [each.name for each in described.systems], "downloads": wanted})
        else:
            _say_plan(described, wanted, sys.stdout)
        return
    if wanted:
        _say_plan(described, wanted, sys.stderr)

    from lsr.experiment.runner import run_experiment

    results = run_experiment(
        described, folder, offline_data=offline_data, device=device, threads=threads, progress=True
    )
    if json:
        print_json([_as_json(result) for result in results])
    else:
        from lsr.experiment.experiment_report import results_table

        print_table(results_table(described, results))
        print()
        say(f"Markdown, CSV and LaTeX, with tests, in {folder / 'tables'}; plots in {folder / 'plots'}")
        say(f"A methods section in {folder / 'methods.tex'}, its references in {folder / 'refs.bib'}")
        print_next(_next(described, folder, offline_data))


def _next(described: Experiment, folder: Path, offline_data: Path | None) -> list[object]:
    """The words of a command that shows results per query, for the first collection."""
    from lsr.collections.offline import offline_folder
    from lsr.experiment.suites import open_judged

    judged, systems = described.collections[0], [each.name for each in described.systems]
    spec, split = offline_folder(judged.path, offline_data) or judged.path, open_judged(judged, offline_data).split
    runs = [
        folder / "runs" / judged.name / f"{system}.run.gz"
        for system in sorted(systems, key=lambda system: system != described.baseline)[:2]
    ]
    words = ["evaluate", *runs, spec] if len(runs) == 1 else ["compare", *runs, "--qrels", spec]
    return [*words, "--per-query", *(["--split", split] if split else [])]


def _as_json(result: Result) -> dict[str, object]:
    from lsr.eval.measures import aggregate

    figures = asdict(result.figures)
    return {
        "collection": result.judged.name,
        "system": result.system,
        "measures": aggregate(figures.pop("per_query")),
        **figures,
    }


def _check_collections(described: Experiment, offline_data: Path | None) -> None:
    """Raises CollectionError for a missing collection or split. Downloads nothing."""
    from lsr.experiment.suites import open_judged

    for judged in described.collections:
        for split in filter(None, (judged.split, judged.tune)):
            open_judged(judged, offline_data, split)
        if judged.split is None:
            open_judged(judged, offline_data)


def _say_plan(described: Experiment, wanted: dict[str, int | None], file: TextIO) -> None:
    systems = ", ".join(system.name for system in described.systems)
    collections = ", ".join(each.name for each in described.collections)
    lines = [
        f"collections ({len(described.collections)}): {collections}",
        f"systems ({len(described.systems)}): {systems}; baseline {described.baseline}",
    ]
    known = sum(size for size in wanted.values() if size is not None)
    lines.append(
        f"downloads by ir_datasets, if not in its cache: {known / 1e9:.2f} GB" if wanted else "nothing to download"
    )
    lines += [
        f"  {name}  {'size unknown' if size is None else f'{size / 1e6:,.0f} MB'}" for name, size in wanted.items()
    ]
    print("\n".join(lines), file=file)
