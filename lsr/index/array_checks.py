"""Checks of the arrays of an index when it is opened, because kernels check nothing."""

from __future__ import annotations

from collections.abc import Callable

from lsr.storage.arrays import Array
from lsr.threads import processors, thread_pool

AT_ONCE = 1 << 14  # elements, so that NumPy's temporary arrays stay in the processor's caches
MOST_THREADS = 2  # more threads do not read memory faster


def everywhere(holds: Callable[[int, int], bool], size: int) -> bool:
    """Whether holds(begin, end) for all ranges that cover `size` elements. Two threads check large arrays."""
    begins = range(0, size, AT_ONCE)

    def part(first: int) -> bool:
        return all(holds(begin, min(begin + AT_ONCE, size)) for begin in begins[first::threads])

    threads = min(MOST_THREADS, processors()) if len(begins) > MOST_THREADS else 1
    if threads == 1:
        return part(0)
    with thread_pool(threads) as executor:
        return all(executor.map(part, range(threads)))


def rises(array: Array, last: int, strictly: bool = False) -> bool:
    """Whether an array begins with 0, ends with `last` and does not decrease; strictly: increases."""
    if not len(array) or array[0] != 0 or int(array[-1]) != last:
        return False

    def holds(begin: int, end: int) -> bool:
        before, after = array[begin:end], array[begin + 1 : end + 1]
        return bool((after > before if strictly else after >= before).all())

    return everywhere(holds, len(array) - 1)
