"""Folders of sentence-transformers' dense models: what their JSON files say. Nothing is loaded here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from lsr.encoders.folders.model_files import AGAIN, read_object
from lsr.encoders.folders.sentence_transformers import MODULES_FILE, SETTINGS_FILE, read_modules, read_prompts
from lsr.errors import EncoderError

DENSE_WORKS = (
    'these work: "minilm", a folder that sentence-transformers wrote, or a Hugging Face id such as '
    "sentence-transformers/all-MiniLM-L6-v2"
)
READS = "lsr reads Transformer, Pooling by mean or cls, and perhaps Normalize, in that order"
# sentence_bert_config.json: what it must say where it says it, and what else is read or has no part in a row.
TEXT_ONLY = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
TRANSFORMER_KEYS = ("max_seq_length", "do_lower_case", "unpad_inputs")
POOLING_KEYS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}  # old keys, new names


class DenseLayout(NamedTuple):
    """transformer: folder of the network. stated_length: tokens of a text, None where the folder does not say.

    pooling: "mean" or "cls". truncate: components of a row that are kept, None for all.
    """

    transformer: Path
    stated_length: int | None
    lower_case: bool
    pooling: str
    normalize: bool
    truncate: int | None
    query_prompt: str
    document_prompt: str


def read_dense_layout(folder: Path) -> DenseLayout:
    """What a folder's JSON files say. Raises EncoderError for what lsr cannot do, or cannot read."""
    if not (folder / MODULES_FILE).is_file():
        raise EncoderError(
            f"{folder}: has no {MODULES_FILE}, so that it is not a sentence-transformers model; {DENSE_WORKS}"
        )
    kinds, places = zip(*read_modules(folder), strict=True)
    if kinds not in (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize")):
        raise EncoderError(f"{folder}: a sentence-transformers model made of {', '.join(kinds)}; {READS}")
    for place in places[2:]:
        feature = read_object(place / "config.json", optional=True).get("module_input_name", "sentence_embedding")
        if feature != "sentence_embedding":
            raise EncoderError(f"{place}: normalizes {feature!r}; lsr normalizes sentence_embedding")
    query_prompt, document_prompt, truncate = _read_settings(folder / SETTINGS_FILE)
    pooling = _read_pooling(places[1] / "config.json", prompted=bool(query_prompt or document_prompt))
    length, lower_case = _read_transformer(places[0])
    return DenseLayout(places[0], length, lower_case, pooling, len(kinds) == 3, truncate, query_prompt, document_prompt)


def _read_transformer(folder: Path) -> tuple[int | None, bool]:
    """max_seq_length, do_lower_case."""
    # Early versions put the architecture into the file's name.
    path = next(iter(sorted(folder.glob("sentence_*_config.json"))), folder / "sentence_bert_config.json")
    settings = read_object(path, optional=True)
    for key, value in settings.items():
        if (value != TEXT_ONLY[key]) if key in TEXT_ONLY else (value and key not in TRANSFORMER_KEYS):
            raise EncoderError(f"{path}: {key} is {value!r}, which lsr does not know; {DENSE_WORKS}")
    length = settings.get("max_seq_length")
    if length is not None and (type(length) is not int or length < 1):
        raise EncoderError(f"{path}: max_seq_length is {length!r}, no number of tokens; {AGAIN}")
    return length, bool(settings.get("do_lower_case"))


def _read_pooling(path: Path, prompted: bool) -> str:
    settings = read_object(path)
    modes = settings.get("pooling_mode")
    if modes is None:
        modes = [POOLING_KEYS.get(key, key) for key, on in settings.items() if key.startswith("pooling_mode_") and on]
        modes = modes or ["mean"]  # as sentence-transformers has it
    modes = modes if isinstance(modes, list) else [modes]
    if len(modes) != 1 or modes[0] not in POOLING_KEYS.values():
        raise EncoderError(f"{path}: pools by {' and '.join(map(str, modes)) or 'nothing'}; {READS}")
    if prompted and not settings.get("include_prompt", True):
        raise EncoderError(f"{path}: does not pool the prompt (include_prompt is false), which lsr does; {DENSE_WORKS}")
    return str(modes[0])


def _read_settings(path: Path) -> tuple[str, str, int | None]:
    """The prompt of queries, that of documents, and truncate_dim."""
    settings = read_object(path, optional=True)
    prompts = read_prompts(path, settings)
    default: Any = settings.get("default_prompt_name")
    if default is not None and default not in [*prompts, "query", "document"]:
        raise EncoderError(f"{path}: default_prompt_name is {default!r}, but there is no such prompt; {AGAIN}")
    truncate = settings.get("truncate_dim")
    if truncate is not None and (type(truncate) is not int or truncate < 1):
        raise EncoderError(f"{path}: truncate_dim is {truncate!r}, no number of components; {AGAIN}")

    def prompt_of(*names: str) -> str:
        stated = [prompts[name] or "" for name in names if name in prompts]
        return next(filter(None, stated), "") if stated else prompts.get(default) or ""

    return prompt_of("query"), prompt_of("document", "passage", "corpus"), truncate
