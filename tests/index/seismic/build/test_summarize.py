"""Summaries: codes of nodes, the energy that is kept of them, and runs of them by component."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.seismic.build.summarize import (
    DENSE,
    ENERGY_BINS,
    MAX_CODE,
    MEAN_SHARE,
    SPARSE_SHARE,
    WINDOW,
    Blocks,
    invert_summaries,
    keep_energy,
    node_codes,
    run_elements,
    run_length,
    summarize_nodes,
)
from lsr.index.seismic.forward import Forward, longest_document
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, make_forward, vectors_and_queries
from tests.naive import summarize as naive
from tests.naive.forward import read_documents
from tests.strategies import from_pairs

both_layouts = pytest.mark.parametrize("compact", [False, True], ids=["fast", "compact"])
both_widths = pytest.mark.parametrize("dtype", [NARROW, WIDE])

ALL_FREQUENT = 1 << 32


# Codes of nodes

MEAN_SHARES = st.one_of(st.sampled_from([0.0, MEAN_SHARE]), st.floats(0, 1))


def check_codes(forward: Forward, begin: int, end: int, mean_share: float) -> None:
    maxima, sums = np.zeros(len(forward.scale), np.uint8), np.zeros(len(forward.scale), np.int64)
    touched = np.empty(len(forward.scale), forward.heads.dtype)
    components, codes16 = np.empty((2, longest_document(begin, end, forward)), np.int64)
    n_touched = node_codes(begin, end, mean_share, forward, components, codes16, maxima, sums, touched)
    expected = naive.node_codes(read_documents(forward)[begin:end], mean_share)
    assert touched[:n_touched].tolist() == list(expected)
    assert {component: code for component, code in enumerate(maxima.tolist()) if code} == expected
    assert not sums.any()


@both_layouts
@both_widths
@given(
    drawn=vectors_and_queries(max_rows=40),
    ends=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    mean_share=MEAN_SHARES,
)
@settings(max_examples=50)
def test_codes(
    drawn: tuple[SparseVectors, SparseVectors],
    ends: tuple[int, int],
    mean_share: float,
    dtype: type[np.unsignedinteger],
    compact: bool,
) -> None:
    vectors, _ = drawn
    begin, end = sorted(min(each, len(vectors)) for each in ends)
    check_codes(make_forward(vectors, dtype, compact)[0], begin, end, mean_share)


@both_layouts
@pytest.mark.parametrize("mean_share", [0.0, MEAN_SHARE])
def test_codes_of_real_vectors(passages: SparseVectors, mean_share: float, compact: bool) -> None:
    forward, _ = make_forward(passages[:40], compact=compact)
    for first in range(0, 40, 8):
        check_codes(forward, first, first + 8, mean_share)


@pytest.mark.parametrize(("mean_share", "codes"), [(0.0, [200, 255]), (0.3, [170, 217]), (1.0, [100, 127])])
def test_codes_between_maximum_and_mean(mean_share: float, codes: list[int]) -> None:
    # Of 200 and nothing the mean is 100; a third document makes 255 the largest weight.
    forward, _ = make_forward(from_pairs([[(0, 200.0)], [(1, 1.0)], [(0, 255.0)]], 2))
    assert list(naive.node_codes(read_documents(forward)[:2], mean_share).values()) == codes
    check_codes(forward, 0, 2, mean_share)


@given(codes=st.lists(st.integers(1, 255), min_size=1, max_size=16), others=st.integers(0, 48))
def test_no_code_is_rounded_to_nothing(codes: list[int], others: int) -> None:
    rows = [[(0, float(code))] for code in codes] + [[(1, 1.0)]] * others + [[(0, 255.0)]]
    forward, _ = make_forward(from_pairs(rows, 2))
    documents = read_documents(forward)[:-1]
    of_node, maxima = (naive.node_codes(documents, share) for share in (MEAN_SHARE, 0.0))
    assert all(1 <= code <= maxima[component] for component, code in of_node.items())
    check_codes(forward, 0, len(documents), MEAN_SHARE)


@both_layouts
@both_widths
def test_longest_document(compact: bool, dtype: type[np.unsignedinteger]) -> None:
    lengths = [0, 1, 16, 17, 90, 40]
    rows = [[(component, 1.0 + component) for component in range(length)] for length in lengths]
    forward, _ = make_forward(from_pairs(rows, 90), dtype, compact)
    for begin, end in ((0, 6), (0, 3), (3, 4), (5, 6), (2, 2), (0, 0)):
        longest = max([0, *(length - forward.head_size for length in lengths[begin:end])])
        assert longest_document(begin, end, forward) == forward.head_size + longest


# Energy


def kept(maxima: dict[int, int], scale: list[float], energy: float, n_frequent: int = ALL_FREQUENT) -> list[int]:
    codes = np.zeros(len(scale), np.uint8)
    codes[list(maxima)] = list(maxima.values())
    out = np.empty(len(scale), NARROW)
    touched = np.array(list(maxima), NARROW)
    bins = np.empty(ENERGY_BINS)
    n_kept = keep_energy(touched, codes, np.array(scale, np.float32), energy, n_frequent, bins, out)
    return out[:n_kept].tolist()


SCALES = st.one_of(st.sampled_from([0.01, 1.0]), st.floats(2.0**-126, 2.0**120, width=32))
ENTRIES = st.lists(st.tuples(st.integers(1, 255), SCALES), min_size=1, max_size=60)
ENERGIES = st.one_of(st.sampled_from([0.5, 1.0]), st.floats(0.001, 1))


@given(entries=ENTRIES, energy=ENERGIES, data=st.data())
@settings(max_examples=300)
def test_energy(entries: list[tuple[int, float]], energy: float, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(entries))))
    maxima = {component: entries[component][0] for component in order}
    scale = [each for _, each in entries]
    chosen = kept(maxima, scale, energy)
    assert chosen == naive.keep_energy(maxima, [np.float32(each) for each in scale], energy, ALL_FREQUENT)

    weights = {component: float(np.float32(scale[component]) * np.float32(maxima[component])) for component in order}
    mass = sum(weights[component] for component in chosen)
    total = sum(weights.values())
    assert mass >= energy * total * (1 - 1e-12)
    # None too many: without the lightest it would not do, up to the width of a bin for each component.
    width = max(weights.values()) / (ENERGY_BINS - 1)
    assert mass - min(weights[component] for component in chosen) <= energy * total + width * (len(chosen) + 1)
    # None too light: what is left out is heavier than nothing that is kept, up to the width of a bin.
    left_out = [weights[component] for component in order if component not in chosen]
    assert max(left_out, default=0) <= min(weights[component] for component in chosen) + width * (1 + 1e-6)


@given(entries=ENTRIES, energy=ENERGIES, n_frequent=st.integers(0, 60))
def test_rare_components_are_all_kept(entries: list[tuple[int, float]], energy: float, n_frequent: int) -> None:
    maxima = {component: code for component, (code, _) in enumerate(entries)}
    scale = [each for _, each in entries]
    chosen = kept(maxima, scale, energy, n_frequent)
    assert chosen == naive.keep_energy(maxima, [np.float32(each) for each in scale], energy, n_frequent)
    without = kept(maxima, scale, energy)
    assert chosen == sorted({*without, *range(n_frequent, len(entries))})


def test_all_energy_keeps_everything() -> None:
    maxima = {component: 1 + component % 255 for component in range(600)}
    assert kept(maxima, [1 / 3] * 600, 1.0) == list(range(600))


@pytest.mark.parametrize("scale", [2.0**-149, 2.0**-126, 1e-36, 1.334e36])
def test_energy_of_weights_of_all_sizes(scale: float) -> None:
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.5) == [0]
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.7) == [0, 1]
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.5, n_frequent=2) == [0, 2]


def test_no_component_with_a_code() -> None:
    assert kept({}, [1.0, 1.0], 0.5) == []


# Runs


@st.composite
def drawn_entries(draw: st.DrawFn) -> list[naive.Entry]:
    """(component, node, code), node after node."""
    node = st.dictionaries(st.one_of(st.integers(0, 5), st.integers(0, 999)), st.integers(1, 255), max_size=20)
    nodes = draw(st.lists(node, max_size=12))
    return [(component, i, code) for i, codes in enumerate(nodes) for component, code in codes.items()]


def columns(entries: list[naive.Entry], dtype: type) -> list[npt.NDArray[np.unsignedinteger]]:
    return [np.array([entry[i] for entry in entries], each) for i, each in enumerate((dtype, np.uint16, np.uint8))]


@both_widths
@given(entries=drawn_entries(), more=st.one_of(st.integers(0, 8), st.integers(0, 100)))
def test_runs(entries: list[naive.Entry], more: int, dtype: type[np.unsignedinteger]) -> None:
    n_nodes = max((node for _, node, _ in entries), default=0) + 1 + more
    starts, stream = invert_summaries(*columns(entries, dtype), 1000, n_nodes)
    assert (starts.dtype, stream.dtype) == (np.uint32, np.uint16)
    assert len(starts) == 1001
    assert (starts[0], starts[-1]) == (0, len(stream))
    assert naive.read_window(starts, stream, n_nodes) == naive.invert_summaries(entries)


@pytest.mark.parametrize("n_nodes", range(1, 20))
@pytest.mark.parametrize("code", [1, 255])
def test_runs_of_the_first_nodes_of_few(n_nodes: int, code: int) -> None:
    # Component c is in the first c nodes: from none to all.
    entries = [(component, node, code) for node in range(n_nodes) for component in range(node + 1, n_nodes + 1)]
    starts, stream = invert_summaries(*columns(entries, NARROW), n_nodes + 1, n_nodes)
    assert naive.read_window(starts, stream, n_nodes) == naive.invert_summaries(entries)
    lengths = [run_length(elements, n_nodes) for elements in np.diff(starts.astype(np.int64))]
    few = n_nodes // SPARSE_SHARE
    assert lengths == [*range(few + 1), *[DENSE] * (n_nodes - few)]


def test_nodes_of_a_full_window() -> None:
    entries = [(component, node, 1 + node % 255) for node in (0, 32_767, 32_768, 65_535) for component in (0, 2)]
    entries += [(1, node, 1 + node % 255) for node in range(WINDOW // SPARSE_SHARE + 1)]
    inverted = naive.invert_summaries(entries)
    starts, stream = invert_summaries(*columns(entries, WIDE), 3, WINDOW)
    assert naive.read_window(starts, stream, WINDOW) == inverted
    assert [run_length(elements, WINDOW) for elements in np.diff(starts.astype(np.int64))] == [4, DENSE, 4]


def test_codes_of_runs() -> None:
    starts, stream = invert_summaries(*columns([(0, node, node + 1) for node in range(255)], NARROW), 1, 255)
    codes = dict(naive.read_window(starts, stream, 255)[0])
    assert set(codes.values()) == set(range(1, MAX_CODE + 1))
    # Off by half a step at most, but for the lightest.
    assert max(abs(17 * codes[code - 1] - code) for code in range(9, 256)) == 8
    assert {codes[code - 1] for code in range(1, 9)} == {1}


@given(
    st.one_of(st.integers(1, 100), st.integers(1, WINDOW)).flatmap(
        lambda n_nodes: st.tuples(st.integers(0, n_nodes), st.just(n_nodes))
    )
)
def test_lengths_of_runs(run: tuple[int, int]) -> None:
    length, n_nodes = run
    elements = run_elements(length, n_nodes)
    if length <= n_nodes // SPARSE_SHARE:
        assert 2 * elements >= 2 * length + length  # bytes
        assert run_length(elements, n_nodes) == length  # which is how long it is when it is read
    else:
        assert 2 * elements >= (n_nodes + 1) // 2
        assert run_length(elements, n_nodes) == DENSE


# Nodes


def check_nodes(forward: Forward, span: int, mean_share: float, energy: float, n_frequent: int) -> None:
    documents = read_documents(forward)
    nodes = [documents[begin : begin + span] for begin in range(0, len(documents), span)]
    expected = naive.summarize_nodes(nodes, mean_share, list(forward.scale), energy, n_frequent)
    # All, then in two parts, and then as if a window began with the second.
    half = len(nodes) // 2
    for first, last, window in ((0, len(nodes), 0), (0, half, 0), (half, len(nodes), 0), (half, len(nodes), half)):
        arrays = summarize_nodes(first, last, window, span, mean_share, forward, energy, n_frequent)
        assert [array.dtype for array in arrays] == [forward.heads.dtype, np.uint16, np.uint8]
        found = zip(*(array.tolist() for array in arrays), strict=True)
        assert list(found) == [(c, node - window, code) for c, node, code in expected if first <= node < last]
        starts, stream = invert_summaries(*arrays, len(forward.scale), last - window)
        entries = [(c, node - window, code) for c, node, code in expected if first <= node < last]
        assert naive.read_window(starts, stream, last - window) == naive.invert_summaries(entries)


@both_layouts
@both_widths
@given(
    drawn=vectors_and_queries(),
    span=st.one_of(st.integers(1, 300), st.sampled_from([4, 16])),
    mean_share=st.sampled_from([0.0, MEAN_SHARE]),
    energy=st.sampled_from([0.1, 0.5, 1.0]),
    n_frequent=st.sampled_from([0, 20, ALL_FREQUENT]),
)
@settings(max_examples=40)
def test_nodes(
    drawn: tuple[SparseVectors, SparseVectors],
    span: int,
    mean_share: float,
    energy: float,
    n_frequent: int,
    dtype: type[np.unsignedinteger],
    compact: bool,
) -> None:
    check_nodes(make_forward(drawn[0], dtype, compact)[0], span, mean_share, energy, n_frequent)


@pytest.mark.parametrize("span", [1, 16, 30, 400])
def test_nodes_of_real_vectors(passages: SparseVectors, span: int) -> None:
    forward, _ = make_forward(passages[:400])
    check_nodes(forward, span, MEAN_SHARE, 0.5, 300)


def test_more_entries_than_expected() -> None:
    # Much longer than the 64 components a node for which there is room at first.
    rng = np.random.default_rng(1)
    lengths = [5000, 1, 4000, 3000]
    rows = [np.sort(rng.choice(6000, length, replace=False)) for length in lengths]
    vectors = SparseVectors(np.cumsum([0, *lengths]), np.concatenate(rows), rng.random(12_001) + 0.1, 6000)
    check_nodes(make_forward(vectors)[0], 1, 0.0, 1.0, ALL_FREQUENT)


@pytest.mark.parametrize("weight", [2.0**-149, 1e-40, 1e-38, 1e-36, float(np.finfo(np.float32).max)])
@pytest.mark.parametrize("mean_share", [0.0, MEAN_SHARE])
def test_nodes_of_weights_of_all_sizes(weight: float, mean_share: float) -> None:
    rows = [[(row % 3, weight), (5, weight), (6, weight / 2)] for row in range(90)]
    forward, _ = make_forward(from_pairs(rows, 7))
    check_nodes(forward, 30, mean_share, 0.5, ALL_FREQUENT)


# What nodes are of


@pytest.mark.parametrize("documents", [0, 1, 11, 12, 13, 25])
@pytest.mark.parametrize("pages", [0, 1024])
def test_number_of_nodes(documents: int, pages: int) -> None:
    rows = np.arange(documents, dtype=np.uint32)
    none = np.zeros(1, np.int64), np.empty(0, np.uint32), np.empty(0, np.uint16)
    blocks = Blocks.of([rows, rows, *none, np.zeros(pages, np.uint8)], 3, 0)
    assert blocks.span == (12 if pages else 3)
    assert blocks.nodes == -(-documents // blocks.span)
