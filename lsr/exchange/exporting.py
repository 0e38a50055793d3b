"""Write an index as a file of another tool."""

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
    """What was written.

    documents: rows, which are passages where the index has these. weights: non-zeros that were written. dropped: those
    that were not, as the format cannot hold them or they were rounded to 0. scale: what weights were multiplied by
    before they were rounded; None where they are written as they are. notes: what a reader of the file must know.
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
    """Write the documents of an index to `out`, in the place of a file that is there, in the form of another tool.

    format: a name of docs/exchange.md, such as "ciff", "anserini", "seismic" or "bigann".
    scale: what weights are multiplied by before they are rounded to impacts, for ciff and anserini alone. By default
        100 for anserini, and for ciff what makes 255 of the largest weight.

    Vectors are those of the forward index, as it scores them; deleted documents are left out. `out` is complete or as
    it was before. Rows are written a few thousand at a time. Raises IndexFormatError, ParameterError for an unknown
    format or a scale that cannot work, VectorsError for what the format cannot hold, MissingExtraError, StorageError.
    """
    check_choice("the format", format, list(FORMATS))
    chosen = FORMATS[format]
    if scale is not None and not chosen.rounded:
        raise ParameterError(f"{format} keeps weights as they are; leave the scale out")
    target, source = expanded(out), expanded(index)
    if chosen.folder or format == "ciff":
        refuse_stream(target)
    if not is_stream(target) and (target.resolve() == source.resolve() or (target.parent / MANIFEST).exists()):
        raise StorageError(f"{target}: would be written into an index; choose another path")
    rows = IndexRows(source)
    passes = f" in {chosen.passes} passes" if chosen.passes > 1 else ""
    with progress_bar(f"exporting{passes}", chosen.passes * len(rows), "rows", progress) as advance:
        written = chosen.write(target, rows, scale, advance)
    documents = len(rows) - written.left_out
    return ExportReport(Path(out), format, documents, written.weights, written.dropped, written.scale, written.notes)
