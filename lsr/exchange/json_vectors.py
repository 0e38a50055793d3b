"""Lines of JSON with an object of tokens and weights: Anserini's JsonVectorCollection, and the input of Seismic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsr.collections.sources import Document
from lsr.exchange.impacts import checked_scale, impacts_of
from lsr.exchange.index_rows import IndexRows, Written
from lsr.exchange.line_files import replacing_lines
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.progress import Advance
from lsr.storage.recognize import json_files
from lsr.vectors.io import iter_vectors, jsonl, read_vocabulary
from lsr.vectors.io.jsonl import as_text, weights_as_text
from lsr.vectors.io.token_records import numbered_lines

ANSERINI_SCALE = 100.0  # scale of the weights in Anserini's corpora
TEXTS = ("contents", "content", "text")  # keys of texts


def write_anserini(path: Path, rows: IndexRows, scale: float | None, advance: Advance) -> Written:
    """Write lines of id, contents and a vector of impacts, without impacts of 0."""
    factor, names, weights, dropped = checked_scale(scale, 0.0, ANSERINI_SCALE), list(map(as_text, rows.tokens)), 0, 0
    with replacing_lines(path) as write:
        for row in rows.rows(advance):
            factor = checked_scale(scale, float(row.weights.max(initial=0)), ANSERINI_SCALE)
            impacts = impacts_of(row.weights, factor).tolist()
            pairs = zip(row.components.tolist(), impacts, strict=True)
            kept = [f"{names[component]}: {impact}" for component, impact in pairs if impact]
            vector = ", ".join(kept)
            write(f'{{"id": {as_text(row.row_id)}, "contents": {as_text(row.text or "")}, "vector": {{{vector}}}}}')
            weights += len(kept)
            dropped += len(impacts) - len(kept)
    return Written(weights, dropped, factor)


def write_seismic(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write lines of id, content, if there are texts, and a vector of weights."""
    names, weights = list(map(as_text, rows.tokens)), 0
    with replacing_lines(path) as write:
        for row in rows.rows(advance):
            content = "" if row.text is None else f'"content": {as_text(row.text)}, '
            vector = weights_as_text(row.components, row.weights, names)
            write(f'{{"id": {as_text(row.row_id)}, {content}"vector": {vector}}}')
            weights += len(row.weights)
    return Written(weights)


@contextmanager
def read(path: Path, _scratch: Path) -> Iterator[OpenedVectors]:
    """Open a file, plain or gzipped, or all files of a folder. Raises VectorsError."""
    vocabulary = read_vocabulary(path)
    dim = 0 if vocabulary is None else len(vocabulary)
    yield OpenedVectors(dim, vocabulary, None, iter_vectors(path, vocabulary=vocabulary), lambda: _documents(path))


def _documents(path: Path) -> Iterator[Document]:
    for file in json_files(path) if path.is_dir() else [path]:
        for line, text in numbered_lines(file, jsonl.WHAT):
            place = f"{file}:{line}"
            fields = jsonl.parsed(text, place, jsonl.WHAT)
            content = next((fields[name] for name in TEXTS if isinstance(fields.get(name), str)), "")
            row_id = jsonl.checked_id(fields.get("_id", fields.get("id", fields.get("qid"))), place)
            if content:
                yield Document(row_id, "", content)
