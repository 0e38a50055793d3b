"""lsr upgrade"""

from __future__ import annotations

from lsr.cli import options
from lsr.cli.output import print_json, print_next, say


def upgrade(index: options.IndexFolder, json: options.Json = False) -> None:
    """Give an index of an earlier version the form in which it can be changed, in one step and without building it.

    Commands that change an index do so by themselves. Earlier versions of lsr do not read the result.
    """
    from lsr.index.segments.upgrade import upgrade_index

    upgraded = upgrade_index(index)
    if json:
        print_json({"index": str(index), "upgraded": upgraded})
        return
    say(f"{index}: {'upgraded' if upgraded else 'nothing to do, it has the present form'}")
    print_next(["info", index])
