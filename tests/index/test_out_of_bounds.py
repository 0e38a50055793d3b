"""Arrays that lead beyond an end, in files whose sizes and checksums are right: errors or hits, and no signal."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.index.inverted.exact_index import ExactIndex
from lsr.storage.manifest import verify
from tests.index.whole_use import ROWS, SAVED, use
from tests.processes import outcome_of

Change = Callable[[Any, int], None]

BEYOND = 0xFFFFFFF0

KINDS = ("inverted", "blocks", "superblocks", "wide", "compact", "wide compact")


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {kind: tmp_path_factory.mktemp("saved") / kind for kind in KINDS}
    for kind, folder in folders.items():
        SAVED[kind](folder)
        use(folder)  # kernels are compiled now, not by each forked process
    return folders


def everything(value: Any) -> Change:
    return lambda array, _: array.fill(value)


def inner(value: Any) -> Change:
    """Everything but the first and the last number."""
    return lambda array, _: array.reshape(-1)[1:-1].fill(value)


def one(at: int, value: Any) -> Change:
    return lambda array, _: array.reshape(-1).__setitem__(at, value)


def ones(array: Any, _: int) -> None:
    array.fill(np.iinfo(array.dtype).max)


def tails(start: int, length: int, first: int = 0) -> Change:
    """Heads from the document `first` on say that their tails are there."""

    def change(heads: Any, head_size: int) -> None:
        heads.view(np.uint64)[first:, head_size * (heads.itemsize + 1) // 8] = (start << 24) | length

    return change


def components_of_heads(heads: Any, head_size: int) -> None:
    heads[:, :head_size] = np.iinfo(heads.dtype).max


def end_of_tails(array: Any, _: int) -> None:
    array[-8:] = 255


def tamper(folder: Path, into: Path, name: str, change: Change) -> Path:
    """A copy with another array, whose size and checksum the manifest has."""
    shutil.copytree(folder, into)
    manifest = json.loads((into / "manifest.json").read_text())
    path = into / f"{name}.npy"
    array = np.load(path)
    change(array, manifest.get("head_size", 0))
    np.save(path, array)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["files"][path.name] = {"bytes": path.stat().st_size, "sha256": checksum}
    (into / "manifest.json").write_text(json.dumps(manifest))
    verify(into)
    return into


# What is read when an index is opened, or when a document is, gives an error; of the rest there are hits.
ERROR, HITS = "IndexFormatError", "returned"

CASES: list[tuple[str, str, Change, set[str]]] = [
    ("inverted", "rows", everything(BEYOND), {ERROR}),
    ("inverted", "rows", everything(ROWS + 2000), {ERROR}),
    ("inverted", "rows", one(5, ROWS), {ERROR}),
    ("inverted", "starts", inner(-(1 << 40)), {ERROR}),
    ("inverted", "starts", inner(1 << 40), {ERROR}),
    ("inverted", "starts", one(3, 0), {ERROR}),
    ("inverted", "indptr", inner(1 << 40), {ERROR}),
    ("inverted", "indptr", one(3, -(1 << 40)), {ERROR}),
    ("inverted", "lists", everything(65535), {ERROR}),
    ("inverted", "components", one(-1, 1 << 31), {ERROR}),
    ("inverted", "components", everything(7), {ERROR}),
    ("inverted", "weights", everything(np.nan), {HITS, "VectorsError"}),
    ("inverted", "weights", everything(-np.inf), {HITS, "VectorsError"}),
]
for kind in ("blocks", "superblocks", "wide", "compact", "wide compact"):
    CASES += [
        (kind, "heads", tails(1 << 39, 1000), {ERROR}),
        (kind, "heads", tails(0, 0xFFFFFF), {ERROR}),
        (kind, "heads", tails(0, 0xFFFFFF, ROWS - 1), {ERROR}),
        (kind, "heads", components_of_heads, {ERROR}),
        (kind, "tails", ones, {ERROR}),
        (kind, "tails", end_of_tails, {ERROR, HITS}),
        (kind, "rows", everything(0xF0000000), {ERROR}),
        (kind, "rows", one(5, 0xF0000000), {ERROR}),
        (kind, "positions", everything(0xF0000000), {ERROR}),
        (kind, "positions", one(5, 6), {ERROR}),
        (kind, "summaries", everything(65535), {HITS}),
        (kind, "summary_starts", inner(0xF0000000), {ERROR}),
        (kind, "summary_windows", everything(0), {ERROR}),
        (kind, "components", everything(7), {ERROR}),
        (kind, "components", one(-1, 1 << 31), {ERROR}),
        (kind, "scale", everything(np.nan), {ERROR}),
        (kind, "scale", one(0, np.inf), {ERROR}),
        (kind, "scale", one(0, -1), {ERROR}),
        (kind, "scale", one(0, 0), {ERROR}),
    ]
CASES += [("superblocks", "pages", change, {HITS}) for change in (everything(0), everything(255), one(22, 77))]
for kind in ("blocks", "superblocks", "wide"):
    CASES += [(kind, "graph", everything(0xF0000000), {HITS}), (kind, "graph", one(9, ROWS), {HITS})]


@pytest.mark.parametrize(
    ("kind", "name", "change", "expected"),
    CASES,
    ids=[f"{number}: {kind}, {name}" for number, (kind, name, _, _) in enumerate(CASES)],
)
def test_no_search_leaves_its_arrays(
    indexes: dict[str, Path], tmp_path: Path, kind: str, name: str, change: Change, expected: set[str]
) -> None:
    folder = tamper(indexes[kind], tmp_path / "index", name, change)
    assert outcome_of(lambda: use(folder)) in expected


def test_posting_lists_of_the_third_format(indexes: dict[str, Path], tmp_path: Path) -> None:
    """These have no lists of rows, which are worked out from them."""
    folder = tamper(indexes["inverted"], tmp_path / "index", "rows", one(5, ROWS))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format_version": 1}))
    assert outcome_of(lambda: ExactIndex.open(folder)) == ERROR
