"""lsr repair"""

from __future__ import annotations

from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, say
from lsr.display import counted

_LISTED = 20  # ids; --json prints all


def repair(
    index: options.IndexFolder,
    forget_deletions: Annotated[
        bool,
        typer.Option(
            "--forget-deletions",
            help="Keep a segment if only its list of deleted documents is damaged. Searches then return its deleted "
            "documents again.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the changes, and make none.")] = False,
    json: options.Json = False,
) -> None:
    """Remove the damaged segments from an index, and list the lost documents.

    Damaged segments are kept in the folder as damaged-NAME. Exits with status 1 if some damage cannot be repaired.
    """
    from lsr.index.tools.repair import repair_index

    report = repair_index(index, forget_deletions=forget_deletions, dry_run=dry_run)
    if json:
        print_json(report.as_json())
    else:
        for name in report.restored:
            say(f"{name}: written again")
        for name in report.resurrected:
            say(f"{name}: kept; searches return its deleted documents again")
        for lost in report.lost:
            where = "it does not exist" if lost.aside is None else f"moved to {lost.aside}, which you can delete"
            say(f"{lost.name}: removed ({where}), with {counted(lost.documents, 'document')}")
            ids = lost.ids or []
            for each in ids[:_LISTED]:
                say(f"  {each}")
            if len(ids) > _LISTED:
                say(f"  and {len(ids) - _LISTED:,} more; --json lists all")
        for found in report.unrepaired:
            say(f"{found.file}: {found.problem}; build the index again")
        done = "would have" if dry_run else "has"
        say(f"generation {report.generation} {done} {counted(report.documents, 'document')}")
    if report.unrepaired:
        raise typer.Exit(1)
