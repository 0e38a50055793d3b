"""lsr repair"""

from __future__ import annotations

from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, say
from lsr.display import counted

_LISTED = 20  # ids; JSON has all


def repair(
    index: options.IndexFolder,
    forget_deletions: Annotated[
        bool,
        typer.Option(
            "--forget-deletions",
            help="Keep segments of which only the bitmap of deleted documents is damaged: these are found again.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    json: options.Json = False,
) -> None:
    """Leave out the damaged segments of an index, and list the documents that are lost.

    Nothing is removed: what is left out stays in the folder as damaged-NAME. Ends with status 1 where something is
    left that cannot be repaired.
    """
    from lsr.index.tools.repair import repair_index

    report = repair_index(index, forget_deletions=forget_deletions, dry_run=dry_run)
    if json:
        print_json(report.as_json())
    else:
        for name in report.restored:
            say(f"{name}: written anew")
        for name in report.resurrected:
            say(f"{name}: kept, and documents that had been deleted are found again")
        for lost in report.lost:
            where = "nothing of it is there" if lost.aside is None else f"now {lost.aside}; remove it when you like"
            say(f"{lost.name}: left out ({where}), and with it, {counted(lost.documents, 'document')}")
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
