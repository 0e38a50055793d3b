"""Times of whole processes from start to answer, with Numba's cache and the system's file cache warm.

    python benchmarks/start.py                                         the installed package
    cd CHECKOUT && PYTHONPATH=. python /path/to/benchmarks/start.py    another one, with the same interpreter

`lsr --help`, and `lsr search` in three indexes of the same 1,000 texts: with BM25, with inference-free queries, and
with `tiny`, whose queries need a network. Medians of wall and CPU seconds; CPU seconds do not include other programs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEXTS = 1000
WORDS = ("aerodynamic", "flow", "boundary", "layer", "wing", "pressure", "heat", "shock", "wave", "lift", "drag")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw = random.Random(0)
        lines = [json.dumps({"_id": str(i), "text": " ".join(draw.choices(WORDS, k=40))}) for i in range(TEXTS)]
        (folder / "corpus.jsonl").write_text("\n".join(lines))
        lsr("build", "opensearch-doc-v2-distill", "tiny", folder / "model", "--idf", folder)
        commands: dict[str, tuple[str | Path, ...]] = {"lsr --help": ("--help",)}
        for name, encoder in (("bm25", "bm25"), ("inference-free", folder / "model"), ("tiny", "tiny")):
            lsr("index", folder, folder / name, "--encoder", encoder)
            commands[f"lsr search, {name}"] = ("search", folder / name, "wing pressure")
        for label, command in commands.items():
            wall, processor = zip(*(timed(command) for _ in range(runs + 1)), strict=True)
            print(f"{label:28} {statistics.median(wall[1:]):.2f} s  {statistics.median(processor[1:]):.2f} s CPU")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")


def lsr(*words: str | Path) -> None:
    # An installation has bytecode; for an editable one, the first run writes it, unless the environment forbids it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-m", "lsr", *map(str, words)], check=True, capture_output=True, env=environment)


def timed(command: tuple[str | Path, ...]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    lsr(*command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
