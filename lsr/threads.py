"""Threads for kernels and networks, both of which release the GIL."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

from lsr.checks import check_whole

_forked: list[bool] = []  # not empty in a process that was forked after this module was imported
os.register_at_fork(after_in_child=lambda: _forked.append(True))


@contextmanager
def thread_pool(threads: int | None) -> Iterator[Executor]:
    """An executor with `threads` threads (None: one per processor). On Ctrl-C or an error, waiting jobs are dropped."""
    executor = ThreadPoolExecutor(checked_threads(threads))
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def in_chunks(count: int, size: int, threads: int, run: Callable[[int, int], None]) -> None:
    """Call run(begin, end) for chunks of `size` units of 0..count, in up to `threads` threads at once.

    A single chunk runs in the calling thread, because starting a thread takes longer than a search.
    """
    begins = range(0, count, size)
    if threads == 1 or len(begins) <= 1:
        for begin in begins:
            run(begin, min(begin + size, count))
        return
    with thread_pool(threads) as pool:
        list(pool.map(lambda begin: run(begin, min(begin + size, count)), begins))  # until all are done, or one fails


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """In the block, torch computes on one core per thread: in this thread, and in threads that start in the block.

    Afterwards, torch has the caller's number of threads again. If torch is not imported, nothing happens.
    """
    torch = sys.modules.get("torch")
    before = 1 if torch is None else torch.get_num_threads()
    if torch is None or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def checked_threads(threads: int | None) -> int:
    """`threads`, or the number of processors for None. Raises ParameterError for fewer than 1."""
    if threads is None:
        return processors()
    check_whole("threads", threads)
    return int(threads)


def openmp_team(threads: int) -> int:
    """The number of OpenMP threads for work of `threads` threads: 1 in a forked process.

    A forked process does not have the OpenMP threads of its parent, and would wait for them forever.
    """
    return 1 if _forked else threads


def processors() -> int:
    """The number of processors on which this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_processors() -> None:
    """Set, once, the threads of libraries in a process that answers many requests at once.

    torch: one thread per processor, because one batch of texts is encoded at a time. faiss: one thread, because
        searches run in parallel. Applies only to imported libraries.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(processors())
    if faiss := sys.modules.get("faiss"):
        faiss.omp_set_num_threads(1)
