"""Recognizing the kind of a file or folder by its content, for reading and for messages."""

from __future__ import annotations

import json
import os
import re
import struct
from contextlib import suppress
from pathlib import Path

from lsr.storage.files import DAMAGE
from lsr.storage.reading import open_binary

_READ = 1 << 16  # bytes at the beginning of a file that are read
AN_INDEX, A_COLLECTION, AN_ENCODER, VECTORS_FOLDER = "an index", "a collection", "an encoder", "a folder of vectors"
LINES_FOLDER = "a folder of vectors as JSON lines"
_MARKS = {  # of folders; the first existing one decides
    "manifest.json": AN_INDEX,
    "corpus.jsonl": A_COLLECTION,
    "corpus.jsonl.gz": A_COLLECTION,
    "collection.tsv": A_COLLECTION,
    "collection.tsv.gz": A_COLLECTION,
    "vectors.json": VECTORS_FOLDER,
    "part-00000.parquet": VECTORS_FOLDER,
    "encoder.json": AN_ENCODER,
    "modules.json": AN_ENCODER,
    "config.json": AN_ENCODER,
}
TEXTS, VECTORS, JUDGMENTS, RUN = "a file of texts", "a file of vectors", "a file of judgments", "a run"
WEIGHTS, CONFIGURATION = "a table of weights", "a TOML file"
ZIP = b"PK\x03\x04"  # the beginning of .npz files
CSR_HEADER = 24  # bytes of the header of a .csr file: int64 rows, components, weights
_BINARY = {ZIP: VECTORS, b"\x93NUMPY": "a NumPy array", b"PAR1": "a Parquet file"}
_JSON = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_BEGUN = ["vocabulary.json"]  # the content of a folder of vectors before its first part
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*(.)')  # a key of JSON, and the first character of its value


def what_is(path: Path) -> str:
    """The kind of a path, such as "an index"; "a folder" or "a file" if it is unknown."""
    if path.is_dir():
        known = next((kind for name, kind in _MARKS.items() if (path / name).is_file()), "a folder")
        with suppress(OSError):
            if known == "a folder" and [each for each in os.listdir(path) if each[0] != "."] == _BEGUN:
                return VECTORS_FOLDER
            if known == "a folder" and [kind_of_file(each) for each in json_files(path)[:1]] == [VECTORS]:
                return LINES_FOLDER
            if known == "a folder" and is_parquet_collection(path):
                return A_COLLECTION
        return known
    return kind_of_file(path) or "a file"


def is_parquet_collection(folder: Path) -> bool:
    """Whether a folder has the layout of collections on Hugging Face: corpus/*.parquet and queries/*.parquet."""
    return all(any((folder / kind).glob("[!.]*.parquet")) for kind in ("corpus", "queries"))


def json_files(folder: Path) -> list[Path]:
    """The JSON files in a folder, by name, without hidden ones. Raises OSError."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(_JSON) and name[0] != ".")
    return [folder / name for name in names]


def is_output(folder: Path) -> bool:
    """Whether the folder is an index or vectors of lsr. A file manifest.json alone does not decide this."""
    kind = what_is(folder)
    return kind == VECTORS_FOLDER or (kind == AN_INDEX and b'"format_version"' in beginning(folder / "manifest.json"))


def beginning(path: Path) -> bytes:
    """The first 64 KiB of a file, decompressed; b"" if it cannot be read. A pipe loses them: see `rereadable`."""
    with suppress(*DAMAGE), open_binary(path) as file:
        return file.read(_READ)
    return b""


def collection_around(file: Path) -> Path | None:
    """The folder of the collection to which a file belongs, directly or in its qrels; None if there is none."""
    return next((each for each in file.absolute().parents[:2] if what_is(each) == A_COLLECTION), None)


def kind_of_file(path: Path) -> str | None:
    """The kind of a file by its first line; None if it is unknown. For a pipe, see `beginning`."""
    head = beginning(path)
    if kind := _binary_kind(head):
        return kind
    if is_csr(path):
        return VECTORS
    text = head.decode("utf-8-sig", "replace").lstrip()
    line = next(iter(text.splitlines()), "")
    if line.startswith("{"):
        return _kind_of_record(line, text)
    columns, cells = line.split("\t"), line.split()
    if len(cells) == 6 and cells[1].upper() == "Q0":
        return RUN
    if len(columns) == 3 and (_is_whole(columns[2]) or columns[2].strip() == "score"):
        return JUDGMENTS
    if len(cells) == 4 and _is_whole(cells[3]) and len(columns) in (1, 4):
        return JUDGMENTS
    if len(columns) == 2:
        return VECTORS if has_repeated_tokens(head) else TEXTS
    return CONFIGURATION if path.suffix == ".toml" else None


def has_repeated_tokens(head: bytes) -> bool:
    """Whether a file with this beginning has lines of an id, a tab, and tokens repeated by their weights.

    In such a file, most neighboring tokens are equal, unlike in text.
    """
    equal = pairs = 0
    for line in head.decode("utf-8-sig", "replace").splitlines():
        tokens = line.partition("\t")[2].split()
        equal += sum(map(str.__eq__, tokens, tokens[1:]))
        pairs += max(len(tokens) - 1, 0)
    return 2 * equal > pairs


def csr_size(rows: int, weights: int) -> int:
    """The size in bytes of a .csr file (lsr.vectors.io.csr) with this number of rows and weights."""
    return CSR_HEADER + 8 * (rows + 1) + 8 * weights


def is_csr(path: Path) -> bool:
    """Whether a file has the size that a .csr header says (.csr has no other mark); False for pipes."""
    if not path.is_file():
        return False
    with suppress(OSError), path.open("rb") as file:
        rows, _, weights = struct.unpack("<3q", file.read(CSR_HEADER).ljust(CSR_HEADER, b"\xff"))
        return rows >= 0 and weights >= 0 and path.stat().st_size == csr_size(rows, weights)
    return False


def kind_of_binary(path: Path) -> str | None:
    """The kind of a binary file; None if it is unknown, and for pipes."""
    if not path.is_file():
        return None
    return _binary_kind(beginning(path)) or (VECTORS if is_csr(path) else None)


def _binary_kind(head: bytes) -> str | None:
    return next((kind for begins, kind in _BINARY.items() if head.startswith(begins)), None)


def _kind_of_record(line: str, text: str) -> str | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # several lines, or longer than the bytes read
        begins = {'"': "", "{": {}, "[": []}
        record = {key: begins.get(value, 0) for key, value in reversed(_FIELD.findall(text))}
    if isinstance(record.get("text"), str):
        return TEXTS
    if isinstance(record.get("vector"), dict | list):
        return VECTORS
    return WEIGHTS if record and all(isinstance(each, int | float) for each in record.values()) else None


def _is_whole(cell: str) -> bool:
    return cell.strip().lstrip("-").isdigit()
