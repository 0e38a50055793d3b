"""The demonstration's index: built once, and found again while nothing that it depends on has changed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lsr.demo.stdlib import StandardLibrary
from lsr.encoders.load import load_encoder
from lsr.errors import LsrError
from lsr.retrieval.encoding import encode_documents, fit_if_needed
from lsr.retrieval.indexing import build_searchable
from lsr.retrieval.searcher import Searcher
from lsr.storage.files import DAMAGE, replacing_file
from lsr.storage.manifest import check_replaceable
from lsr.version import __version__

_RECORD = "demo.json"


@dataclass(frozen=True)
class Built:
    """What an index was made of, and how long that took. Kept in it as demo.json, written last.

    build_seconds: from vectors to the index on disk.
    """

    collection: str
    encoder: str
    version: str
    documents: int
    documents_per_second: float
    build_seconds: float


def open_or_build(
    library: StandardLibrary, encoder_name: str, folder: Path | None, progress: bool
) -> tuple[Searcher, Built]:
    """The index in `folder`, by default one in the user's cache, made if it is not there or out of date.

    Raises EncoderError, and StorageError if the folder cannot be written or holds anything but an index.
    """
    encoder = load_encoder(encoder_name)
    fit_if_needed(encoder, library)  # an unfitted one cannot describe itself
    folder = Path(os.path.realpath(folder or _cache_folder(encoder_name)))
    description = json.dumps(encoder.describe(), sort_keys=True)
    built = _read_record(folder)
    if built and (built.collection, built.encoder, built.version) == (library.name, description, __version__):
        try:
            return Searcher.open(folder), built
        except LsrError:  # damaged
            pass

    check_replaceable(folder)
    begin = time.perf_counter()
    encode_documents(library, folder.with_name(f"{folder.name}.encoding"), encoder, progress=progress)
    encoded = time.perf_counter()
    build_searchable(library, folder, encoder, progress=progress)  # resumes from FOLDER.encoding
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


def _cache_folder(encoder_name: str) -> Path:
    """One for each version of Python and of lsr, and each encoder; paths and ids of encoders are made into names."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = re.sub(r"[^A-Za-z0-9]+", "-", encoder_name).strip("-")[-40:]
    if name != encoder_name:
        name += f"-{hashlib.sha256(encoder_name.encode()).hexdigest()[:8]}"
    return caches / "lsr" / "demo" / f"python-{platform.python_version()}-lsr-{__version__}-{name}"
