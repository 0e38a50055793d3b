"""lsr upgrade"""

from __future__ import annotations

from lsr.cli import options
from lsr.cli.output import print_json, print_next, printable, say


def upgrade(index: options.IndexFolder, json: options.Json = False) -> None:
    """Convert an index of an earlier version to the current format, in one step.

    Blocks are rebuilt from the stored weights. This takes as long as building the index, and at most half of the
    machine's memory. Stored search parameters are removed; everything else is kept. Earlier versions of lsr cannot read
    the result.
    """
    from lsr.index.segments.upgrade import upgrade_index
    from lsr.progress import waiting

    with waiting(printable(f"upgrading {index}"), shown=True):
        upgraded = upgrade_index(index)
    if json:
        print_json({"index": str(index), "upgraded": upgraded})
        return
    say(f"{index}: {'upgraded' if upgraded else 'nothing to do: it has the current format'}")
    print_next(["info", index])
