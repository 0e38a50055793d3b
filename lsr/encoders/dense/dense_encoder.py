"""Dense encoders: models of sentence-transformers, read and run without that library."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import normalizers
from transformers import AutoConfig, AutoModel, AutoTokenizer

from lsr.encoders.base import check_batch_size, check_max_length, checked_texts, first_line
from lsr.encoders.batches import TEXTS_AT_ONCE, by_length, computed, find_device, find_dtype, move
from lsr.encoders.dense.dense_folder import WORKS, DenseLayout, read_dense_layout
from lsr.encoders.folders.find import WORKS as SPARSE_WORKS
from lsr.encoders.folders.find import FoundModel, absolute_name, named_checkpoint
from lsr.encoders.folders.model_files import AGAIN
from lsr.encoders.folders.saved import is_saved_encoder, read_saved, write_saved
from lsr.encoders.sparse.backbone import positions_of_network, quiet
from lsr.errors import EncoderError, LsrError, ParameterError
from lsr.progress import Advance, progress_bar

KIND = "dense"


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
        self, checkpoint: FoundModel, device: str | None = None, dtype: str = "float32", max_length: int | None = None
    ) -> None:
        number = find_dtype(dtype)
        check_max_length(max_length)
        self.name, self.dtype = checkpoint.name, dtype
        self._device = find_device(device)
        self._layout = read_dense_layout(checkpoint.folder)
        self._model, self._tokenizer = _load(self.name, self._layout)
        stated = self._layout.stated_length or int(min(self._tokenizer.model_max_length, 1 << 30))
        self.max_length = min(max_length or stated, positions_of_network(self._model))
        special = self._tokenizer.num_special_tokens_to_add()
        if self.max_length <= special:
            raise ParameterError(
                f"max_length is {self.max_length}; {self.name} adds {special} special tokens to every text, so that it "
                f"must be at least {special + 1}"
            )
        hidden: int = self._model.config.hidden_size
        self.dim = min(hidden, self._layout.truncate or hidden)
        move(self._model, self._device, number)
        known = {*inspect.signature(self._model.forward).parameters} & {*self._tokenizer.model_input_names}
        self._inputs = ["input_ids", "token_type_ids"] if "token_type_ids" in known else ["input_ids"]
        pad = self._tokenizer.pad_token_id
        self._pad_id = pad if pad is not None else getattr(self._model.config, "pad_token_id", None) or 0
        self._tokenize([""])  # settles how the tokenizer cuts off; from here on it is only read, by whatever thread

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

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write encoder.json, by which load_dense_encoder(folder) finds this encoder again. Raises StorageError.

        It names the encoder; the network is not copied.
        """
        options = {"dtype": self.dtype, "max_length": self.max_length}
        write_saved(Path(folder), {"kind": KIND, "name": self.name, "options": options, "description": self.describe()})

    def _encode(
        self, texts: Sequence[str], prompt: str, unit: str, batch_size: int | None, progress: bool
    ) -> npt.NDArray[np.float32]:
        check_batch_size(batch_size)
        checked = checked_texts(texts)
        rows = np.zeros((len(checked), self.dim), np.float32)  # a text without any token keeps its zeros
        with progress_bar("encoding", len(checked), unit, progress) as advance:
            for start in range(0, len(checked), TEXTS_AT_ONCE):
                tokens = self._tokenize([prompt + text for text in checked[start : start + TEXTS_AT_ONCE]])
                self._fill(rows[start : start + len(tokens)], tokens, batch_size, advance)
        return rows

    def _tokenize(self, texts: list[str]) -> list[npt.NDArray[np.int32]]:
        """Of each text: int32 [inputs of the network, tokens]."""
        encoded = self._tokenizer(
            texts, truncation=True, max_length=self.max_length, return_token_type_ids=len(self._inputs) > 1
        )
        return [np.array(inputs, np.int32) for inputs in zip(*(encoded[key] for key in self._inputs), strict=True)]

    def _fill(
        self,
        rows: npt.NDArray[np.float32],
        tokens: list[npt.NDArray[np.int32]],
        batch_size: int | None,
        advance: Advance,
    ) -> None:
        lengths = np.array([inputs.shape[1] for inputs in tokens], np.int64)
        batches = by_length(lengths, batch_size, self._device)
        done = computed(lambda batch: self._batch([tokens[text] for text in batch]), batches, self._device)
        for batch, found in zip(batches, done, strict=True):
            rows[batch] = found
            advance(len(batch))
        advance(len(tokens) - sum(map(len, batches)))

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
        if self._layout.normalize:
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
        Transformer, Pooling (mean or cls) and perhaps Normalize; the id of such a model on Hugging Face; or a folder
        that `save` wrote, whose options are kept. Weights are read as safetensors only, and no code of a model is run.
    device: where the network computes: "cpu", "cuda", "cuda:1"; None takes cuda if there is one.
    dtype: "float32" or "bfloat16", what the network computes with; rows are float32.
    max_length: tokens of a text that are read, special tokens and prompt among them; None takes what the folder
        states; never more than the network has positions for.

    Raises EncoderError for what cannot be found or is no such model, ParameterError for options that cannot work.
    """
    return _by_name(absolute_name(os.fspath(name_or_path)), device, dtype, max_length)


def _by_name(name: str, device: str | None, dtype: str, max_length: int | None) -> DenseEncoder:
    """What load_dense_encoder says, for a name that absolute_name returned."""
    if is_saved_encoder(name):
        return _open_saved(Path(name), device)
    try:
        checkpoint = named_checkpoint(name)
    except EncoderError as error:
        raise EncoderError(str(error).replace(SPARSE_WORKS, WORKS)) from error
    return DenseEncoder(checkpoint, device, dtype, max_length)


def _open_saved(folder: Path, device: str | None) -> DenseEncoder:
    """The encoder that encoder.json names. Raises EncoderError where it is gone or has changed."""
    saved = read_saved(folder)
    if saved.get("kind") != KIND:
        raise EncoderError(f"{folder}: is an encoder of kind {saved.get('kind')!r}, not a dense one; {WORKS}")
    try:
        name, options, described = str(saved["name"]), dict(saved["options"]), saved["description"]
        encoder = _by_name(name, device, **options)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, LsrError):
            raise
        raise EncoderError(f"{folder}: damaged or incomplete ({error!r}); save the encoder again") from error
    if encoder.describe() != described:
        raise EncoderError(
            f"{folder}: was saved with {name}, which has changed since; bring the old model back, or encode again"
        )
    return encoder


def _load(name: str, layout: DenseLayout) -> tuple[Any, Any]:
    """The network, in float32 on the CPU, and the tokenizer. Raises EncoderError."""
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(layout.transformer), "trust_remote_code": False}
    with quiet():
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
            raise EncoderError(f"{name}: cannot be loaded ({first_line(error)}); {AGAIN}") from error
    missing = sorted(key for key in report["missing_keys"] if "pooler." not in key)  # which nothing here reads
    if missing:
        raise EncoderError(f"{name}: the checkpoint lacks {len(missing)} weights, such as {missing[0]}; {AGAIN}")
    if config.is_encoder_decoder or not isinstance(getattr(config, "hidden_size", None), int):
        raise EncoderError(f"{name}: its network, {type(model).__name__}, is no text encoder; {WORKS}")
    if tokens > known:
        raise EncoderError(
            f"{name}: its tokenizer has {tokens} tokens, its network {known}; copy both from the same place"
        )
    return model.eval().float(), tokenizer
