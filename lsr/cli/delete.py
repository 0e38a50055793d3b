"""lsr delete"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import say
from lsr.errors import ParameterError


def delete(
    index: options.IndexFolder,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids of documents.")] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A file of ids, one a line; - is standard input.")
    ] = None,
) -> None:
    """Delete documents by their ids, in one commit. Ids that the index does not have are told, and do no harm."""
    from lsr.index.segments.index_writer import IndexWriter

    wanted = [*(ids or []), *(options.read_ids(from_file) or [])]
    if not wanted:
        raise ParameterError("no id is given; give ids, or --from FILE")
    with IndexWriter.open(index) as writer:
        known = writer.contains(wanted)
        deleted = writer.delete(wanted)
        writer.commit()
        left = writer.documents
    say(f"{index}: {deleted} documents deleted, {left} left")
    unknown = len(wanted) - int(known.sum())
    if unknown:
        first = wanted[int((~known).argmax())]
        say(f"not in the index: {first!r}{f' and {unknown - 1} more of the ids' if unknown > 1 else ''}")
