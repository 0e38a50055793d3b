"""Twins of lsr/index/seismic/build/summarize.py."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lsr.index.seismic.build.summarize import ENERGY_BINS, SPARSE_SHARE, STEP, WINDOW, Blocks
from tests.naive.forward import Document, split_code

Entry = tuple[int, int, int]  # component, node, code of 1 to 255
Runs = dict[int, list[tuple[int, int]]]  # of each component the (node, code of 1 to 15) of its entries


def node_codes(documents: Sequence[Document], mean_share: float) -> dict[int, int]:
    """{component: code}, above zero, in the order in which the components are met: between the maximum and the mean."""
    codes: dict[int, list[int]] = defaultdict(list)
    for document in documents:
        for component, code16 in document:
            codes[component].append(max(1, split_code(code16)[0]))
    return {component: _toward_mean(each, len(documents), mean_share) for component, each in codes.items()}


def _toward_mean(codes: Sequence[int], n: int, mean_share: float) -> int:
    below = mean_share * (max(codes) - sum(codes) / n)
    return max(codes) - math.floor(below + 0.5)


def keep_energy(maxima: Mapping[int, int], scale: Sequence[np.float32], energy: float, n_frequent: int) -> list[int]:
    """The components of the heaviest bins of weight, until they hold `energy` of the mass, and all that are rare.

    In the order of `maxima`.
    """
    weights = {component: scale[component] * np.float32(code) for component, code in maxima.items()}
    heaviest = max(weights.values(), default=np.float32(0))
    bins: dict[int, list[int]] = defaultdict(list)
    for component, weight in weights.items():
        bins[int(float(weight) * ((ENERGY_BINS - 1) / float(heaviest)))].append(component)
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
    return [component for component in maxima if component in set(kept) or component >= n_frequent]


def _mass(weights: Mapping[int, np.float32], components: Iterable[int]) -> float:
    mass = 0.0
    for component in components:  # one by one, because sum() rounds less from Python 3.12 on
        mass += float(weights[component])
    return mass


def summarize_nodes(
    nodes: Sequence[Sequence[Document]],
    mean_share: float,
    scale: Sequence[np.float32],
    energy: float,
    n_frequent: int,
) -> list[Entry]:
    """What the summaries of nodes keep, node by node."""
    entries = []
    for node, documents in enumerate(nodes):
        codes = node_codes(documents, mean_share)
        entries += [(each, node, codes[each]) for each in keep_energy(codes, scale, energy, n_frequent)]
    return entries


def invert_summaries(entries: Iterable[Entry]) -> Runs:
    """The entries by component, their codes rounded to 17ths, none to zero."""
    runs: Runs = defaultdict(list)
    for component, node, code in entries:
        runs[component].append((node, max(1, math.floor(code / STEP + 0.5))))
    return dict(runs)


def read_window(starts: npt.NDArray[np.uint32], stream: npt.NDArray[np.uint16], n_nodes: int) -> Runs:
    """What the arrays of a window of so many nodes hold: of few nodes numbers and codes, of many a code for each."""
    runs: Runs = {}
    for component, (begin, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        longest = n_nodes // SPARSE_SHARE
        if end - begin <= math.ceil(1.5 * longest):
            length = math.floor((end - begin) / 1.5)
            codes = stream[begin + length : end].tobytes()[:length]
            run = list(zip(stream[begin : begin + length].tolist(), codes, strict=True))
        else:
            text = stream[begin:end].tobytes()[: math.ceil(n_nodes / 2)]
            of_all = [byte % 16 for byte in text] + [byte // 16 for byte in text]
            assert not any(of_all[n_nodes:])
            run = [(node, code) for node, code in enumerate(of_all) if code]
        if run:
            runs[component] = run
    return runs


def read_runs(blocks: Blocks) -> Runs:
    """What all windows hold; nodes are numbered through."""
    runs: Runs = defaultdict(list)
    n_windows = len(blocks.windows) - 1
    for window, starts in enumerate(blocks.starts.reshape(n_windows, -1) if n_windows else []):
        begin, end = blocks.windows[window : window + 2]
        size = min(blocks.nodes - window * WINDOW, WINDOW)
        for component, run in read_window(starts, blocks.stream[begin:end], size).items():
            runs[component] += [(window * WINDOW + node, code) for node, code in run]
    return dict(runs)
