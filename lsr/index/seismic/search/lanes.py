"""Operations of kernels that Numba lacks, in portable LLVM code."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lsr.index.jit import Kernel

LANES = 32  # elements that are compared at once, and bits of the result


def _compared(comparison: str, element: Any) -> Any:
    """An intrinsic that compares LANES elements of an array, from an index, with a value."""

    def compare(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            vector, i32 = ir.VectorType(ir.IntType(element.bitwidth), LANES), ir.IntType(32)
            nothing = ir.Constant(vector, ir.Undefined)
            address = builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())
            elements = builder.load(address, align=1)
            first = builder.insert_element(nothing, arguments[2], ir.Constant(i32, 0))
            everywhere = ir.Constant(ir.VectorType(i32, LANES), [0] * LANES)
            values = builder.shuffle_vector(first, nothing, everywhere)
            return builder.bitcast(builder.icmp_unsigned(comparison, elements, values), i32)

        return types.uint32(array, types.intp, element), generate

    return compare


def _of_bits(operation: str) -> Any:
    """An intrinsic of the bits of a uint32."""

    def of_bits(typing_context: Any, bits: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if operation == "count":
                return builder.ctpop(arguments[0])
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.uint32(types.uint32), generate

    return of_bits


# equal_lanes(uint8 array, index, value): bit i of the uint32 says whether array[index + i] == value.
equal_lanes: Kernel = intrinsic(_compared("==", types.uint8))

# reaching_lanes(uint16 array, index, value): bit i of the uint32 says whether array[index + i] >= value.
reaching_lanes: Kernel = intrinsic(_compared(">=", types.uint16))

# count_bits(uint32): how many bits are set. lowest_bit(uint32): the number of the lowest one, or 32 if there is none.
count_bits: Kernel = intrinsic(_of_bits("count"))
lowest_bit: Kernel = intrinsic(_of_bits("lowest"))
