"""Writing an index as a file of another tool."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lsr.checks import check_choice, expanded
from lsr.display import HasFacts
from lsr.errors import ParameterError, StorageError
from lsr.exchange.formats import FORMATS
from lsr.exchange.index_rows import IndexRows
from lsr.progress import progress_bar
from lsr.storage.files import is_stream, refuse_stream
from lsr.storage.manifest import MANIFEST


@dataclass(frozen=True, slots=True)
class ExportReport(HasFacts):
    """The result of export_index.

    path: the written file or folder.
    format: the name of the format.
    documents: the number of written rows. A row is a document, or a passage if documents are split.
    weights: the number of weights written.
    dropped: the number of weights not written, because the format cannot store them or they were rounded to 0.
    scale: the factor of the weights before rounding; None without rounding.
    notes: remarks for users of the file.
    """

    path: Path
    format: str
    documents: int
    weights: int
    dropped: int
    scale: float | None
    notes: tuple[str, ...]

    def _facts(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("documents", "weights", "dropped", "scale")}


def export_index(
    index: str | os.PathLike[str],
    out: str | os.PathLike[str],
    format: str,
    *,
    scale: float | None = None,
    progress: bool = False,
) -> ExportReport:
    """Write the documents of an index to a file in the format of another tool.

    index: the folder of the index. Its vectors are those of the forward index, without deleted documents.
    out: the file or folder to write, which is replaced in one step.
    format: a name of docs/exchange.md, such as "ciff", "anserini", "seismic" or "bigann".
    scale: the factor of the weights before they are rounded to impacts, only for ciff and anserini. Default: 100 for
        anserini; for ciff the factor that gives the largest weight the impact 255.
    progress: show a bar on standard error.

    Rows are written in batches of a few thousand. Raises IndexFormatError, ParameterError for an unknown format or an
    invalid scale, VectorsError for vectors that the format cannot store, MissingExtraError, StorageError.
    """
    check_choice("the format", format, list(FORMATS))
    chosen = FORMATS[format]
    if scale is not None and not chosen.rounded:
        raise ParameterError(f"{format} does not round weights; remove the scale")
    target, source = expanded(out), expanded(index)
    if chosen.folder or format == "ciff":
        refuse_stream(target)
    if not is_stream(target) and (target.resolve() == source.resolve() or (target.parent / MANIFEST).exists()):
        raise StorageError(f"{target}: is inside the folder of an index; choose another path")
    rows = IndexRows(source)
    passes = f" in {chosen.passes} passes" if chosen.passes > 1 else ""
    with progress_bar(f"exporting{passes}", chosen.passes * len(rows), "rows", progress) as advance:
        written = chosen.write(target, rows, scale, advance)
    documents = len(rows) - written.left_out
    return ExportReport(Path(out), format, documents, written.weights, written.dropped, written.scale, written.notes)
