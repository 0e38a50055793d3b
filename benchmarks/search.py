"""Search at equal recall, exact search, builds, sizes and start of similar engines.

    python benchmarks/search.py race exact --sets packages
    python benchmarks/search.py --all --json search.json     every section, under a quarter of an hour
    python benchmarks/search.py race --rows 3000 --queries 50        a quick test of the script

race: for each engine a grid of builds and of search parameters, recall@10 against exact search, and the fastest point
    that reaches each recall; these points are timed again, the engines taking turns. All engines get the same vectors
    in the same process, and one thread unless stated otherwise. Peers that are not installed are left out.
"""

from __future__ import annotations

import os

# Before engines are imported: for most of them, only this variable has an effect, not an argument.
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import search_index
import search_race
from peers import ENGINES, Parameters, engine_version, installed
from rich.console import Console
from search_common import Grid, Indexes, Run, section
from search_results import write_results
from search_worker import SETS


def grid(**values: Iterable[Any]) -> list[Parameters]:
    """Every combination of the values, as keyword arguments."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


# The first build of an engine is also that of the sections other than race. The peers' are what their maintainers
# publish as best at most recalls (pyseismic-lsr: collections this small make n_postings 2000 and max_fraction 6 the
# same as 4000 and 3), as far as they are built in minutes (kannolo's ef_construction is 2000 there).
GRIDS = {
    "lsr": Grid(
        builds=[{}],
        searches=[{}, *grid(query_cut=(6, 8, 10, 12, 16), max_blocks=(25, 40, 60, 80, 100, 130, 170, 220, 300))],
    ),
    "pyseismic-lsr": Grid(
        builds=[{"n_postings": 4000, "max_fraction": 3.0, "centroid_fraction": 0.2, "summary_energy": 0.5}],
        searches=grid(query_cut=(3, 4, 5, 6, 8, 12), heap_factor=(0.7, 0.8, 0.9, 1.0)),
    ),
    "kannolo": Grid(
        builds=[{"m": 32, "ef_construction": 200}],
        searches=[
            *grid(ef_search=(20, 40, 80, 120, 160, 240, 320, 480)),
            *grid(ef_search=(10, 15), early_exit_threshold=(0.05, 0.1, 0.15, 0.2)),
        ],
        documents={"packages": 100_000, "wiki": 20_000},
    ),
    "bmp": Grid(
        builds=[{"bsize": 8, "compress_range": False}],
        searches=grid(alpha=(1.0, 0.97, 0.94, 0.9), beta=(1.0,)),
    ),
    # For 0.18.5. It has no term_retain_threshold, and term_prune_ratio loses recall faster than it saves time.
    "pyvsag": Grid(
        builds=[
            *grid(doc_prune_ratio=(0.3, 0.0, 0.6), use_quantization=(True, False), use_reorder=(True,)),
            *grid(doc_prune_ratio=(0.0,), use_quantization=(True, False), use_reorder=(False,)),
        ],
        searches=grid(query_prune_ratio=(0.0, 0.2, 0.4, 0.6), n_candidate=(10, 20, 40, 80, 160)),
    ),
}
SECTIONS = ("race", "short", "build", "exact", "size", "start")


def main() -> None:
    arguments = parse()
    console = Console(width=130)
    console.print(machine())
    present = [name for name in ENGINES if name == "lsr" or installed(name)]
    for name in ENGINES:
        if name not in present:
            console.print(f"{name} is not installed and left out")
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        indexes = Indexes(Path(folder), arguments.cache, console)
        run = Run(GRIDS, present, arguments.sets, arguments.rows, arguments.queries, indexes, console)
        jobs = {
            "race": search_race.race,
            "short": search_race.short,
            "build": partial(search_index.build, slow=arguments.slow),
            "exact": search_race.exact,
            "size": search_index.size,
            "start": search_index.start,
        }
        for name in arguments.sections:
            with section(run, name):
                run.figures[name] = jobs[name](run)
    console.print(f"all: {time.perf_counter() - begin:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), **run.figures}, indent=1))
    if arguments.results:
        write_results(run.figures, arguments.results)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"sections, of {', '.join(SECTIONS)}; default: race")
    parser.add_argument("--all", action="store_true", help="every section")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="sets of vectors; default: all")
    sizes = ", ".join(f"{rows:,} {name}" for name, (*_, rows) in SETS.items())
    parser.add_argument("--rows", type=int, help=f"number of first documents; default: {sizes}")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--cache", type=Path, help="folder for the peers' indexes, which later runs reuse")
    parser.add_argument("--slow", action="store_true", help="also time pyseismic-lsr's build of wiki on one thread")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    parser.add_argument("--results", type=Path, help="write the tables of docs/performance.md to this folder, as CSV")
    arguments = parser.parse_args()
    for name in arguments.sections:
        if name not in SECTIONS:
            parser.error(f"unknown section {name}; sections: {', '.join(SECTIONS)}")
    arguments.sections = list(SECTIONS) if arguments.all else arguments.sections or ["race"]
    return arguments


def machine() -> dict[str, str]:
    versions = {name: version(name) for name in ("numba", "numpy", "scipy")}
    return {
        "processor": processor(),
        "python": platform.python_version(),
        **versions,
        **{name: engine_version(name) for name in ENGINES if installed(name)},
    }


def processor() -> str:
    with suppress(OSError, IndexError), open("/proc/cpuinfo") as cpuinfo:
        models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
        return f"{len(models)} x {models[0]}"
    return platform.processor()


if __name__ == "__main__":
    main()
