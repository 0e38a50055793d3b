"""Twins of lsr/index/seismic/forward.py: a document is two lists of (internal component, 16-bit code).

In the compact layout the low byte of every code is zero, and tails are in the order of components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from lsr.index.seismic import forward as real
from lsr.vectors.sparse_vectors import SparseVectors

Row = list[tuple[int, np.float32]]


@dataclass
class Document:
    """(component, code16) by falling weight: the heaviest in the head, the rest in the tail. Codes above zero only."""

    head: list[tuple[int, int]] = field(default_factory=list)
    tail: list[tuple[int, int]] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.head + self.tail)


def split_code(code16: int) -> tuple[int, int]:
    """The rounded high byte, halves upwards, and the residual that makes it whole again."""
    code = (code16 + 128) // 256
    return code, code16 - 256 * code


def count_components(vectors: SparseVectors) -> list[int]:
    """External components by falling document frequency, equal ones by number."""
    frequency = Counter(vectors.indices.tolist())
    return sorted(frequency, key=lambda component: (-frequency[component], component))


def internal_rows(vectors: SparseVectors, external: Sequence[int]) -> list[Row]:
    """Each row's (internal component, weight), in the order of the external components."""
    internal = {component: i for i, component in enumerate(external)}
    rows = []
    for i in range(len(vectors)):
        components, weights = vectors.row(i)
        rows.append([(internal[c], w) for c, w in zip(components.tolist(), weights, strict=True)])
    return rows


def scales(rows: Sequence[Row], n_components: int) -> list[np.float32]:
    """The weight of one unit of code: the component's largest weight is 255 of them."""
    maxima = [np.float32(0)] * n_components
    for row in rows:
        for component, weight in row:
            maxima[component] = max(maxima[component], weight)
    smallest = np.finfo(np.float32).tiny
    return [max(maximum * np.float32(256 / 65280), smallest) for maximum in maxima]


def quantize(row: Row, scale: Sequence[np.float32]) -> list[tuple[int, int]]:
    """(component, code16) by falling weight, equal weights by external component; zero codes included."""
    heaviest_first = sorted(row, key=lambda pair: -pair[1])
    return [(c, round(float(w) * 256 / float(scale[c]))) for c, w in heaviest_first]


def rounded(codes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same with what the compact layout keeps of the codes."""
    return [(component, 256 * split_code(code16)[0]) for component, code16 in codes]


def fill_forward(rows: Sequence[Row], scale: Sequence[np.float32], head_size: int, compact: bool) -> list[Document]:
    """Quantized documents, cut into head and tail."""
    documents = []
    for row in rows:
        codes = quantize(row, scale)
        head, tail = codes[:head_size], codes[head_size:]
        if compact:
            head, tail = rounded(head), sorted(rounded(tail))
        documents.append(Document([pair for pair in head if pair[1] > 0], [pair for pair in tail if pair[1] > 0]))
    return documents


def write_distance(distance: int) -> bytes:
    """Seven bits a byte, the lowest first; 128 more in all bytes but the last."""
    low, more = distance % 128, distance // 128
    return bytes([128 + low]) + write_distance(more) if more else bytes([low])


def read_distance(text: bytes) -> tuple[int, bytes]:
    """A distance, and what stands behind it."""
    if text[0] < 128:
        return text[0], text[1:]
    more, rest = read_distance(text[1:])
    return text[0] - 128 + 128 * more, rest


def lay_out(
    rows: Sequence[Row], scale: Sequence[np.float32], head_size: int, itemsize: int, compact: bool
) -> tuple[list[bytes], bytes]:
    """(each row of `heads`, `tails`), byte by byte as the head of forward.py describes them."""
    line = -(-(head_size * (itemsize + 1) + 8) // 64) * 64
    heads, tails = [], b""
    for row in rows:
        codes = quantize(row, scale)
        head, tail = codes[:head_size] + [(0, 0)] * (head_size - len(codes)), codes[head_size:]
        if compact:
            tail = sorted(tail)
        start = len(tails) if compact else len(tails) // itemsize
        head_components, head_codes, head_residuals = _columns(head, itemsize)
        tail_components, tail_codes, tail_residuals = _columns(tail, itemsize)
        meta = (start << 24 | len(tail)).to_bytes(8, "little")
        heads.append((head_components + head_codes + meta).ljust(line, b"\0"))
        if compact:
            numbers = [component for component, _ in tail]
            tails += tail_codes + b"".join(write_distance(b - a) for a, b in pairwise([0, *numbers]))
        else:
            tails += tail_components + tail_codes + head_residuals + tail_residuals
            tails += b"\0" * (-len(tails) % itemsize)
    return heads, tails


def _columns(codes: Sequence[tuple[int, int]], itemsize: int) -> tuple[bytes, bytes, bytes]:
    return (
        b"".join(component.to_bytes(itemsize, "little") for component, _ in codes),
        bytes(split_code(code16)[0] for _, code16 in codes),
        b"".join(split_code(code16)[1].to_bytes(1, "little", signed=True) for _, code16 in codes),
    )


def read_documents(forward: real.Forward) -> list[Document]:
    """The documents that the real arrays hold."""
    itemsize, size = forward.heads.itemsize, forward.head_size
    read_tail = _read_compact_tail if forward.tails.itemsize == 1 else _read_tail
    documents = []
    for row in range(len(forward.heads)):
        head = forward.heads[row].tobytes()
        components_end, codes_end = size * itemsize, size * (itemsize + 1)
        meta = int.from_bytes(head[codes_end : codes_end + 8], "little")
        tail_components, tail_codes, residuals = read_tail(forward, meta >> 24, meta % (1 << 24))
        components = _numbers(head[:components_end], itemsize) + tail_components
        codes = head[components_end:codes_end] + tail_codes
        code16 = [256 * code + residual for code, residual in zip(codes, residuals, strict=True)]
        pairs = list(zip(components, code16, strict=True))
        documents.append(Document([p for p in pairs[:size] if p[1]], [p for p in pairs[size:] if p[1]]))
    return documents


def _read_tail(forward: real.Forward, start: int, length: int) -> tuple[list[int], bytes, list[int]]:
    """(components of the tail, their codes, residuals of head and tail)."""
    itemsize, size = forward.heads.itemsize, forward.head_size
    text = forward.tails[start:][: 3 * length + size].tobytes()
    codes_at, residuals_at = length * itemsize, length * (itemsize + 1)
    residuals = np.frombuffer(text[residuals_at : residuals_at + size + length], np.int8).tolist()
    return _numbers(text[:codes_at], itemsize), text[codes_at:residuals_at], residuals


def _read_compact_tail(forward: real.Forward, start: int, length: int) -> tuple[list[int], bytes, list[int]]:
    text = forward.tails[start:][: 6 * length].tobytes()
    components, rest, component = [], text[length:], 0
    for _ in range(length):
        distance, rest = read_distance(rest)
        component += distance
        components.append(component)
    return components, text[:length], [0] * (forward.head_size + length)


def _numbers(text: bytes, itemsize: int) -> list[int]:
    return [int.from_bytes(text[at : at + itemsize], "little") for at in range(0, len(text), itemsize)]


def fine_score(document: Document, table: Mapping[int, float]) -> float:
    """Inner product of a query {internal component: weight x scale} with its codes."""
    return sum(table.get(component, 0) * code16 / 256 for component, code16 in document)


def document_vector(document: Document, scale: Sequence[np.float32], external: Sequence[int]) -> dict[int, np.float32]:
    """{external component: weight}, by component."""
    weights = {external[c]: np.float32(scale[c] * np.float32(code16 / 256)) for c, code16 in document}
    return dict(sorted(weights.items()))
