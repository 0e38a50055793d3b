"""lsr update"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.changing import Sources, committed, opened
from lsr.cli.output import print_json, say
from lsr.display import counted

_LISTED = 20  # ids; --json prints all


@options.takes_change
def update(
    index: options.IndexFolder,
    sources: Sources,
    *,
    how: dict[str, Any],
    delete_missing: Annotated[
        bool,
        typer.Option(
            "--delete-missing", help="Also delete the documents of the index that are not among the given documents."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the changes, and make none.")] = False,
    json: options.Json = False,
) -> None:
    """Replace documents whose ids are in the index, and add the others. If interrupted, run the same command to resume.

    Documents whose text and metadata have not changed are skipped. A single file or subfolder of a folder that was
    indexed can be given: its files have the same ids as before. Other documents of the index stay, unless
    --delete-missing is given.
    """
    searcher, documents = opened(index, sources, how)
    report = searcher.update(
        documents,
        delete_missing=delete_missing,
        dry_run=dry_run,
        batch_size=how.get("batch_size"),
        progress=not json,
    )
    entries = report._asdict()
    done = f"{counted(report.added, 'document')} added, {report.changed:,} changed, {report.unchanged:,} unchanged"
    done += f", {len(report.deleted):,} deleted" if delete_missing else ""
    if not dry_run:
        committed(index, searcher, done, entries, json)
    elif json:
        counts = {"documents": searcher.documents, "generation": searcher.generation}
        print_json({"index": str(index), **entries, **counts})
    else:
        say(f"{index}: dry run: {done}")
        for each in report.deleted[:_LISTED]:
            say(f"  {each} deleted")
        if len(report.deleted) > _LISTED:
            say(f"  and {len(report.deleted) - _LISTED:,} more; --json lists all")
