"""Change an index on a disk that is full: python -m tests.index.segments.full_disk FOLDER_ON_A_DISK_OF_1_MB.

What is written through a memory map of a sparse file would end the process with SIGBUS here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lsr.errors import StorageError
from tests.index.segments.crash_worlds import IDS, Operation, World, leftovers, observe, perform, worlds

COMMIT = ("commit", None)
LARGE = {f"x{number}": 1 for number in range(4000)}
FREE = (0, 1, 2, 4, 6, 10, 14, 20, 30)  # blocks of 4,096 bytes


def main(place: Path) -> None:
    folder, filler = place / "index", place / "filler"
    folder.parent.mkdir(exist_ok=True)
    world: World | None = World(dict.fromkeys(IDS[:30], 1))
    assert world is not None
    perform(Operation("first build", (("add", world.documents), COMMIT), replaces=True), folder)
    refused = done = 0

    def attempt(operation: Operation) -> None:
        nonlocal world, refused, done
        before = world
        try:
            perform(operation, folder)
            world = worlds(operation, world)[-1]
            done += 1
        except StorageError as error:
            assert "No space left" in str(error) or "is the disk full?" in str(error), error
            refused += 1
        found = observe(folder)
        assert found == world or found in worlds(operation, before), operation.kind
        world = found

    for blocks in (False, True):
        attempt(Operation("add", (("add", LARGE), COMMIT), blocks=blocks))
        attempt(Operation("replacement", (("add", LARGE), COMMIT), replaces=True, blocks=blocks))
    assert refused == 4 and done == 0
    for number, blocks_left in enumerate(FREE):
        statistics = os.statvfs(place)
        left = statistics.f_bavail - blocks_left
        if left > 0:
            filler.write_bytes(bytes(left * statistics.f_bsize))
        attempt(Operation("delete", (("delete", [IDS[number]]), COMMIT)))
        attempt(Operation("add", (("add", {f"y{number}": 1, f"z{number}": 2}), COMMIT), blocks=number % 3 == 0))
        attempt(Operation("merge", (("delete", [f"z{number}"]), ("merge", True))))
        filler.unlink(missing_ok=True)
        attempt(Operation("add", (("add", {f"u{number}": 1}), ("merge", True))))
    left_over = [name for name in leftovers(folder) if name != "../filler"]
    assert not left_over, left_over
    print(f"{refused} refused, {done} done")
    assert refused > 10 and done > 10


if __name__ == "__main__":
    main(Path(sys.argv[1]))
