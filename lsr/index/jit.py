"""How kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

Kernel = Callable[..., Any]


def allocating(function: Kernel) -> Kernel:
    """Compile a kernel that makes arrays of its own."""
    return njit(cache=True, nogil=True)(function)


def kernel(function: Kernel) -> Kernel:
    """Compile a kernel that allocates nothing.

    It does without reference counts. Handing a tuple of arrays to a function otherwise costs an atomic increment and
    decrement for each array: 50 ns for every document that a search scores, a third of its time.
    """
    return njit(cache=True, nogil=True, _nrt=False)(function)  # type: ignore[call-overload, no-any-return]


def inlined_kernel(function: Kernel) -> Kernel:
    """Likewise, for what runs for every document or block.

    Left to itself LLVM does not inline into large kernels, and a call hands over some hundred words, all arrays' sizes
    and strides: 30 ns for every document that a search visits, half of its time.
    """
    return njit(cache=True, nogil=True, _nrt=False, forceinline=True)(function)  # type: ignore[call-overload, no-any-return]


def summing_kernel(function: Kernel) -> Kernel:
    """Likewise, where the order of additions may change."""
    return njit(cache=True, nogil=True, _nrt=False, fastmath=True, forceinline=True)(function)  # type: ignore[call-overload, no-any-return]
