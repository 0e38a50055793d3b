"""Reading a file of another tool as a folder of vectors, and its texts as documents."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lsr.checks import check_choice, expanded
from lsr.display import HasFacts
from lsr.errors import ParameterError
from lsr.exchange.formats import FORMATS
from lsr.exchange.line_files import replacing_lines
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.progress import progress_bar
from lsr.retrieval.hits import as_json
from lsr.storage.files import refuse_foreign, refuse_stream, replacing_folder, scratch_folder, storage_errors
from lsr.storage.reading import rereadable
from lsr.vectors.io import ParquetWriter, is_file_format, read_info
from lsr.vectors.io.parquet import POSTINGS_PER_PART, VECTORS_FILE
from lsr.vectors.sparse_vectors import SparseVectors


@dataclass(frozen=True, slots=True)
class ImportReport(HasFacts):
    """The result of import_vectors.

    path: the folder of vectors.
    format: the format of the source.
    rows, weights, components: the numbers of rows, of weights, and of components of the vectors.
    documents: the number of documents written; None if they were not requested.
    """

    path: Path
    format: str
    rows: int
    weights: int
    components: int
    documents: int | None

    def _facts(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("rows", "weights", "components", "documents")}


def import_vectors(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    format: str,
    *,
    documents: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> ImportReport:
    """Read a file of another tool, and write a folder of vectors, which build_index takes.

    source: the file or folder to read.
    out: the folder to write. It appears when it is complete, and replaces an existing folder of vectors.
    format: a name of docs/exchange.md, such as "ciff", "anserini", "seismic" or "bigann".
    documents: a .jsonl or .jsonl.gz file to which the texts and metadata of `source` are written, for build_index and
        `attach`. None for no file.
    progress: show a bar on standard error.

    Rows are read in batches of a few thousand. Raises VectorsError for a file that is truncated, damaged or of another
    format, ParameterError if `documents` is `source` or the format has no texts, MissingExtraError, StorageError.
    """
    check_choice("the format", format, list(FORMATS))
    target, path = expanded(out), rereadable(expanded(source))
    refuse_stream(target)
    if is_file_format(target):
        raise ParameterError(f"{out}: the name is that of a file, but the output is a folder; choose another name")
    texts_path = None if documents is None else expanded(documents)
    if texts_path is not None and texts_path.resolve() == expanded(source).resolve():
        raise ParameterError(
            f"{documents}: is the input, which would be overwritten; choose another name for the documents"
        )
    refuse_foreign(target, VECTORS_FILE)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target) as scratch, FORMATS[format].read(path, scratch) as opened:
        if texts_path is not None and opened.documents is None:
            raise ParameterError(f"{format} has no texts; remove the option for documents")
        with (
            progress_bar("importing", opened.total, "rows", progress) as advance,
            ParquetWriter(scratch / "vectors", opened.dim, opened.vocabulary) as writer,
        ):
            for part in _parts(opened):
                writer.write_part(part)
                advance(len(part))
            writer.finish()
        info = read_info(scratch / "vectors")
        texts = None if texts_path is None else _write_documents(texts_path, opened, progress)
        with replacing_folder(target, VECTORS_FILE) as folder:
            for each in (scratch / "vectors").iterdir():
                each.rename(folder / each.name)
    return ImportReport(Path(out), format, info.rows, info.nnz, info.dim, texts)


def _parts(opened: OpenedVectors) -> Iterator[SparseVectors]:
    """Batches joined to parts of the usual size."""
    held: list[SparseVectors] = []
    weights = 0
    for batch in opened.batches:
        held.append(batch)
        weights += batch.nnz
        if weights > POSTINGS_PER_PART // 4:
            yield SparseVectors.concatenate(held)
            held, weights = [], 0
    if held:
        yield SparseVectors.concatenate(held)


def _write_documents(path: Path, opened: OpenedVectors, progress: bool) -> int:
    assert opened.documents is not None
    count = 0
    with progress_bar("texts", None, "documents", progress) as advance, replacing_lines(path) as write:
        for document in opened.documents():
            record = {"_id": document.doc_id, "text": document.text, **as_json(document.metadata)}
            write(json.dumps(record, ensure_ascii=False))
            count += 1
            advance(1)
    return count
