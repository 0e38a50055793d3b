"""What accelerate keeps for the whole process, set aside while a training has settings of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate.state import AcceleratorState, GradientState, PartialState


@contextmanager
def own_accelerate_state() -> Iterator[None]:
    """Within, accelerate knows nothing of what the process did with it before; afterwards it knows that alone.

    It keeps device, precision and accumulation for the whole process, as its first Accelerator settles them, and has no
    public way to begin anew. A second training could not have another precision, and the program that calls us would
    find our settings in place of its own. Nothing else touches these private dictionaries.
    """
    states = [kind._shared_state for kind in (PartialState, AcceleratorState, GradientState)]
    kept = [dict(state) for state in states]
    for state in states:
        state.clear()
    try:
        yield
    finally:
        for state, before in zip(states, kept, strict=True):
            state.clear()
            state.update(before)
