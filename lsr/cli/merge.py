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
        typer.Option(
            "--all", help="Merge all segments into one, even if no merge is due, and remove deleted documents."
        ),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Memory limit of the merge, such as 4GB. Default: half of the machine's memory."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Merge segments where many of them slow down searches, and remove the deleted documents in them.

    Searches continue during the merge. They see the result after they open or refresh the index. Other writers cannot
    change the index until the merge is finished.
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
    say(f"{index}: {done}; {counted(commit.documents, 'document')} in {counted(len(commit.segments), 'segment')}")
    print_next(["info", index])
