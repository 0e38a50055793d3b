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
    """An executor of that many threads, None for one a processor; on Ctrl-C or an error, jobs not begun are dropped."""
    executor = ThreadPoolExecutor(checked_threads(threads))
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def in_chunks(count: int, size: int, threads: int, run: Callable[[int, int], None]) -> None:
    """Call run(begin, end) for chunks, of a size, of 0..count, in so many threads at once.

    What is one chunk is not given to a thread: to start one takes longer than a search.
    """
    begins = range(0, count, size)
    if threads == 1 or len(begins) <= 1:
        for begin in begins:
            run(begin, min(begin + size, count))
        return
    with thread_pool(threads) as pool:
        list(pool.map(lambda begin: run(begin, min(begin + size, count)), begins))  # to the end, or to the first error


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within, networks compute on one core in each thread: in this one, and in those that begin within.

    The number that torch has for the process is the caller's again afterwards. Nothing happens where torch is not
    loaded.
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
    """`threads`, or as many as there are processors. Raises ParameterError for fewer than 1."""
    if threads is None:
        return processors()
    check_whole("threads", threads)
    return int(threads)


def openmp_team(threads: int) -> int:
    """How many threads OpenMP may use for work of `threads`: 1 in a forked process.

    That process has none of the threads that OpenMP started before, and would wait for them for ever.
    """
    return 1 if _forked else threads


def processors() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_processors() -> None:
    """Set, once, the threads of libraries in a process that answers many requests at once, which processors serve all.

    torch: one a processor, as one batch of texts is encoded at a time. faiss: 1, as searches run side by side. Of those
    that are loaded.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(processors())
    if faiss := sys.modules.get("faiss"):
        faiss.omp_set_num_threads(1)
