"""What opening an index asks of its arrays, so that kernels, which check nothing, stay inside them."""

from __future__ import annotations

from collections.abc import Callable

from lsr.storage.arrays import Array
from lsr.threads import processors, thread_pool

AT_ONCE = 1 << 14  # elements, so that what NumPy makes of them stays in the processor's caches
MOST_THREADS = 2  # memory is no quicker for more


def everywhere(holds: Callable[[int, int], bool], size: int) -> bool:
    """Whether holds(begin, end) for all ranges of a few elements of `size`; large arrays are read by two threads."""
    begins = range(0, size, AT_ONCE)

    def part(first: int) -> bool:
        return all(holds(begin, min(begin + AT_ONCE, size)) for begin in begins[first::threads])

    threads = min(MOST_THREADS, processors()) if len(begins) > MOST_THREADS else 1
    if threads == 1:
        return part(0)
    with thread_pool(threads) as executor:
        return all(executor.map(part, range(threads)))


def rises(array: Array, last: int, strictly: bool = False) -> bool:
    """Whether an array of numbers leads from 0 to `last` without ever falling, or, strictly, staying the same."""
    if not len(array) or array[0] != 0 or int(array[-1]) != last:
        return False

    def holds(begin: int, end: int) -> bool:
        before, after = array[begin:end], array[begin + 1 : end + 1]
        return bool((after > before if strictly else after >= before).all())

    return everywhere(holds, len(array) - 1)
