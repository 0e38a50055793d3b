"""What benchmarks/search.py measures in a process of its own: python benchmarks/search_worker.py JOB RESULT, both JSON.

A job names a function below and its arguments. Importing this module imports nothing that is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data") / "vectors"
# Documents, queries, and of how many documents the set is by default.
SETS = {
    "packages": ("packages-500k.npz", "packages-queries.npz", 300_000),
    "wiki": ("wiki-passages.npz", "wiki-queries.npz", 100_000),
}
# Documents of a build whose time does not count. Only lsr has something to compile.
WARM_UP, PEER_WARM_UP = 70_000, 100  # lsr stores what is smaller as inverted lists


def run_job(function: str, environment: dict[str, str] | None = None, **arguments: Any) -> Any:
    """What a function of this module returns in a fresh process; an argument `threads` holds for all of its engines."""
    threads = str(arguments.get("threads", 1))
    with tempfile.TemporaryDirectory() as folder:
        job, result = Path(folder) / "job.json", Path(folder) / "result.json"
        job.write_text(json.dumps({"function": function, "arguments": arguments}))
        limits = {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, __file__, str(job), str(result)],
            env={**os.environ, **limits, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{function} {arguments} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
        return json.loads(result.read_text())


def read_documents(data_set: str, rows: int) -> Any:
    """The first so many of a set, without keeping the others in memory."""
    import numpy as np

    from lsr import SparseVectors

    vectors = SparseVectors.read(DATA / SETS[data_set][0])
    return vectors if len(vectors) <= rows else vectors[np.arange(rows)]


def read_queries(data_set: str, n_queries: int) -> Any:
    from lsr import SparseVectors

    return SparseVectors.read(DATA / SETS[data_set][1])[:n_queries]


def build(
    engine: str, data_set: str, rows: int, parameters: dict[str, Any], threads: int, folder: str
) -> dict[str, float]:
    """Build and save an index: seconds, and bytes of memory.

    imports_bytes: what the process took before it read the vectors, everything imported and compiled. peak_bytes: the
    most that it took while it built, vectors included.
    """
    from peers import ENGINES

    adapter = ENGINES[engine]
    few = min(rows, WARM_UP if engine == "lsr" else PEER_WARM_UP)
    warm_up_seconds = warm_up(adapter, read_documents(data_set, few), parameters, threads)
    imports_bytes = memory("VmRSS")
    documents = read_documents(data_set, rows)
    vectors_bytes = documents.indptr.nbytes + documents.indices.nbytes + documents.values.nbytes
    ingested = adapter.ingest(documents)
    del documents
    reset_peak()
    seconds, index = seconds_of(lambda: adapter.build(ingested, parameters, threads, Path(folder)))
    peak_bytes = memory("VmHWM")
    adapter.save(index, Path(folder))
    return {
        "seconds": seconds,
        "warm_up_seconds": warm_up_seconds,
        "vectors_bytes": vectors_bytes,
        "imports_bytes": imports_bytes,
        "peak_bytes": peak_bytes,
    }


def warm_up(adapter: Any, documents: Any, parameters: dict[str, Any], threads: int) -> float:
    """Seconds of a small build, after which everything is imported and compiled."""
    ingested = adapter.ingest(documents)
    with tempfile.TemporaryDirectory() as folder:
        seconds, _ = seconds_of(lambda: adapter.build(ingested, parameters, threads, Path(folder)))
    return seconds


def throughput(
    engine: str,
    data_set: str,
    n_queries: int,
    points: list[dict[str, Any]],
    threads: int,
    folder: str,
    rounds: int,
) -> list[float]:
    """Queries a second at each of the search parameters."""
    from peers import ENGINES

    opened = ENGINES[engine].load(Path(folder))
    prepared = opened.prepare(read_queries(data_set, n_queries))

    def once(parameters: dict[str, Any]) -> float:
        seconds, _ = seconds_of(lambda: opened.search(prepared, parameters, threads))
        return n_queries / seconds

    opened.search(prepared, points[0], threads)
    return [statistics.median(once(parameters) for _ in range(rounds)) for parameters in points]


def import_lsr() -> float:
    """Seconds of `import lsr`."""
    begin = time.perf_counter()
    import lsr  # noqa: F401

    return time.perf_counter() - begin


def first_query(data_set: str, folder: str, parameters: dict[str, Any]) -> dict[str, float]:
    """Seconds of all that comes before an answer in a process that has imported nothing."""
    queries = read_queries(data_set, 2)
    from lsr import SearchParams

    begin = time.perf_counter()
    from lsr import SeismicIndex

    times = {"import of the index and Numba": time.perf_counter() - begin}
    times["open"], index = seconds_of(lambda: SeismicIndex.open(Path(folder) / "index"))
    params = SearchParams(**parameters)
    times["first query"], _ = seconds_of(lambda: index.search(queries[:1], 10, params))
    times["second query"], _ = seconds_of(lambda: index.search(queries[1:], 10, params))
    return times


def seconds_of(call: Any) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def memory(field: str) -> int:
    """Bytes of this process, VmRSS now or VmHWM at most."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def reset_peak() -> None:
    """Let VmHWM begin anew, where the system lets it: what reading the vectors took is no part of the build."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps(globals()[job["function"]](**job["arguments"])))
