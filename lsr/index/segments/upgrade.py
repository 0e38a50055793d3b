"""An index that an earlier version wrote gets the form in which it can be searched and changed."""

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
    """Make an index of formats 3 and 4 one of segments with blocks of this version, in one step.

    Returns False for one that is so already. Blocks of an earlier version are built anew, by the same path as a merge,
    of the weights that they hold; documents that were deleted of them are left out. All else is kept, but for presets,
    which were tuned on other blocks: a LsrWarning tells of these. Files that stay as they are, are linked where they
    can be, else copied. Readers keep what they have opened.
    memory: bytes for vectors and their index, by default half of what the machine has; where they need more, they are
    built by way of the disk.
    Raises IndexFormatError for a folder that holds no SeismicIndex, or a damaged one, and StorageError, as while
    another process writes there.
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
        warnings.warn(f"{target}: was tuned on other blocks; tune it again: lsr tune {target}", LsrWarning, 2)
    return upgraded


def _renew(target: Path, memory: int | None) -> bool:
    with IndexWriter.open(target, earlier=True) as writer:
        return writer.renew_blocks(memory) > 0
