"""lsr experiment"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, watched

if TYPE_CHECKING:
    from lsr.eval.experiment.config import Experiment


def experiment(
    file: Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="The experiment, a TOML file.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of its results; by default the file's name without .toml")
    ] = None,
    offline_data: Annotated[
        Path | None, typer.Option(help="A folder of collections: those found in it are not downloaded.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what there is to do and to download.")] = False,
    device: options.Device = None,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Run systems on collections, and write runs, tables, tests and plots.

    What is there already is not done again: a killed experiment goes on when the same command is given again.
    """
    from lsr.eval.experiment.config import read_experiment

    described = read_experiment(file)
    folder = file.with_suffix("") if output is None else output
    _check_offline(offline_data)
    wanted = _downloads(described, offline_data)
    if plan:
        if json:
            names = {"collections": [each.name for each in described.collections]}
            print_json({**names, "systems": [each.name for each in described.systems], "downloads": wanted})
        else:
            _say_plan(described, wanted)
        return
    if wanted and not json:
        _say_plan(described, wanted)

    from lsr.eval.experiment.run import run_experiment

    results = run_experiment(
        described, folder, offline_data=offline_data, device=device, threads=threads, progress=watched()
    )
    if json:
        print_json(
            [
                {
                    "collection": result.judged.name,
                    "system": result.system,
                    "measures": {name: _mean(values) for name, values in result.figures.per_query.items()},
                    "encode_microseconds": result.figures.encode_microseconds,
                    "search_microseconds": result.figures.search_microseconds,
                    "recall_of_exact": result.figures.recall_of_exact,
                    "bytes": result.figures.bytes,
                }
                for result in results
            ]
        )
    else:
        print((folder / "tables" / "results.md").read_text(encoding="utf-8"))
        print(f"{folder}: {len(described.systems)} systems on {len(described.collections)} collections")


def _downloads(described: Experiment, offline_data: Path | None) -> dict[str, int | None]:
    from lsr.eval.experiment.suites import shown_downloads

    return shown_downloads(described.collections, offline_data)


def _check_offline(folder: Path | None) -> None:
    from lsr.errors import ParameterError

    if folder is not None and not folder.is_dir():
        raise ParameterError(f"--offline-data {folder}: there is no such folder; check the path")


def _say_plan(described: Experiment, wanted: dict[str, int | None]) -> None:
    systems = ", ".join(system.name for system in described.systems)
    print(f"{len(described.collections)} collections: {', '.join(each.name for each in described.collections)}")
    print(f"{len(described.systems)} systems: {systems}; baseline {described.baseline}")
    if not wanted:
        print("nothing to download")
        return
    known = sum(size for size in wanted.values() if size is not None)
    print(f"to download by ir_datasets, unless it has them: {known / 1e9:.2f} GB")
    for name, size in wanted.items():
        print(f"  {name}  {'size unknown' if size is None else f'{size / 1e6:,.0f} MB'}")


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)
