"""The JSON files of dense models (sentence-transformers and TCT-ColBERT). No weights are loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from lsr.encoders.folders.find import FoundModel
from lsr.encoders.folders.model_files import AGAIN, read_object
from lsr.encoders.folders.sentence_transformers import MODULES_FILE, SETTINGS_FILE, Module, read_modules, read_prompts
from lsr.errors import EncoderError

DENSE_WORKS = (
    'lsr reads "minilm", a folder of sentence-transformers, a TCT-ColBERT model with tct_colbert in its '
    "name, or a Hugging Face id such as sentence-transformers/all-MiniLM-L6-v2"
)
READS = (
    "lsr reads Transformer, Pooling by mean or cls, layers Dense and LayerNorm, and optionally Normalize, in this order"
)
LAYERS = ("Dense", "LayerNorm")
TCT_COLBERT = re.compile("tct[-_]?colbert", re.IGNORECASE)
# sentence_bert_config.json: required values of keys, and other keys, which are read or do not affect rows.
TEXT_ONLY = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
TRANSFORMER_KEYS = ("max_seq_length", "do_lower_case", "unpad_inputs")
POOLING_KEYS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}  # old keys, new names


class DenseLayout(NamedTuple):
    """The layout of a dense model.

    transformer: the folder of the network.
    stated_length: the maximum number of tokens of a text; None if the folder does not state it.
    pooling: "mean" or "cls".
    truncate: the number of components of a row that are kept; None for all.
    layers: layers that are applied to the pooled row.
    skipped: the number of first tokens that are not pooled. If it is above 0, prompts contain all special tokens.
    query_tokens: queries are padded with [MASK], or cut, to this number of tokens; None for no change.
    """

    transformer: Path
    stated_length: int | None
    lower_case: bool
    pooling: str
    normalize: bool
    truncate: int | None
    query_prompt: str
    document_prompt: str
    layers: tuple[Module, ...] = ()
    skipped: int = 0
    query_tokens: int | None = None

    def described(self) -> dict[str, Any]:
        """A description as JSON: everything that changes a row, without paths. Rare settings appear only if used."""
        settings = {key: getattr(self, key) for key in ("lower_case", "pooling", "normalize")}
        settings |= {"query_prompt": self.query_prompt, "document_prompt": self.document_prompt}
        if self.layers:
            settings["layers"] = [kind for kind, _ in self.layers]
        if self.skipped:
            settings |= {"skipped": self.skipped, "query_tokens": self.query_tokens}
        return settings


def read_dense_layout(model: FoundModel) -> DenseLayout:
    """The layout in a folder's JSON files. Raises EncoderError for unsupported or unreadable settings."""
    folder = model.folder
    if not (folder / MODULES_FILE).is_file():
        if TCT_COLBERT.search(Path(model.name).name):
            return _tct_colbert(folder)
        raise EncoderError(
            f"{folder}: has no {MODULES_FILE}, so it is not a sentence-transformers model; {DENSE_WORKS}"
        )
    modules = read_modules(folder)
    kinds, places = zip(*modules, strict=True)
    normalize = kinds[-1] == "Normalize"
    layers = tuple(modules[2 : -1 if normalize else None])
    if kinds[:2] != ("Transformer", "Pooling") or not {kind for kind, _ in layers} <= {*LAYERS}:
        raise EncoderError(f"{folder}: is a sentence-transformers model made of {', '.join(kinds)}; {READS}")
    for place in places[2 + len(layers) :]:
        feature = read_object(place / "config.json", optional=True).get("module_input_name", "sentence_embedding")
        if feature != "sentence_embedding":
            raise EncoderError(f"{place}: normalizes {feature!r}; lsr normalizes sentence_embedding")
    query_prompt, document_prompt, truncate = _read_settings(folder / SETTINGS_FILE)
    pooling = _read_pooling(places[1] / "config.json", prompted=bool(query_prompt or document_prompt))
    length, lower_case = _read_transformer(places[0])
    prompts = query_prompt, document_prompt
    return DenseLayout(places[0], length, lower_case, pooling, normalize, truncate, *prompts, layers)


def _tct_colbert(folder: Path) -> DenseLayout:
    """TCT-ColBERT (Lin et al., RepL4NLP 2021): a plain BERT, with the settings of Pyserini's encoders.

    The four tokens [CLS] [ D ], or [CLS] [ Q ] of queries, are read and not pooled; there is no [SEP]. Queries have 36
    tokens; their [MASK] tokens are read and pooled.
    """
    return DenseLayout(folder, 512, False, "mean", False, None, "[CLS] [Q] ", "[CLS] [D] ", skipped=4, query_tokens=36)


def _read_transformer(folder: Path) -> tuple[int | None, bool]:
    """max_seq_length, do_lower_case."""
    # Early versions have the architecture in the file's name.
    path = next(iter(sorted(folder.glob("sentence_*_config.json"))), folder / "sentence_bert_config.json")
    settings = read_object(path, optional=True)
    for key, value in settings.items():
        if (value != TEXT_ONLY[key]) if key in TEXT_ONLY else (value and key not in TRANSFORMER_KEYS):
            raise EncoderError(f"{path}: {key} is {value!r}, which is not supported; {DENSE_WORKS}")
    length = settings.get("max_seq_length")
    if length is not None and (type(length) is not int or length < 1):
        raise EncoderError(f"{path}: max_seq_length is {length!r}; it must be a positive integer; {AGAIN}")
    return length, bool(settings.get("do_lower_case"))


def _read_pooling(path: Path, prompted: bool) -> str:
    settings = read_object(path)
    modes = settings.get("pooling_mode")
    if modes is None:
        modes = [POOLING_KEYS.get(key, key) for key, on in settings.items() if key.startswith("pooling_mode_") and on]
        modes = modes or ["mean"]  # the default of sentence-transformers
    modes = modes if isinstance(modes, list) else [modes]
    if len(modes) != 1 or modes[0] not in POOLING_KEYS.values():
        raise EncoderError(f"{path}: unsupported pooling: {' and '.join(map(str, modes)) or 'none'}; {READS}")
    if prompted and not settings.get("include_prompt", True):
        raise EncoderError(f"{path}: include_prompt is false, which is not supported; {DENSE_WORKS}")
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
        raise EncoderError(f"{path}: truncate_dim is {truncate!r}; it must be a positive integer; {AGAIN}")

    def prompt_of(*names: str) -> str:
        stated = [prompts[name] or "" for name in names if name in prompts]
        return next(filter(None, stated), "") if stated else prompts.get(default) or ""

    return prompt_of("query"), prompt_of("document", "passage", "corpus"), truncate
