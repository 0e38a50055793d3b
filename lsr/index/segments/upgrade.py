"""An index of format 3 or 4, one folder of arrays, becomes an index of one segment."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsr.checks import expanded
from lsr.errors import StorageError
from lsr.index.index_folder import VOCABULARY as VOCABULARY_FILE
from lsr.index.segments.commit import (
    ENCODER,
    KIND,
    SEGMENT,
    VOCABULARY,
    Commit,
    SegmentEntry,
    StoredFile,
    generation_file,
)
from lsr.index.segments.generation import DENSE, TEXTS
from lsr.index.seismic.seismic_files import FORMATS, open_files
from lsr.storage.files import lock_folder, storage_errors
from lsr.storage.manifest import COMMIT_FORMAT, MANIFEST, PRODUCT, read_manifest, replacing_folder, sealed
from lsr.storage.steps import reached

_FOLDER_OF_ENCODER = "encoder"
_OF_COMMIT = ("product", "source", "encoder", "presets", "has_texts", "files")  # which a segment's manifest lacks


def upgrade_index(folder: str | os.PathLike[str]) -> bool:
    """Make an index of format 3 or 4 one of segments, in one step; returns False for one that is of segments already.

    Files are linked where they can be, else copied. Readers keep what they have opened. Raises IndexFormatError for a
    folder that holds no SeismicIndex, or a damaged one, and StorageError, as while another process writes there.
    """
    target = Path(os.path.realpath(expanded(folder)))
    with storage_errors(target):
        if read_manifest(target, (*FORMATS, COMMIT_FORMAT), KIND)["format_version"] == COMMIT_FORMAT:
            return False
        lock = lock_folder(target)
        try:
            manifest = read_manifest(target, FORMATS, KIND)
            with replacing_folder(target) as temporary:
                _fill(temporary, target, manifest)
                reached("upgrade:before-exchange")
                if not os.path.samestat(os.fstat(lock), os.stat(target)):
                    raise StorageError(f"{target}: another index has taken its place; upgrade that one")
        finally:
            os.close(lock)
    return True


def _fill(new: Path, old: Path, manifest: Mapping[str, Any]) -> None:
    state, ids, _ = open_files(old)
    segment, encoder, vocabulary = f"{SEGMENT}-000001", f"{ENCODER}-000001", f"{VOCABULARY}-000001.json"
    kept: dict[str, Any] = {}  # of the segment
    ours: dict[str, Any] = {}  # of the index
    for name, entry in manifest["files"].items():
        first, _, rest = name.partition("/")
        if first == _FOLDER_OF_ENCODER:
            ours[to := f"{encoder}/{rest}"] = entry
        elif name == VOCABULARY_FILE:
            ours[to := vocabulary] = entry
        else:
            to = f"{segment}/{name}"
            kept[name] = entry
        link_tree(old / name, new / to)
    (new / segment).mkdir(exist_ok=True)
    listed = {name.partition("/")[0] for name in manifest["files"]} | {MANIFEST}
    for each in sorted(old.iterdir()):
        if each.name not in listed:
            link_tree(each, new / segment / DENSE if each.name == DENSE else new / each.name)
    entries = {name: entry for name, entry in manifest.items() if name not in _OF_COMMIT}
    content = json.dumps({"product": PRODUCT, **entries, "files": kept}, indent=1).encode()
    (new / segment / MANIFEST).write_bytes(content)
    rows = len(state.engine)
    commit = Commit(
        generation=1,
        dim=state.engine.dim,
        config=state.config,
        segments=(SegmentEntry(segment, rows, rows, hashlib.sha256(content).hexdigest()),),
        has_ids=ids is not None,
        has_texts=f"{TEXTS}.offsets.npy" in kept,
        sample_recall=state.sample_recall,
        presets=state.presets,
        source=manifest.get("source"),
        encoder=manifest.get("encoder"),
        encoder_folder=encoder if (new / encoder).is_dir() else None,
        vocabulary_file=vocabulary if vocabulary in ours else None,
        files={name: StoredFile(entry["bytes"], entry["sha256"]) for name, entry in ours.items()},
    )
    for name in (generation_file(1), MANIFEST):
        (new / name).write_bytes(sealed(commit.as_json()))


def link_tree(old: Path, new: Path, but: str | None = None) -> None:
    """A file, or a folder and all that is in it `but` what has that name, linked where it can be, else copied."""
    if old.is_dir():
        new.mkdir(parents=True, exist_ok=True)
        for each in old.iterdir():
            if each.name != but:
                link_tree(each, new / each.name)
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)
