"""Compiling kernels, and caching them on disk if possible."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, InTreeCacheLocator
from numba.core.runtime import rtsys  # type: ignore[attr-defined]

Kernel = Callable[..., Any]

# Numba numbers the functions that a process compiles, from 1, and uses the numbers in symbol names. If a process loads
# kernels that two other processes compiled, one could call a function of the other with the same name: np.argsort was
# executed as np.sort. Numbers with a random start do not collide.
FunctionIdentity._unique_ids = count(int.from_bytes(os.urandom(6), "little"))


def allocating(function: Kernel) -> Kernel:
    """Compile a kernel that allocates arrays."""
    return _compiled(function)


def kernel(function: Kernel) -> Kernel:
    """Compile a kernel that allocates nothing.

    It has no reference counts (_nrt is a private flag of Numba). With them, passing a tuple of arrays to a function
    costs an atomic increment and decrement per array: 50 ns for every scored document, a third of its time.
    """
    return _compiled(function, _nrt=False)


def inlined_kernel(function: Kernel) -> Kernel:
    """Compile a kernel that is inlined, for code that runs for every document or block.

    LLVM by itself does not inline into large kernels, and a call passes some hundred words, the sizes and strides of
    all arrays: 30 ns for every visited document, half of its time.
    """
    return _compiled(function, _nrt=False, forceinline=True)


def summing_kernel(function: Kernel) -> Kernel:
    """Compile a kernel in which the order of additions may change."""
    return _compiled(function, _nrt=False, fastmath=True, forceinline=True)


class _ReadOnlyLocator(InTreeCacheLocator):
    """The cache folder next to the module if it is not writable. An installation may have put kernels there."""

    def ensure_cache_path(self) -> None:
        pass


class _Files(CompileResultCacheImpl):
    _locator_classes = [*CompileResultCacheImpl._locator_classes, _ReadOnlyLocator]  # noqa: RUF012 (as in Numba)


class _Overloads(IndexDataCacheFile):
    """Numba's files of compiled kernels, each with its key.

    Two processes that compile a kernel for different types at the same time can give their files the same name. One of
    them would then run code compiled for the types of the other.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))  # type: ignore[no-untyped-call]

    def load(self, key: Any) -> Any:
        stored = super().load(key)  # type: ignore[no-untyped-call]
        return stored[1] if stored is not None and stored[0] == key else None


@cache
def _sources() -> tuple[tuple[str, int, int], ...]:
    """Names, times and sizes of all files with kernels. Numba checks a kernel's own file, not those of its callees."""
    package = Path(__file__).resolve().parents[1]
    paths = [*(package / "index").rglob("*.py"), package / "retrieval" / "feedback_kernels.py"]
    found = [(path.relative_to(package).as_posix(), path.stat()) for path in sorted(paths)]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)


class _KernelCache(FunctionCache):
    """Numba's cache, without errors: unreadable kernels are compiled again, and unwritable ones are not cached."""

    _impl_class = _Files
    _told = False

    def __init__(self, function: Kernel, counting: bool) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = self._impl.locator.get_source_stamp(), _sources()
        self._cache_file = _Overloads(self._cache_path, self._impl.filename_base, stamp)  # type: ignore[no-untyped-call]
        self._counting = counting

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Numba would first import the compiler, and scipy with it: 0.4 s per process. Cached kernels need at most its
        # functions for reference counts.
        try:
            if self._counting:
                rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # any error of unpickling a damaged file
            with suppress(OSError):  # otherwise nothing could be added to the damaged file
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:  # OSError, and errors of a damaged file
            if not _KernelCache._told:
                _KernelCache._told = True
                _LOG.warning(
                    "lsr: every process compiles the kernels, because %s cannot be written (%s); set NUMBA_CACHE_DIR "
                    "to a writable folder",
                    self.cache_path,
                    error.strerror if isinstance(error, OSError) else repr(error),
                )


# Without handlers of the program, logging prints only the message, as one line on standard error.
_LOG = logging.getLogger(__name__)


def _compiled(function: Kernel, **flags: bool) -> Kernel:
    dispatcher = njit(nogil=True, **flags)(function)  # type: ignore[call-overload]
    # As cache=True does with Numba's own class.
    dispatcher._cache = _KernelCache(function, flags.get("_nrt", True))
    return dispatcher  # type: ignore[no-any-return]
