"""Reading the JSON files of a model's folder, with messages that name them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lsr.encoders.folders.find import WORKS
from lsr.encoders.tokens import NO_LIMIT
from lsr.errors import EncoderError
from lsr.files import DAMAGE

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt")
# Families whose positions are numbered from the padding's number + 1 on.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet", "longformer")


def read_json(path: Path) -> Any:
    """Raises EncoderError where the file is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise EncoderError(f"{path}: is missing; copy or save the model again") from None
    except DAMAGE as error:
        raise EncoderError(f"{path}: damaged ({error}); copy or save the model again") from error


def read_object(path: Path, optional: bool = False) -> dict[str, Any]:
    """A JSON object; {} for a file that is optional and missing. Raises EncoderError."""
    if optional and not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise EncoderError(f"{path}: damaged (no JSON object); copy or save the model again")
    return content


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model. Raises EncoderError."""
    return read_object(folder / "config.json")


def folder_inside(folder: Path, path: Any) -> Path:
    """`path`, which a JSON file gives, in `folder`; "" is the folder itself. Raises EncoderError where it leads out."""
    if not isinstance(path, str) or os.path.isabs(path) or ".." in Path(path).parts:
        raise EncoderError(f"{folder}: refers to {path!r}, which is no place inside it; copy or save the model again")
    return folder / path


def task_of(folder: Path) -> str:
    """The BackboneSpec.task of a folder's model. Raises EncoderError for one without an output layer."""
    architectures = read_config(folder).get("architectures") or []
    if not architectures or any("MaskedLM" in str(each) or "ForPreTraining" in str(each) for each in architectures):
        return "masked-lm"
    if any("ForCausalLM" in str(each) for each in architectures):
        return "causal-lm"
    raise EncoderError(
        f"{folder}: its architecture is {', '.join(map(str, architectures))}, which has no output layer over its "
        f"vocabulary (a masked-LM head); {WORKS}"
    )


def check_weights(folder: Path) -> None:
    """Raises EncoderError where a folder has no weights as safetensors."""
    if any((folder / name).is_file() for name in WEIGHTS):
        return
    pickled = next((name for name in PICKLED if (folder / name).is_file()), None)
    if pickled is None:
        raise EncoderError(f"{folder}: has no {WEIGHTS[0]}; copy or save the model again")
    raise EncoderError(
        f"{folder}: its weights are in {pickled}, a pickle, which lsr does not read because it may run code; load it "
        f"with transformers where you trust it and save it: save_pretrained writes {WEIGHTS[0]}"
    )


def longest_of(folder: Path, asked: int | None, stated: int) -> int:
    """Tokens of a text that are read: those asked for, else those stated; at most what the model was made for."""
    config = read_config(folder)
    limits = [stated if asked is None else asked]
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and positions > 0:
        padding = config.get("pad_token_id")
        offset = 1 + (padding if isinstance(padding, int) else 1) if config.get("model_type") in OFFSET_POSITIONS else 0
        limits.append(positions - offset)
    tokenizer = read_object(folder / "tokenizer_config.json", optional=True).get("model_max_length")
    if isinstance(tokenizer, int | float) and 0 < tokenizer < NO_LIMIT:
        limits.append(int(tokenizer))
    return min(limits)
