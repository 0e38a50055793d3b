"""Let system calls of a writer fail; then look what is there. Needs strace.

python -m tests.index.segments.faults --every 5 --seed 1

strace attaches itself to a child that waits, and lets its k-th write, fsync, rename, ... fail, that one alone or all
from it on. Its log proves that the fault arrived. The writer must end with an LsrError, or go on where the fault does
not matter; nothing may be lost that it acknowledged; what is there is the index before or after; and the same operation
works when nothing fails any more.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.index.segments.crash_worlds import KINDS, Operation, World, draw, perform, prepare, worlds
from tests.index.segments.forked import Ended, Forked, run_to_end
from tests.index.segments.kills import as_json, look, open_and_close, warm_up

STRACE = shutil.which("strace")


class Fault(NamedTuple):
    """calls: as strace names them. error: what they fail with."""

    calls: str
    error: str


FAULTS = (
    Fault("write,pwrite64,writev,ftruncate,fallocate", "ENOSPC"),
    Fault("mkdir,mkdirat,openat,link,linkat", "ENOSPC"),
    Fault("write,pwrite64,writev", "EIO"),
    Fault("fsync,fdatasync", "EIO"),
    Fault("rename,renameat,renameat2", "EIO"),
    Fault("read,pread64", "EIO"),
    Fault("openat,dup,dup2", "EMFILE"),
    Fault("unlink,unlinkat,rmdir", "EIO"),
    Fault("mmap", "ENOMEM"),
)


class Faults:
    """Trials, one after the other; `outcomes` counts (kind, fault, what became of it)."""

    def __init__(self, root: Path, seed: int) -> None:
        self.folder = root / "index"
        self.seed = seed
        self.outcomes: Counter[tuple[str, Fault, str]] = Counter()
        self.messages: Counter[str] = Counter()
        self.failures: list[str] = []
        self._log = root.parent / f"{root.name}.strace"
        self._world: World | None = None
        self._trials = 0
        warm_up(root / "warm")

    def calls_of(self, kind: str, fault: Fault) -> int:
        """How many calls an operation makes that the fault is about."""
        operation, before = self._prepared(kind)
        _, calls = self._traced(operation, fault, None)
        self._world = worlds(operation, before)[-1]
        return calls

    def _prepared(self, kind: str) -> tuple[Operation, World | None]:
        self._trials += 1
        operation = draw(kind, random.Random(f"{self.seed} {kind} {self._trials}"))
        return operation, prepare(operation, self.folder, self._world)

    def trial(self, kind: str, fault: Fault, at: int, lasting: bool) -> bool:
        """Let the `at`-th call fail, and all later ones, if it is lasting; returns whether there was one."""
        operation, before = self._prepared(kind)
        where = f"{kind} of seed {self.seed}: {fault.error} of {fault.calls} {at}{'+' if lasting else ''}"
        ended, arrived = self._traced(operation, fault, f"{at}+" if lasting else str(at))
        found = look(self.folder)
        committed = ended.reports.count("committed")
        possible = [as_json(each) for each in worlds(operation, before)]
        assert ended.failure is None and ended.signal is None, f"{where}: {ended}"
        assert found in possible[committed : committed + 2], f"{where}: {found} after {committed} commits"
        if ended.error is None:
            assert found == possible[-1], f"{where}: {found}"
        else:
            self.messages[re.sub(r"[^ ]*/[^ :]*|\d+", "~", ended.error)] += 1
        outcome = ("refused" if ended.error else "did not matter") if arrived else "did not arrive"
        self.outcomes[kind, fault, f"{outcome}, {'as before' if found == possible[0] else 'committed'}"] += 1
        run_to_end(lambda _: perform(operation, self.folder))
        assert look(self.folder) == as_json(self._expected(operation, found)), where
        open_and_close(self.folder)
        self._world = self._expected(operation, found)
        return bool(arrived)

    def _expected(self, operation: Operation, found: dict[str, dict[str, int]] | None) -> World | None:
        now = None if found is None else World(found["documents"], found["encoder"])  # type: ignore[arg-type]
        return worlds(operation, now)[-1]

    def _traced(self, operation: Operation, fault: Fault, when: str | None) -> tuple[Ended, int]:
        """The operation under strace, and how many calls failed, or were made, where none is to fail."""
        assert STRACE is not None

        def body(child: Forked) -> None:
            child.told_to_stop(60)  # until strace is there
            perform(operation, self.folder, lambda: child.report("committed"))

        child = Forked(body)
        inject = [] if when is None else ["-e", f"inject={fault.calls}:error={fault.error}:when={when}"]
        command = [STRACE, "-f", "-o", str(self._log), "-e", f"trace={fault.calls}", *inject, "-p", str(child.pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE)
        while f"TracerPid:\t{tracer.pid}\n" not in Path(f"/proc/{child.pid}/status").read_text():
            assert tracer.poll() is None, tracer.stderr and tracer.stderr.read()
            time.sleep(0.002)
        child.stop()
        ended = child.wait()
        tracer.communicate(timeout=60)
        lines = self._log.read_text().splitlines()
        self._log.unlink()
        return ended, sum("(INJECTED)" in line for line in lines) if when else sum(" = " in line for line in lines)


def run_all(faults: Faults, kinds: Sequence[str], every: int) -> None:
    """Every fault at every so many calls of every kind of operation, in turn alone and lasting."""
    for kind in kinds:
        for fault in FAULTS:
            calls = faults.calls_of(kind, fault)
            for number, at in enumerate(range(1, calls + 1, every)):
                try:
                    faults.trial(kind, fault, at, lasting=number % 2 == 1)
                except AssertionError as error:
                    faults.failures.append(str(error))
                    print(error, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10, help="calls from one that fails to the next")
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    faults = Faults(Path(tempfile.mkdtemp(prefix="lsr-faults-")), options.seed)
    with suppress(KeyboardInterrupt):
        run_all(faults, options.kinds, options.every)
    for fault in FAULTS:
        found = Counter[str]()
        for (_, each, outcome), count in faults.outcomes.items():
            if each == fault:
                found[outcome] += count
        print(f"{fault.error} of {fault.calls}:", ", ".join(f"{count} {name}" for name, count in sorted(found.items())))
    for message, count in faults.messages.most_common():
        print(count, message)
    sys.exit(min(len(faults.failures), 1))


if __name__ == "__main__":
    main()
