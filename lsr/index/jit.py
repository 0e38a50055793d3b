"""How kernels are compiled, and kept on disk where that is possible."""

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

# Numba numbers the functions that a process compiles, from 1, and names what it compiles by these numbers. Kernels that
# two processes compiled, and a third one loads, may then call each other's sorts, say, by the same name: np.argsort did
# what np.sort does. Numbers that begin anywhere do not meet.
FunctionIdentity._unique_ids = count(int.from_bytes(os.urandom(6), "little"))


def allocating(function: Kernel) -> Kernel:
    """Compile a kernel that makes arrays of its own."""
    return _compiled(function)


def kernel(function: Kernel) -> Kernel:
    """Compile a kernel that allocates nothing.

    It does without reference counts (_nrt is a private flag of Numba's). Handing a tuple of arrays to a function
    otherwise costs an atomic increment and decrement for each array: 50 ns for every document that a search scores, a
    third of its time.
    """
    return _compiled(function, _nrt=False)


def inlined_kernel(function: Kernel) -> Kernel:
    """Likewise, for what runs for every document or block.

    Left to itself LLVM does not inline into large kernels, and a call hands over some hundred words, all arrays' sizes
    and strides: 30 ns for every document that a search visits, half of its time.
    """
    return _compiled(function, _nrt=False, forceinline=True)


def summing_kernel(function: Kernel) -> Kernel:
    """Likewise, where the order of additions may change."""
    return _compiled(function, _nrt=False, fastmath=True, forceinline=True)


class _ReadOnlyLocator(InTreeCacheLocator):
    """The folder beside the module, where nothing can be written, but an installation may have left kernels."""

    def ensure_cache_path(self) -> None:
        pass


class _Files(CompileResultCacheImpl):
    _locator_classes = [*CompileResultCacheImpl._locator_classes, _ReadOnlyLocator]  # noqa: RUF012 (as in Numba)


class _Overloads(IndexDataCacheFile):
    """Numba's files of compiled kernels, each with the key of what it holds.

    Two processes that compile a kernel for different types at once may give what they write the same name: one would
    then run what was compiled for the types of the other.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))  # type: ignore[no-untyped-call]

    def load(self, key: Any) -> Any:
        stored = super().load(key)  # type: ignore[no-untyped-call]
        return stored[1] if stored is not None and stored[0] == key else None


@cache
def _sources() -> tuple[tuple[str, int, int], ...]:
    """Names, times and sizes of the files that have kernels: Numba looks at a kernel's own, not at what it calls."""
    package = Path(__file__).resolve().parents[1]
    paths = [*(package / "index").rglob("*.py"), package / "retrieval" / "feedback_kernels.py"]
    found = [(path.relative_to(package).as_posix(), path.stat()) for path in sorted(paths)]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)


class _KernelCache(FunctionCache):
    """Numba's cache, which stops no kernel: what it cannot read is compiled again, what it cannot write is not kept."""

    _impl_class = _Files
    _told = False

    def __init__(self, function: Kernel, counting: bool) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = self._impl.locator.get_source_stamp(), _sources()
        self._cache_file = _Overloads(self._cache_path, self._impl.filename_base, stamp)  # type: ignore[no-untyped-call]
        self._counting = counting

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Numba would first load all that compiling takes, and scipy with it: 0.4 s for each process. What is compiled
        # already needs functions that count references, if it does.
        try:
            if self._counting:
                rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # whatever unpickling a damaged file raises
            with suppress(OSError):  # or nothing could be added to what is damaged
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:  # OSError, and again what a damaged file raises
            if not _KernelCache._told:
                _KernelCache._told = True
                _LOG.warning(
                    "lsr: kernels are compiled anew by every process, because %s cannot be written (%s); let "
                    "NUMBA_CACHE_DIR name a folder that can",
                    self.cache_path,
                    error.strerror if isinstance(error, OSError) else repr(error),
                )


# Without handlers of the program's own, logging prints the message alone, as one line on standard error.
_LOG = logging.getLogger(__name__)


def _compiled(function: Kernel, **flags: bool) -> Kernel:
    dispatcher = njit(nogil=True, **flags)(function)  # type: ignore[call-overload]
    # What cache=True does, with Numba's own class.
    dispatcher._cache = _KernelCache(function, flags.get("_nrt", True))
    return dispatcher  # type: ignore[no-any-return]
