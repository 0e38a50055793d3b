"""Random bytes of all files of all kinds of index, changed one at a time: `python -m tests.index.flips --count 10000`.

Whatever happens next must be an error of lsr's own or hits: no signal, no other exception, and no waiting for ever.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from lsr.errors import LsrError
from tests.index.whole_use import SAVED, use

AT_ONCE = 50  # flips of one forked process
SECONDS = 20  # that one flip may take
HEADER = 128  # bytes, which are most of what can go wrong in an .npy file
OF_HEADER = 0.2

Flip = tuple[Path, int, int]  # file, byte, what it is combined with by exclusive or


def flips(folder: Path, seed: int, count: int) -> Iterator[Flip]:
    """Changes of random bytes of random files, always the same ones."""
    drawn = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    for _ in range(count):
        path = drawn.choice(files)
        size = path.stat().st_size
        yield path, drawn.randrange(min(size, HEADER) if drawn.random() < OF_HEADER else size), drawn.randrange(1, 256)


def outcomes(folder: Path, changes: list[Flip], using: Callable[[Path], object] = use) -> Iterator[str]:
    """What comes of each change of a copy of an index: "hits", the name of an LsrError, or what must not be."""
    while changes:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            for change in changes[:AT_ONCE]:
                os.write(writer, _outcome(folder, change, using).encode() + b"\n")
            os._exit(0)
        os.close(writer)
        status = os.waitpid(child, 0)[1]
        with open(reader) as told:
            found = told.read().splitlines()
        if os.WIFSIGNALED(status):
            found.append(signal.Signals(os.WTERMSIG(status)).name)
            _apply(changes[len(found) - 1])  # which the process could not take back
        yield from found
        changes = changes[len(found) :]


def _outcome(folder: Path, change: Flip, using: Callable[[Path], object]) -> str:
    signal.alarm(SECONDS)
    _apply(change)
    try:
        using(folder)
        return "hits"
    except LsrError as error:
        return type(error).__name__
    except BaseException as error:
        return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
    finally:
        _apply(change)
        signal.alarm(0)


def _apply(change: Flip) -> None:
    path, at, bits = change
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bits]))


def is_fine(outcome: str) -> bool:
    return outcome == "hits" or (outcome.endswith("Error") and outcome.isidentifier())


def run(folder: Path, kind: str, seed: int, count: int) -> tuple[Counter[str], list[str]]:
    """(how often each outcome came, a line for each that must not be) of an index that is saved in `folder`."""
    changes = list(flips(folder, seed, count))
    found = list(outcomes(folder, changes))
    bad = [
        f"{kind}: {path.relative_to(folder)} byte {at} ^ {bits}: {outcome}"
        for (path, at, bits), outcome in zip(changes, found, strict=True)
        if not is_fine(outcome)
    ]
    return Counter(found), bad


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(SAVED), choices=list(SAVED))
    asked = parser.parse_args()
    for kind in asked.kinds:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent, "index")
            SAVED[kind](folder)
            use(folder)
            counts, bad = run(folder, kind, asked.seed, -(-asked.count // len(asked.kinds)))
        print(f"{kind}: {dict(counts)}", *bad, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
