"""What a file or folder is, by what is in it: for messages to somebody who gave one in place of another."""

from __future__ import annotations

import json
from pathlib import Path

from lsr.storage.files import DAMAGE
from lsr.storage.reading import open_binary

_READ = 1 << 16  # bytes of a file, at most, by which it is known
AN_INDEX, A_COLLECTION, VECTORS_FOLDER = "an index", "a collection", "a folder of vectors"
_MARKS = {  # of folders, the first that is there decides
    "manifest.json": AN_INDEX,
    "corpus.jsonl": A_COLLECTION,
    "corpus.jsonl.gz": A_COLLECTION,
    "collection.tsv": A_COLLECTION,
    "collection.tsv.gz": A_COLLECTION,
    "vectors.json": VECTORS_FOLDER,
    "part-00000.parquet": VECTORS_FOLDER,
    "encoder.json": "an encoder",
    "modules.json": "an encoder",
    "config.json": "an encoder",
}
TEXTS, VECTORS, JUDGMENTS, RUN = "a file of texts", "a file of vectors", "a file of judgments", "a run"


def what_is(path: Path) -> str:
    """Such as "an index"; "a folder" or "a file" for what lsr does not know."""
    if path.is_dir():
        return next((kind for name, kind in _MARKS.items() if (path / name).is_file()), "a folder")
    return kind_of_file(path) or "a file"


def kind_of_file(path: Path) -> str | None:
    """By its first line; None for what lsr does not know. Of a pipe, that line is lost: see `rereadable`."""
    try:
        with open_binary(path) as file:
            head = file.read(_READ)
    except DAMAGE:
        return None
    if head.startswith(b"PK\x03\x04"):
        return VECTORS
    line = next((each for each in head.decode("utf-8-sig", "replace").splitlines() if each.strip()), "")
    if line.lstrip().startswith("{"):
        return _kind_of_record(line)
    columns, cells = line.split("\t"), line.split()
    if len(cells) == 6 and cells[1].upper() == "Q0":
        return RUN
    if len(columns) == 3 and (_is_whole(columns[2]) or columns[2].strip() == "score"):
        return JUDGMENTS
    if len(cells) == 4 and _is_whole(cells[3]) and len(columns) in (1, 4):
        return JUDGMENTS
    return TEXTS if len(columns) == 2 else None


def _kind_of_record(line: str) -> str | None:
    try:
        keys = json.loads(line).keys()
    except (ValueError, RecursionError):  # a line longer than what was read
        keys = {key for key in ("vector", "text") if f'"{key}"' in line}
    return TEXTS if "text" in keys else VECTORS if "vector" in keys else None


def _is_whole(cell: str) -> bool:
    return cell.strip().lstrip("-").isdigit()
