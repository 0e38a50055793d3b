"""Converting an index without segments to an index with one segment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lsr.errors import StorageError
from lsr.index.index_folder import VOCABULARY as VOCABULARY_FILE
from lsr.index.index_folder import IndexFolder
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
from lsr.index.segments.generation import DENSE, NOTHING_DELETED, opened_segment
from lsr.index.segments.merging import write_merged
from lsr.index.seismic.build.trial import has_few_terms
from lsr.index.seismic.seismic_files import FORMATS, open_state
from lsr.storage.files import link_tree, lock_folder, storage_errors
from lsr.storage.manifest import COMMIT_FORMAT, MANIFEST, PRODUCT, read_manifest, replacing_folder, sealed
from lsr.storage.steps import reached

_FOLDER_OF_ENCODER = "encoder"
_OF_COMMIT = (
    "product",
    "source",
    "encoder",
    "presets",
    "has_texts",
    "files",
)  # entries that a segment's manifest does not have


def into_segments(target: Path, memory: int | None = None) -> bool:
    """Convert an index without segments to one of segments, in one step; returns False if it already has segments.

    Blocks of an earlier version are rebuilt, as in a merge, with this memory. Other files are linked, or copied where
    that is not possible. Readers keep their open index. Raises IndexFormatError if the folder has no SeismicIndex, or a
    damaged one, and StorageError, also while another process writes.
    """
    with storage_errors(target):
        if read_manifest(target, (*FORMATS, COMMIT_FORMAT), KIND)["format_version"] == COMMIT_FORMAT:
            return False
        lock = lock_folder(target)
        try:
            manifest = read_manifest(target, FORMATS, KIND)
            with replacing_folder(target) as temporary:
                _fill(temporary, target, manifest, memory)
                reached("upgrade:before-exchange")
                if not os.path.samestat(os.fstat(lock), os.stat(target)):
                    raise StorageError(f"{target}: another index has replaced it; upgrade that one")
        finally:
            os.close(lock)
    return True


def _fill(new: Path, old: Path, manifest: Mapping[str, Any], memory: int | None) -> None:
    segment, encoder, vocabulary = f"{SEGMENT}-000001", f"{ENCODER}-000001", f"{VOCABULARY}-000001.json"
    digest = hashlib.sha256((old / MANIFEST).read_bytes()).hexdigest()
    whole = SegmentEntry(segment, int(manifest["documents"]), int(manifest["documents"]), digest)
    opened = opened_segment(old, whole, NOTHING_DELETED)
    kept: dict[str, Any] = {}  # entries of the segment
    ours: dict[str, Any] = {}  # entries of the index
    for name, entry in manifest["files"].items():
        first, _, rest = name.partition("/")
        if first == _FOLDER_OF_ENCODER:
            ours[to := f"{encoder}/{rest}"] = entry
        elif name == VOCABULARY_FILE:
            ours[to := vocabulary] = entry
        else:
            kept[name] = entry
            continue
        link_tree(old / name, new / to)
    listed = {name.partition("/")[0] for name in manifest["files"]} | {MANIFEST, DENSE}
    for each in sorted(old.iterdir()):
        if each.name not in listed:
            link_tree(each, new / each.name)
    state = open_state(IndexFolder(old, KIND, FORMATS))
    if opened.earlier:
        few_terms = has_few_terms(manifest.get("encoder"))
        write_merged(new / segment, [opened], state.config, opened.engine.dim, memory, few_terms=few_terms)
        state = open_state(IndexFolder(new / segment, KIND, FORMATS))
    else:
        _link_segment(new / segment, old, manifest, kept)
    content = (new / segment / MANIFEST).read_bytes()
    commit = Commit(
        generation=1,
        dim=opened.engine.dim,
        config=state.config,
        segments=(replace(whole, documents=opened.documents, manifest_sha256=hashlib.sha256(content).hexdigest()),),
        has_ids=opened.ids is not None,
        has_texts=opened.texts is not None,
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


def _link_segment(new: Path, old: Path, manifest: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """Create the segment from links to the files of the index that belong to it."""
    new.mkdir(exist_ok=True)
    for name in kept:
        link_tree(old / name, new / name)
    if (old / DENSE).is_dir():
        link_tree(old / DENSE, new / DENSE)
    entries = {name: entry for name, entry in manifest.items() if name not in _OF_COMMIT}
    (new / MANIFEST).write_bytes(json.dumps({"product": PRODUCT, **entries, "files": kept}, indent=1).encode())
