"""lsr update"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.changing import Sources, committed, opened
from lsr.cli.output import print_json, say
from lsr.display import counted

_LISTED = 20  # ids; JSON has all


@options.takes_change
def update(
    index: options.IndexFolder,
    sources: Sources,
    *,
    how: dict[str, Any],
    delete_missing: Annotated[
        bool,
        typer.Option(
            "--delete-missing", help="Delete the documents of the index whose ids are not among those given here."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    json: options.Json = False,
) -> None:
    """Replace the documents that have the same ids, and add the others. A killed job resumes as lsr add does.

    Documents with the text and metadata that the index has are left alone. A page that is in the folder that was
    indexed has its path below that as id, so that one file or subfolder can be given. Documents that are not given
    stay, unless --delete-missing is given.
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
        say(f"{index}, if this were done: {done}")
        for each in report.deleted[:_LISTED]:
            say(f"  {each} deleted")
        if len(report.deleted) > _LISTED:
            say(f"  and {len(report.deleted) - _LISTED:,} more; --json lists all")
