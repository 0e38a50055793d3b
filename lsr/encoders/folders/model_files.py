"""Reading the JSON files of a model's folder, with errors that name the file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from lsr.encoders.folders.find import PICKLED_WEIGHTS, WORKS
from lsr.encoders.spec import BackboneSpec, HeadSpec, Task, TransformerSpec
from lsr.errors import EncoderError
from lsr.storage.files import DAMAGE

AGAIN = "download, copy or save the model again"
CONFIG_FILE, TOKENIZER_CONFIG_FILE = "config.json", "tokenizer_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = (PICKLED_WEIGHTS, "pytorch_model.bin.index.json", "model.pt")
ADAPTERS = ("adapter_config.json", "lora/adapter_config.json")
UNSTATED_LENGTH = 256
NO_LIMIT = 1_000_000  # transformers writes 10**30 for a tokenizer without limit
# Families whose positions begin after the number of the padding token, so that as many positions are lost.
OFFSET_POSITIONS = (
    "camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip
USUAL_PADDING = 1  # number of these families' padding token, if config.json does not state it

Chosen = TypeVar("Chosen", bound=str)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises EncoderError if it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise EncoderError(f"{path}: is missing; {AGAIN}") from None
    except DAMAGE as error:
        raise EncoderError(f"{path}: damaged ({error}); {AGAIN}") from error


def read_object(path: Path, optional: bool = False) -> dict[str, Any]:
    """The JSON object in a file; {} for an optional file that is missing. Raises EncoderError."""
    if optional and not path.is_file():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise EncoderError(f"{path}: damaged (not a JSON object); {AGAIN}")
    return content


def chosen(path: Path, what: str, value: Any, known: Mapping[str, Chosen]) -> Chosen:
    """The entry of `known` for a value in a file. Raises EncoderError for an unknown value."""
    if not isinstance(value, str) or value not in known:
        raise EncoderError(f"{path}: {what} is {value!r}; lsr supports {', '.join(known)}")
    return known[value]


def folder_inside(folder: Path, path: Any) -> Path:
    """A path from a JSON file, inside `folder`; "" is the folder itself. Raises EncoderError for a path outside."""
    if not isinstance(path, str) or os.path.isabs(path) or ".." in Path(path).parts:
        raise EncoderError(f"{folder}: refers to {path!r}, which is not inside the folder; {AGAIN}")
    return folder / path


def read_language_model(folder: Path, head: HeadSpec, longest: int, task: Task = "masked-lm") -> TransformerSpec:
    """A side from one folder with a tokenizer and a model that has an output layer over its vocabulary.

    task: BackboneSpec.task, if config.json does not state it. A causal model that config.json declares as not causal
        has bidirectional attention. Raises EncoderError if there is no such layer, or if the weights are not
        safetensors.
    """
    place, task = str(folder), _task(folder, task)
    sees_all = task == "causal-lm" and read_object(folder / CONFIG_FILE).get("is_causal") is False
    backbone = BackboneSpec(place, place, place, task=task, bidirectional=sees_all)
    check_weights(folder)
    return TransformerSpec(backbone, head, longest)


def vocabulary_size(folder: Path) -> int | None:
    """The number of components of the model in `folder`, if its config.json states it. Raises EncoderError."""
    size = read_object(folder / CONFIG_FILE).get("vocab_size")
    return size if type(size) is int and size > 0 else None


def check_weights(folder: Path) -> None:
    """Raises EncoderError if a folder has no weights as safetensors."""
    if any((folder / name).is_file() for name in WEIGHTS):
        return
    pickled = next((name for name in PICKLED if (folder / name).is_file()), None)
    adapter = next((folder / name for name in ADAPTERS if (folder / name).is_file()), None)
    if pickled is None and adapter is not None:
        raise EncoderError(
            f"{folder}: has an adapter ({adapter.relative_to(folder)}) and no {WEIGHTS[0]}; put the adapter "
            "into its model with peft (merge_and_unload), and save that with save_pretrained"
        )
    if pickled is None:
        raise EncoderError(f"{folder}: has no {WEIGHTS[0]}; {AGAIN}")
    raise EncoderError(
        f"{folder}: its weights are in {pickled}, a pickle, which lsr does not read because it may run code; if you "
        "trust it, load it with the library that wrote it, such as transformers, and save it with save_pretrained, "
        f"which writes {WEIGHTS[0]}"
    )


def shortest(*limits: int | None) -> int:
    """The smallest of the stated limits. At least one must be stated."""
    return min(limit for limit in limits if limit is not None)


def positions_of(folder: Path) -> int | None:
    """The number of positions of the model in `folder`, if its config.json states it. Raises EncoderError."""
    config = read_object(folder / CONFIG_FILE)
    positions = config.get("max_position_embeddings")
    if type(positions) is not int or positions < 1:
        return None
    if config.get("model_type") not in OFFSET_POSITIONS:
        return positions
    padding = config.get("pad_token_id", USUAL_PADDING)
    return max(1, positions - 1 - padding) if type(padding) is int else positions


def limit_of(folder: Path) -> int | None:
    """The maximum length of the tokenizer in `folder`, if it states one. Raises EncoderError."""
    limit = read_object(folder / TOKENIZER_CONFIG_FILE, optional=True).get("model_max_length")
    return int(limit) if isinstance(limit, int | float) and 1 <= limit < NO_LIMIT else None


def _task(folder: Path, unstated: Task) -> Task:
    path = folder / CONFIG_FILE
    architectures = read_object(path).get("architectures") or []
    if not isinstance(architectures, list):
        raise EncoderError(f"{path}: damaged (architectures is not a list); {AGAIN}")
    names = [str(each) for each in architectures]
    if not names:
        return unstated
    if any("ForMaskedLM" in name or "ForPreTraining" in name for name in names):
        return "masked-lm"
    if any("ForCausalLM" in name for name in names):
        return "causal-lm"
    raise EncoderError(
        f"{folder}: its architecture is {', '.join(names)}, which has no output layer over its vocabulary (a masked-LM "
        f"head); {WORKS}"
    )
