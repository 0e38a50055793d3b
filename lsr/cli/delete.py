"""lsr delete"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, say
from lsr.display import counted
from lsr.errors import ParameterError


def delete(
    index: options.IndexFolder,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids of the documents to delete.")] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="File of ids, one per line; - reads standard input.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Delete documents by id in one commit. Ids that are not in the index are reported and ignored."""
    from lsr.index.segments.index_writer import IndexWriter

    wanted = [*(ids or []), *(options.read_ids(from_file) or [])]
    if not wanted:
        raise ParameterError("no ids; give ids, or --from FILE")
    with IndexWriter.open(index) as writer:
        known = writer.contains(wanted)
        deleted = writer.delete(wanted)
        generation = writer.commit()
        left = writer.documents
    unknown = [each for each, found in zip(wanted, known.tolist(), strict=True) if not found]
    if json:
        counts = {"deleted": deleted, "unknown": unknown, "documents": left, "generation": generation}
        print_json({"index": str(index), **counts})
        return
    say(f"{index}: {counted(deleted, 'document')} deleted, {left:,} left")
    if unknown:
        more = f" and {len(unknown) - 1:,} more of the ids" if len(unknown) > 1 else ""
        say(f"not in the index: {unknown[0]!r}{more}")
