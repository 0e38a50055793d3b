"""Kill writers of an index at named steps, at system calls, at any call and at any time; then look what is there.

python -m tests.index.segments.kills --kills 500 --seed 1

The index must be the one before or after, with all that was acknowledged; the same operation must work again; and one
more writer must leave nothing but what its commit names. What is drawn depends on the seed alone, and on what earlier
trials left; only kills at a time do not come twice in the same place.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from lsr.index.segments.index_writer import IndexWriter
from lsr.storage import steps
from tests.index.segments.crash_worlds import (
    KINDS,
    Operation,
    World,
    draw,
    leftovers,
    observe,
    perform,
    prepare,
    worlds,
)
from tests.index.segments.forked import Ended, Forked, run_to_end

MODES = ("step", "after a step", "system call", "call", "time")
AFTER = 60  # system calls after a step, at most
NEVER = "0"


class Calls:
    """Counts calls of C functions, and those of them that reach the system; kills the process at one of them."""

    def __init__(self, mode: str, at: int, step: int = 0) -> None:
        self.counts = {"call": 0, "system call": 0, "after a step": 0}
        self._at = {mode: at}
        self._step = step

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("c_call", "c_return"):
            return
        self._count("call")
        module = getattr(argument, "__module__", None) or type(getattr(argument, "__self__", None)).__module__
        if module in ("posix", "fcntl", "_io"):
            self._count("system call")
            if len(steps._passed) >= self._step:
                self._count("after a step")

    def _count(self, mode: str) -> None:
        self.counts[mode] += 1
        if self.counts[mode] == self._at.get(mode):
            os.kill(os.getpid(), signal.SIGKILL)


def start(operation: Operation, folder: Path, mode: str = "", at: int = 0, step: int = 0) -> Forked:
    """A child that does it, and is killed at the `at`-th step or call; it reports each commit, then what it counted.

    step: after which the calls are counted, for the mode "after a step".
    """

    def body(child: Forked) -> None:
        os.environ[steps.KILL_AT] = str(at) if mode == "step" else NEVER
        steps._passed.clear()
        calls = Calls(mode, at, step)
        if mode not in ("step", "time"):  # which count none
            threading.setprofile(calls)
            sys.setprofile(calls)
        try:
            perform(operation, folder, lambda: child.report("committed"))
        finally:
            sys.setprofile(None)
        child.report({**calls.counts, "step": len(steps._passed), "steps": steps._passed})

    return Forked(body)


def start_reader(folder: Path) -> Forked:
    """A child that opens the index again and again, and reports each world that it sees."""

    def body(child: Forked) -> None:
        seen: list[World | None] = []
        while not child.told_to_stop():
            world = observe(folder)
            if world not in seen:
                seen.append(world)
                child.report(as_json(world))

    return Forked(body)


def as_json(world: World | None) -> Any:
    return None if world is None else {"documents": dict(world.documents), "encoder": world.encoder}


def look(folder: Path) -> Any:
    """What the index holds, as another process sees it; JSON."""
    (found,) = run_to_end(lambda child: child.report(as_json(observe(folder)))).reports
    return found


def warm_up(folder: Path) -> None:
    """Load in this process what its children need, so that each of them need not."""
    for blocks in (False, True):
        steps_of = (("add", {"d1": 1, "d2": 1}), ("encoder", 1), ("commit", None), ("delete", ["d1"]), ("commit", None))
        perform(Operation("first build", steps_of, replaces=True, blocks=blocks), folder)
        observe(folder)
    shutil.rmtree(folder)


def open_and_close(folder: Path) -> None:
    """One more writer, which changes nothing, and leaves only what the commit names."""
    run_to_end(lambda _: IndexWriter.open(folder).close())
    assert leftovers(folder) == []


class Kills:
    """Trials, one after the other; `outcomes` counts (kind, mode, what became of it)."""

    def __init__(self, root: Path, seed: int, kinds: Sequence[str] = KINDS) -> None:
        self.folder = root / "index"
        self.seed = seed
        self.kinds = kinds
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.steps: Counter[str] = Counter()  # those passed by operations that nothing stopped
        self.opened = 0  # by readers meanwhile
        self._trials = 0
        self._world: World | None = None
        self._counts: dict[str, dict[str, float]] = {}  # kind -> mode -> how many, as last counted
        warm_up(root / "warm")

    @property
    def kills(self) -> int:
        return sum(count for (_, _, outcome), count in self.outcomes.items() if outcome != "ended before")

    def trial(self) -> None:
        """Draw an operation, kill it once or twice, and let it end."""
        number, self._trials = self._trials, self._trials + 1
        chance = random.Random(f"{self.seed} {number}")
        operation = draw(self.kinds[number % len(self.kinds)], chance)
        before = prepare(operation, self.folder, self._world)
        possible = [*worlds(operation, before)]
        reader = start_reader(self.folder) if before is not None and chance.random() < 0.3 else None
        try:
            found: Any = as_json(before)
            for _ in range(chance.choice((1, 1, 2, 3)) if operation.kind in self._counts else 0):
                found = self._kill(operation, chance, found)
                possible += worlds(operation, _world(found))
            self._finish(operation, found)
        except AssertionError as error:
            raise AssertionError(f"trial {number} of seed {self.seed}: {operation}: {error}") from error
        finally:
            if reader is not None:
                reader.stop()
                ended = reader.wait()
        if reader is not None:
            assert ended.error is None and ended.failure is None and ended.signal is None, ended
            self.opened += len(ended.reports)
            for seen in ended.reports:
                assert _world(seen) in possible, f"trial {number}: a reader saw {seen}"
        open_and_close(self.folder)
        self._world = possible[-1]

    def _kill(self, operation: Operation, chance: random.Random, found: Any) -> Any:
        mode = chance.choice(MODES)
        counts = self._counts[operation.kind]
        most = AFTER if mode == "after a step" else counts[mode]
        if mode == "time":
            victim = start(operation, self.folder, mode)
            time.sleep(chance.uniform(0, most))
            victim.kill()
        else:
            step = chance.randint(1, int(counts["step"]))
            victim = start(operation, self.folder, mode, chance.randint(1, int(most)), step)
        return self._check(operation, mode, found, victim.wait())

    def _finish(self, operation: Operation, found: Any) -> None:
        known = operation.kind in self._counts
        ended = start(operation, self.folder, "time" if known else "").wait()
        assert self._check(operation, "", found, ended) == as_json(worlds(operation, _world(found))[-1])
        counted = ended.reports[-1]
        self.steps.update(counted["steps"])
        if known:
            self._counts[operation.kind]["time"] = ended.seconds
        else:
            self._counts[operation.kind] = {**counted, "time": ended.seconds}

    def _check(self, operation: Operation, mode: str, found: Any, ended: Ended) -> Any:
        """What the index holds after an operation that was killed, or was not, which began with `found`."""
        assert ended.error is None and ended.failure is None, ended.failure or ended.error
        assert ended.signal in (None, signal.SIGKILL), f"died of signal {ended.signal}"
        committed = ended.reports.count("committed")
        possible = worlds(operation, _world(found))
        now = look(self.folder)
        if mode:
            allowed = possible[committed : committed + 2]
            assert _world(now) in allowed, f"killed at a {mode} after {committed} commits: {now}, not {allowed}"
            if ended.signal is None:
                outcome = "ended before"
            elif now == found:
                outcome = "as before"
            else:
                outcome = "as after" if now == as_json(possible[-1]) else "between two commits"
            self.outcomes[operation.kind, mode, outcome] += 1
        return now


def _world(found: Any) -> World | None:
    return None if found is None else World(found["documents"], found["encoder"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=KINDS, help="of operations")
    parser.add_argument("--folder", type=Path, help="where, which is left as it is after a failure")
    options = parser.parse_args()
    root = options.folder or Path(tempfile.mkdtemp(prefix="lsr-kills-"))
    root.mkdir(exist_ok=True)
    kills, began = Kills(root, options.seed, options.kinds), time.monotonic()
    while kills.kills < options.kills:
        kills.trial()
    print(
        f"{kills.kills} kills in {time.monotonic() - began:.0f} s, seed {options.seed}; "
        f"readers saw {kills.opened} generations"
    )
    for name in (*KINDS, *MODES):
        found = Counter[str]()
        for (kind, mode, outcome), count in kills.outcomes.items():
            if name in (kind, mode):
                found[outcome] += count
        print(f"{name:32}", ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items())))
    print("steps passed:", ", ".join(f"{name} {count}" for name, count in sorted(kills.steps.items())))


if __name__ == "__main__":
    main()
