"""Converting indexes of earlier versions to the current format."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from lsr.checks import expanded
from lsr.errors import LsrWarning
from lsr.index.segments.commit import KIND, read_commit
from lsr.index.segments.generation import earlier_segments
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.into_segments import into_segments
from lsr.index.seismic.seismic_files import FORMATS, has_earlier_blocks
from lsr.index.tools.tuning import ENTRY
from lsr.storage.files import storage_errors
from lsr.storage.manifest import COMMIT_FORMAT, read_manifest


def upgrade_index(folder: str | os.PathLike[str], memory: int | None = None) -> bool:
    """Convert an index of formats 3 and 4 to the current format, in one step. Returns False if nothing is to be done.

    Blocks of an earlier version are rebuilt from their weights, as in a merge, without deleted documents. Everything
    else is kept, except presets, which were tuned on other blocks: a LsrWarning reports this. Unchanged files are
    linked, or copied where that is not possible. Open searchers keep the old index.

    folder: the folder of the index.
    memory: the maximum number of bytes for vectors and their index. A larger index is built with temporary files.
        Default: half of the machine's memory.

    Raises IndexFormatError if the folder has no SeismicIndex, or a damaged one, and StorageError, also while another
    process writes.
    """
    target = Path(os.path.realpath(expanded(folder)))
    with storage_errors(target):
        manifest = read_manifest(target, (*FORMATS, COMMIT_FORMAT), KIND)
        if manifest["format_version"] == COMMIT_FORMAT:
            renewed = bool(earlier_segments(target, read_commit(target)))
            upgraded = renewed and _renew(target, memory)
        else:
            renewed = has_earlier_blocks(manifest)
            upgraded = into_segments(target, memory)
    if upgraded and renewed and manifest.get(ENTRY):
        warnings.warn(
            f"{target}: the stored search parameters were tuned on other blocks and are removed; run lsr tune "
            f"{target} again",
            LsrWarning,
            2,
        )
    return upgraded


def _renew(target: Path, memory: int | None) -> bool:
    with IndexWriter.open(target, earlier=True) as writer:
        return writer.renew_blocks(memory) > 0
