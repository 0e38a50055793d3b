"""Twins of lsr/index/summarize.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lsr.index.summarize import LONG_LIST, MIN_RUN, MIN_RUN_LONG
from tests.naive.forward import Document, split_code

Runs = dict[int, list[tuple[int, int]]]


def block_maxima(members: Sequence[int], documents: Sequence[Document]) -> dict[int, int]:
    """{component: largest code}, above zero, in the order in which the components are met."""
    maxima: dict[int, int] = {}
    for member in members:
        for component, code16 in documents[member]:
            code = split_code(code16)[0]
            if code > maxima.get(component, 0):
                maxima[component] = code
    return maxima


def keep_energy(maxima: Mapping[int, int], scale: Sequence[np.float32], energy: float) -> list[int]:
    """The components of the heaviest bins of weight, until they hold `energy` of the mass; in the order of `maxima`."""
    weights = {component: scale[component] * np.float32(code) for component, code in maxima.items()}
    heaviest = max(weights.values(), default=np.float32(0))
    bins: dict[int, list[int]] = defaultdict(list)
    for component, weight in weights.items():
        bins[int(float(weight) * (1023 / float(heaviest)))].append(component)
    missing = energy * _mass(weights, weights)
    kept: list[int] = []
    for at in sorted(bins, reverse=True):
        mass = _mass(weights, bins[at])
        if mass < missing and at > 0:
            kept += bins[at]
            missing -= mass
            continue
        for component in bins[at]:
            if missing > 0:
                kept.append(component)
                missing -= float(weights[component])
        break
    return [component for component in maxima if component in set(kept)]


def _mass(weights: Mapping[int, np.float32], components: Iterable[int]) -> float:
    mass = 0.0
    for component in components:  # one by one, because sum() rounds less from Python 3.12 on
        mass += float(weights[component])
    return mass


def slot_of(component: int, n_slots: int) -> int:
    """The hash's 32 bits, taken as a fraction of the number of slots."""
    return (component * 2654435769 % (1 << 32)) * n_slots // (1 << 32)


def find_slot(keys: Sequence[int], component: int, empty: int) -> int:
    """Linear probing from the first slot."""
    slot = slot_of(component, len(keys))
    while keys[slot] not in (component, empty):
        slot = (slot + 1) % len(keys)
    return slot


def directory(entries: Sequence[tuple[int, int, int]], min_run: int) -> Runs:
    """{component: [(block, code)]} of (component, block, code), without components of fewer than `min_run` entries."""
    runs: Runs = defaultdict(list)
    for component, block, code in entries:
        runs[component].append((block, code))
    return {component: run for component, run in runs.items() if len(run) >= min_run}


def summarize_list(
    blocks: Sequence[Sequence[int]], documents: Sequence[Document], scale: Sequence[np.float32], energy: float
) -> Runs:
    """The summaries of one list's blocks, by component."""
    entries = []
    for block, members in enumerate(blocks):
        maxima = block_maxima(members, documents)
        entries += [(component, block, maxima[component]) for component in keep_energy(maxima, scale, energy)]
    return directory(entries, MIN_RUN_LONG if len(blocks) >= LONG_LIST else MIN_RUN)
