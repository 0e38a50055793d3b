"""Measured jobs, each in a separate process: python benchmarks/search_worker.py JOB RESULT, both JSON.

A job names a function below and its arguments. Importing this module does not import any measured code.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data") / "vectors"
# Documents, queries, and the default number of documents.
SETS = {
    "packages": ("packages-500k.npz", "packages-queries.npz", 300_000),
    "wiki": ("wiki-passages.npz", "wiki-queries.npz", 100_000),
}
# Documents of a build whose time does not count. Only lsr compiles.
WARM_UP, PEER_WARM_UP = 70_000, 100  # lsr stores fewer documents as posting lists


class JobError(SystemExit):
    """A job failed, or was stopped. Its message is one line, then the output of the process."""


class Limit(NamedTuple):
    """The limits of a job: seconds, and bytes of memory without mapped files."""

    seconds: float
    bytes: int

    def broken(self, begin: float, pid: int) -> str:
        """The broken limit in words; empty if none is broken."""
        import psutil

        if time.perf_counter() - begin > self.seconds:
            return f"takes more than {self.seconds:,.0f} s"
        with suppress(psutil.NoSuchProcess):
            held = psutil.Process(pid).memory_info()
            if held.rss - held.shared > self.bytes:
                return f"takes more than {self.bytes / 1e9:.1f} GB of memory"
        return ""


def run_job(
    function: str, environment: dict[str, str] | None = None, limit: Limit | None = None, **arguments: Any
) -> Any:
    """The result of a function of this module in a new process; an argument `threads` holds for all of its engines.

    Raises JobError if the process fails, or if it breaks the limit and is killed.
    """
    threads = str(arguments.get("threads", 1))
    with tempfile.TemporaryDirectory() as folder:
        job, result, said = (Path(folder) / name for name in ("job.json", "result.json", "said"))
        job.write_text(json.dumps({"function": function, "arguments": arguments}))
        limits = {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        begin = time.perf_counter()
        with (
            said.open("w") as errors,
            subprocess.Popen(
                [sys.executable, __file__, str(job), str(result)],
                env={**os.environ, **limits, **(environment or {})},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            ) as process,
        ):
            try:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(0.5)
                    if limit and process.poll() is None and (broken := limit.broken(begin, process.pid)):
                        raise JobError(broken)
            finally:
                process.kill()
        if process.returncode:
            raise JobError(
                f"{function} {arguments} ended with status {process.returncode}:\n{said.read_text()[-4000:]}"
            )
        return json.loads(result.read_text())


def read_documents(data_set: str, rows: int) -> Any:
    """The first `rows` documents of a set, or of a file of grown.py at that path, without the others."""
    import numpy as np

    from lsr import SparseVectors

    if data_set not in SETS:
        from grown import Grown

        return Grown(Path(data_set)).slice(0, rows)

    vectors = SparseVectors.read(DATA / SETS[data_set][0])
    return vectors if len(vectors) <= rows else vectors[np.arange(rows)]


def read_queries(data_set: str, n_queries: int) -> Any:
    from lsr import SparseVectors

    return SparseVectors.read(DATA / SETS[data_set][1])[:n_queries]


def build(
    engine: str, data_set: str, rows: int, parameters: dict[str, Any], threads: int, folder: str
) -> dict[str, float]:
    """Build and save an index; returns seconds, and bytes of memory.

    imports_bytes: memory of the process before it read the vectors, after all imports and compilation. peak_bytes: peak
        memory during the build, with vectors.
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


def grow(data_set: str, rows: int, folder: str) -> None:
    """See grown.py."""
    from grown import grow

    grow(data_set, rows, folder)


def warm_up(adapter: Any, documents: Any, parameters: dict[str, Any], threads: int) -> float:
    """Seconds of a small build, which imports and compiles everything."""
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
    """Queries per second with each of the search parameters."""
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
    """Seconds of all steps before an answer in a process without imports."""
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
    """Memory of this process in bytes: VmRSS, the present one, or VmHWM, the peak."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def reset_peak() -> None:
    """Reset VmHWM, if the system allows it: memory for reading the vectors is not part of the build."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def end_with_parent() -> None:
    """End with the parent process, so that a killed run leaves no jobs on the machine."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, of Linux


if __name__ == "__main__":
    end_with_parent()
    job = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps(globals()[job["function"]](**job["arguments"])))
