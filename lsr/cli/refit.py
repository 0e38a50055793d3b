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
            help="Memory limit, such as 4GB. A larger index is built with temporary files. Default: half of the "
            "machine's memory.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Update the BM25 statistics (document frequencies, lengths, IDF) to the current documents, without encoding again.

    The result equals a new `lsr index` of these documents. Open searchers see it after a refresh.
    """
    from lsr.retrieval.refit import refit_index

    budget = None if memory is None else parse_size(memory)
    drift = refit_index(index, memory=budget, progress=not json)
    if json:
        print_json({"before": asdict(drift)})
        return
    say(f"{index}: BM25 statistics are now those of {counted(drift.documents, 'row')}. The drift was:")
    print_columns(drift_lines(drift))
