"""The formats by name."""

from __future__ import annotations

from typing import NamedTuple

from lsr.exchange import bigann, ciff, json_vectors
from lsr.exchange.index_rows import Write
from lsr.exchange.opened_vectors import Read


class ExchangeFormat(NamedTuple):
    """rounded: whether weights become impacts. folder: whether a folder is written."""

    write: Write
    read: Read
    rounded: bool = False
    folder: bool = False


FORMATS = {
    "ciff": ExchangeFormat(ciff.write, ciff.read, rounded=True),
    "anserini": ExchangeFormat(json_vectors.write_anserini, json_vectors.read, rounded=True),
    "seismic": ExchangeFormat(json_vectors.write_seismic, json_vectors.read),
    "bigann": ExchangeFormat(bigann.write, bigann.read),
}
