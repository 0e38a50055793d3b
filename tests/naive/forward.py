"""Twins of lsr/index/forward.py: a document is two lists of (internal component, 16-bit code)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lsr.index import forward as real
from lsr.vectors import SparseVectors

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


def quantise(row: Row, scale: Sequence[np.float32]) -> list[tuple[int, int]]:
    """(component, code16) by falling weight, equal weights by external component; zero codes included."""
    heaviest_first = sorted(row, key=lambda pair: -pair[1])
    return [(c, round(float(w) * 256 / float(scale[c]))) for c, w in heaviest_first]


def fill_forward(rows: Sequence[Row], scale: Sequence[np.float32], head_size: int) -> list[Document]:
    """Quantised documents, cut into head and tail."""
    documents = []
    for row in rows:
        codes = quantise(row, scale)
        head = [pair for pair in codes[:head_size] if pair[1] > 0]
        documents.append(Document(head, [pair for pair in codes[head_size:] if pair[1] > 0]))
    return documents


def lay_out(
    rows: Sequence[Row], scale: Sequence[np.float32], head_size: int, itemsize: int
) -> tuple[list[bytes], bytes]:
    """(each row of `heads`, `tails`), byte by byte as the head of forward.py describes them."""
    line = -(-(head_size * (itemsize + 1) + 8) // 64) * 64
    heads, tails = [], b""
    for row in rows:
        codes = quantise(row, scale)
        head, tail = codes[:head_size] + [(0, 0)] * (head_size - len(codes)), codes[head_size:]
        start = len(tails) // itemsize
        head_components, head_codes, head_residuals = _columns(head, itemsize)
        tail_components, tail_codes, tail_residuals = _columns(tail, itemsize)
        meta = (start << 24 | len(tail)).to_bytes(8, "little")
        heads.append((head_components + head_codes + meta).ljust(line, b"\0"))
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
    tails = forward.tails.tobytes()
    documents = []
    for row in range(len(forward.heads)):
        head = forward.heads[row].tobytes()
        components_end, codes_end = size * itemsize, size * (itemsize + 1)
        meta = int.from_bytes(head[codes_end : codes_end + 8], "little")
        start, length = (meta >> 24) * itemsize, meta % (1 << 24)
        tail_codes = start + length * itemsize
        residuals = tail_codes + length
        components = _numbers(head[:components_end] + tails[start:tail_codes], itemsize)
        codes = head[components_end:codes_end] + tails[tail_codes:residuals]
        code16 = [
            256 * code + int.from_bytes(tails[residuals + i : residuals + i + 1], signed=True)
            for i, code in enumerate(codes)
        ]
        pairs = list(zip(components, code16, strict=True))
        documents.append(Document([p for p in pairs[:size] if p[1]], [p for p in pairs[size:] if p[1]]))
    return documents


def _numbers(text: bytes, itemsize: int) -> list[int]:
    return [int.from_bytes(text[at : at + itemsize], "little") for at in range(0, len(text), itemsize)]


def fine_score(document: Document, table: Mapping[int, float]) -> float:
    """Inner product of a query {internal component: weight x scale} with the 16-bit codes."""
    return sum(table.get(component, 0) * code16 / 256 for component, code16 in document)


def document_vector(document: Document, scale: Sequence[np.float32], external: Sequence[int]) -> dict[int, np.float32]:
    """{external component: weight}, by component."""
    weights = {external[c]: np.float32(scale[c] * np.float32(code16 / 256)) for c, code16 in document}
    return dict(sorted(weights.items()))
