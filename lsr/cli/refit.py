"""lsr refit"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.drift_lines import drift_lines
from lsr.cli.output import print_columns, print_json, say
from lsr.display import counted
from lsr.memory import parse_size


def refit(
    index: options.IndexFolder,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What this may use, such as 4GB; a larger index is built on disk. By default half the "
            "machine's memory",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Renew BM25's statistics (document counts, lengths, IDF) from the documents that are there, encoding nothing.

    The index becomes what `lsr index` would make of these documents; searchers that are open see it when they refresh.
    """
    from lsr.retrieval.refit import refit_index

    budget = None if memory is None else parse_size(memory)
    drift = refit_index(index, memory=budget, progress=not json)
    if json:
        print_json({"before": asdict(drift)})
        return
    say(f"{index}: bm25 is fitted on its {counted(drift.documents, 'row')}; before, it was")
    print_columns(drift_lines(drift))
