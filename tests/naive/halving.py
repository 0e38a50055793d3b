"""Twins of lsr/index/seismic/build/halving.py: rows are lists, sketches lists of (component, weight), heaviest first.

Products are added up as 32-bit floats and in the same order, or ties would differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.halving import CANDIDATES, ROUNDS, WINDOW_BLOCKS
from tests.naive.cluster import Sketch, next_random, of_unit_length

Line = Mapping[int, np.float32]


def line_of(documents: Sequence[tuple[Sketch, np.float32]]) -> Line:
    """The sum of some sketches, each times a factor."""
    line: dict[int, np.float32] = defaultdict(np.float32)
    for sketch, factor in documents:
        for component, weight in sketch:
            line[component] += factor * weight
    return line


def product_with(sketch: Sketch, line: Line) -> np.float32:
    """Inner product."""
    score = np.float32(0)
    for component, weight in sketch:
        score += line.get(component, np.float32(0)) * weight
    return score


def first_line(documents: Sequence[Sketch], random: Iterator[int]) -> Line:
    """One at random, minus the first of those that are least like it among some others."""
    one = documents[next(random) % len(documents)]
    candidates = [documents[next(random) % len(documents)] for _ in range(CANDIDATES)]
    least = min(candidates, key=lambda each: product_with(each, line_of([(one, np.float32(1))])))
    return line_of([(one, np.float32(1)), (least, np.float32(-1))])


def means_line(left: Sequence[Sketch], right: Sequence[Sketch]) -> Line:
    """The mean of some, minus that of others."""
    plus, minus = np.float32(1 / len(left)), np.float32(-1 / len(right))
    return line_of([*((each, plus) for each in left), *((each, minus) for each in right)])


def part(scores: Sequence[np.float32], half: int) -> tuple[list[int], list[int]]:
    """The positions of the `half` largest scores, of equal ones the first, and of the others, either rising."""
    best_first = sorted(range(len(scores)), key=lambda at: -scores[at])
    return sorted(best_first[:half]), sorted(best_first[half:])


def size_of_half(n: int, block_size: int) -> int:
    """The largest power of two of blocks that is less than all."""
    return max(block_size << doublings for doublings in range(n.bit_length()) if block_size << doublings < n)


def halve(rows: Sequence[int], sketches: Sequence[Sketch], block_size: int, random: Iterator[int]) -> list[int]:
    """The rows of one window in their new order; `sketches` have unit length."""
    if len(rows) <= block_size:
        return list(rows)
    half = size_of_half(len(rows), block_size)
    line, order = first_line([sketches[row] for row in rows], random), list(rows)
    for turn in range(ROUNDS):
        if turn:
            line = means_line(*([sketches[row] for row in side] for side in (order[:half], order[half:])))
        left, right = part([product_with(sketches[row], line) for row in order], half)
        order = [order[at] for at in left + right]
    return halve(order[:half], sketches, block_size, random) + halve(order[half:], sketches, block_size, random)


def halve_windows(rows: Sequence[int], sketches: Sequence[Sketch], config: IndexConfig) -> list[int]:
    """All rows, window by window."""
    units, size = [of_unit_length(sketch) if sketch else [] for sketch in sketches], WINDOW_BLOCKS * config.block_size
    bounds = [*range(0, len(rows), size), len(rows)]
    order = []
    for number, (begin, end) in enumerate(pairwise(bounds)):
        order += halve(rows[begin:end], units, config.block_size, next_random((config.seed << 32) + number))
    return order
