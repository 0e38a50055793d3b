"""The index of the demonstration: built once, and reused while its documents and encoder are the same."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lsr.demo.stdlib import StandardLibrary
from lsr.encoders.load import load_encoder
from lsr.errors import LsrError, StorageError
from lsr.retrieval.encoding import encode_documents, fit_if_needed
from lsr.retrieval.indexing import build_index
from lsr.retrieval.searcher import Searcher
from lsr.storage.files import DAMAGE, replacing_file
from lsr.storage.manifest import MANIFEST, check_replaceable
from lsr.version import __version__

_RECORD = "demo.json"


@dataclass(frozen=True)
class Built:
    """The origin of an index and the time of its build. Stored in the index as demo.json, written last.

    build_seconds: from vectors to the index on disk.
    """

    collection: str
    encoder: str
    version: str
    documents: int
    documents_per_second: float
    build_seconds: float


def open_or_build(library: StandardLibrary, encoder_name: str, folder: Path, progress: bool) -> tuple[Searcher, Built]:
    """The index in `folder`, built if it is missing or out of date. A killed encoding resumes.

    Raises EncoderError, and StorageError if the folder cannot be written, or holds anything but an index of the
    demonstration.
    """
    encoder = load_encoder(encoder_name)
    fit_if_needed(encoder, library)  # an encoder that is not fitted has no description
    folder = Path(os.path.realpath(folder))
    description = json.dumps(encoder.describe(), sort_keys=True)
    built = _read_record(folder)
    if built and (built.collection, built.encoder, built.version) == (library.name, description, __version__):
        try:
            return Searcher.open(folder), built
        except LsrError:  # damaged
            pass

    check_replaceable(folder)
    if built is None and (folder / MANIFEST).exists():
        raise StorageError(f"{folder}: is another index; choose another folder for the demonstration (--index)")
    begin = time.perf_counter()
    encode_documents(library, folder.with_name(f"{folder.name}.encoding"), encoder, progress=progress)
    encoded = time.perf_counter()
    build_index(library, folder, encoder, progress=progress)  # resumes from FOLDER.encoding
    done = time.perf_counter()
    built = Built(
        library.name, description, __version__, library.count, library.count / (encoded - begin), done - encoded
    )
    with replacing_file(folder / _RECORD) as file:
        file.write(json.dumps(asdict(built), indent=2).encode())
    return Searcher.open(folder), built


def _read_record(folder: Path) -> Built | None:
    try:
        return Built(**json.loads((folder / _RECORD).read_text(encoding="utf-8")))
    except DAMAGE:
        return None
