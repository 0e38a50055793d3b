"""lsr merge"""

from __future__ import annotations

from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, print_next, printable, say
from lsr.display import counted


def merge(
    index: options.IndexFolder,
    every: Annotated[
        bool,
        typer.Option("--all", help="Make one segment of all, even where merging is not due, and drop what is deleted."),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="For vectors and their index, such as 4GB; by default half of the machine's."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Make one segment of several where searches would begin to take longer, and drop deleted documents for good.

    Searches go on meanwhile, and see the result when they open the index again. Nobody else can change the index until
    this is done.
    """
    from lsr.index.segments.index_writer import IndexWriter
    from lsr.memory import parse_size
    from lsr.progress import waiting

    budget = None if memory is None else parse_size(memory)
    with waiting(printable(f"merging {index}"), shown=True), IndexWriter.open(index) as writer:
        merged = writer.merge(all=every, memory=budget)
        commit = writer.base
    if json:
        print_json(
            {
                "index": str(index),
                "merged": merged,
                "segments": len(commit.segments),
                "documents": commit.documents,
                "generation": commit.generation,
            }
        )
        return
    done = f"{counted(merged, 'segment')} merged" if merged else "nothing to merge"
    say(
        f"{index}: {done}; it has {counted(commit.documents, 'document')} in {counted(len(commit.segments), 'segment')}"
    )
    print_next(["info", index])
