"""The clock of kernels, by which a search stops at its deadline."""

from __future__ import annotations

import time
from typing import Any

from numba import types
from numba.extending import intrinsic

from lsr.index.jit import Kernel

NEVER = (1 << 63) - 1


def now() -> int:
    """Nanoseconds of a monotonic clock."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def _kernel_now(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir  # compiled kernels do not need it
        from numba.core import cgutils

        long, whole = ir.IntType(64), ir.IntType(32)
        read_at = cgutils.alloca_once(builder, ir.ArrayType(long, 2))  # type: ignore[no-untyped-call]  # a timespec
        reads = ir.FunctionType(whole, [whole, read_at.type])
        function = cgutils.get_or_insert_function(builder.module, reads, "clock_gettime")  # type: ignore[no-untyped-call]
        builder.call(function, [ir.Constant(whole, time.CLOCK_MONOTONIC), read_at])
        read = builder.load(read_at)
        seconds = builder.mul(builder.extract_value(read, 0), ir.Constant(long, 1_000_000_000))
        return builder.add(seconds, builder.extract_value(read, 1))

    return types.int64(), generate


# kernel_now(): now() for kernels, in 30 ns.
kernel_now: Kernel = intrinsic(_kernel_now)
