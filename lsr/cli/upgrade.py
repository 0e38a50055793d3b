"""lsr upgrade"""

from __future__ import annotations

from lsr.cli import options
from lsr.cli.output import print_json, print_next, printable, say


def upgrade(index: options.IndexFolder, json: options.Json = False) -> None:
    """Give an index of an earlier version the form in which it can be searched and changed, in one step.

    Blocks of an earlier version are built anew of the weights that they hold, which takes as long as building the index
    and half of the machine's memory at most; what was tuned on them is dropped. All else is kept as it is. Earlier
    versions of lsr do not read the result.
    """
    from lsr.index.segments.upgrade import upgrade_index
    from lsr.progress import waiting

    with waiting(printable(f"upgrading {index}"), shown=True):
        upgraded = upgrade_index(index)
    if json:
        print_json({"index": str(index), "upgraded": upgraded})
        return
    say(f"{index}: {'upgraded' if upgraded else 'nothing to do, it has the present form'}")
    print_next(["info", index])
