"""Dense encoders: models of sentence-transformers, and TCT-ColBERT, without their libraries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoModel

from lsr.checks import expanded
from lsr.display import HasFacts
from lsr.encoders.base import TEXTS_AT_ONCE, Dtype, check_batch_size, encodable
from lsr.encoders.dense.dense_folder import DENSE_WORKS, read_dense_layout
from lsr.encoders.dense.dense_layers import read_layers
from lsr.encoders.folders.find import WORKS, FoundModel, absolute_name, named_checkpoint
from lsr.encoders.folders.saved import is_saved_encoder, open_named, read_saved, write_saved
from lsr.encoders.text_network import TextNetwork, Tokens
from lsr.errors import EncoderError, ParameterError
from lsr.progress import progress_bar
from lsr.spelling import american

DENSE = "dense"
MASK = "[MASK]"  # the mask token of BERT's tokenizer


class DenseEncoder(HasFacts):
    """Encodes texts as dense vectors with a model of sentence-transformers. Create one with load_dense_encoder.

    A network computes the states of tokens. Their mean, or the first state, passes through the model's layers. Rows
    equal those of sentence-transformers' encode_query and encode_document, up to rounding, and are normalized if the
    model says so. Special tokens are read and pooled, so that a blank text has a row like any other; texts are not
    stripped; tokens beyond max_length are cut off. In bfloat16, the network computes in 16 bits and pools in float32.

    Prompts are put before texts: "query" before queries; before documents, the first of "document", "passage" and
    "corpus" that is not empty. A folder without these names uses the prompt of its default_prompt_name, if any.

    Rows of TCT-ColBERT equal those of Pyserini's TctColBertDocumentEncoder and TctColBertQueryEncoder: [CLS], [D] or
    [Q], and the text; the mean is over all tokens after these four. Queries are padded with [MASK] to 36 tokens, which
    are all pooled.

    For options and errors, see load_dense_encoder.
    """

    def __init__(
        self, checkpoint: FoundModel, device: str | None = None, dtype: Dtype = "float32", max_length: int | None = None
    ) -> None:
        self._made_of = checkpoint, device, dtype, max_length
        self.name, self.dtype = checkpoint.name, dtype
        self._layout = read_dense_layout(checkpoint)
        self._network = TextNetwork(
            self.name,
            self._layout.transformer,
            AutoModel,
            DENSE_WORKS,
            device,
            dtype,
            max_length,
            stated_length=self._layout.stated_length,
            lower_case=self._layout.lower_case,
            optional="pooler.",  # not needed here
            special=not self._layout.skipped,
        )
        config = self._network.model.config
        if config.is_encoder_decoder or not isinstance(getattr(config, "hidden_size", None), int):
            kind = type(self._network.model).__name__
            raise EncoderError(f"{self.name}: the network {kind} is not a text encoder; {DENSE_WORKS}")
        self.max_length = self._network.max_length
        self._check_marks()
        layers, width = read_layers(self._layout.layers, config.hidden_size)
        self._layers = layers.to(self._network.model.device)
        self.dim: int = min(width, self._layout.truncate or width)

    def __reduce__(self) -> tuple[Any, ...]:
        return DenseEncoder, self._made_of  # weights are read again

    def _facts(self) -> dict[str, object]:
        return {"name": self.name, "components": self.dim, "max_length": str(self.max_length), "dtype": self.dtype}

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """float32 [texts, dim], in the order of the texts. Texts of similar length are computed together.

        batch_size: maximum number of texts in a batch. None chooses a size for the device. It changes rows only by
            rounding.
        progress: show a bar on standard error.

        Raises EncoderError for a value that is not valid text, and if the network returns NaN or infinite values;
        ParameterError for batch_size < 1.
        """
        return self._encode(texts, False, batch_size, progress)

    def encode_queries(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """Like encode_documents, for queries."""
        return self._encode(texts, True, batch_size, progress)

    def describe(self) -> dict[str, Any]:
        """A description as JSON: every setting that changes a row. The device only changes rounding."""
        options = {"max_length": self.max_length, "dtype": self.dtype, "dim": self.dim}
        return {"kind": DENSE, "name": self.name, **options, **self._layout.described()}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write encoder.json, with which load_dense_encoder(folder) loads this encoder. Raises StorageError.

        It names the encoder; the network is not copied.
        """
        options = {"dtype": self.dtype, "max_length": self.max_length}
        write_saved(
            expanded(folder), {"kind": DENSE, "name": self.name, "options": options, "description": self.describe()}
        )

    def _encode(
        self, texts: Sequence[str], query: bool, batch_size: int | None, progress: bool
    ) -> npt.NDArray[np.float32]:
        check_batch_size(batch_size)
        checked = encodable(texts)
        rows = np.zeros((len(checked), self.dim), np.float32)  # a text without any token has a row of zeros
        with progress_bar("encoding", len(checked), "queries" if query else "documents", progress) as advance:
            for start in range(0, len(checked), TEXTS_AT_ONCE):
                some = rows[start : start + TEXTS_AT_ONCE]
                tokens = self._tokens(checked[start : start + TEXTS_AT_ONCE], query)
                for batch, found in self._network.compute(tokens, batch_size, self._pool):
                    some[batch] = found
                    advance(len(batch))
                advance(sum(not len(ids) for ids, *_ in tokens))
        return rows

    def _tokens(self, texts: Sequence[str], query: bool) -> list[Tokens]:
        layout = self._layout
        prompt, longest = (layout.query_prompt, layout.query_tokens) if query else (layout.document_prompt, None)
        if longest is None:
            return self._network.tokenize([prompt + text for text in texts])
        tokens = self._network.tokenize([prompt + text + MASK * longest for text in texts])
        return [[each[:longest] for each in inputs] for inputs in tokens]

    def _check_marks(self) -> None:
        """Check that exactly the tokens of the prompts are not pooled. Raises EncoderError, ParameterError."""
        skipped, most = self._layout.skipped, self.max_length
        if not skipped:
            return
        if most <= skipped:
            raise ParameterError(
                f"max_length is {most}; {self.name} has {skipped} tokens before every text, so it must be at least "
                f"{skipped + 1}"
            )
        document, query = (self._tokens([""], query)[0][0] for query in (False, True))
        if len(document) != skipped or len({*query[skipped:].tolist()}) != 1:
            raise EncoderError(
                f"{self.name}: the tokenizer is not that of TCT-ColBERT (it does not make {skipped} tokens of "
                f"{self._layout.document_prompt!r}, or has no {MASK}); download or copy the model again"
            )

    def _pool(self, output: Any, mask: Tensor) -> Tensor:
        states: Tensor = output.last_hidden_state.float()
        if self._layout.pooling == "cls":
            pooled = states[:, 0]
        else:
            mask = mask & (torch.arange(mask.shape[1], device=mask.device) >= self._layout.skipped)
            pooled = states.masked_fill(~mask[:, :, None], 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        pooled = self._layers(pooled)
        if self._layout.normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        return pooled[:, : self.dim]


def load_dense_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | None = None,
    dtype: Dtype = "float32",
    max_length: int | None = None,
) -> DenseEncoder:
    """Load a dense encoder by name or folder.

    name_or_path: "minilm" (all-MiniLM-L6-v2, from the extra `minilm`); a folder of sentence-transformers with
        Transformer, Pooling (mean or cls), layers Dense and LayerNorm, and optionally Normalize; a TCT-ColBERT model,
        with tct_colbert in its name; the id of such a model on Hugging Face; or a folder written by `save`, with its
        options. Weights are read only as safetensors, and no code of a model is run.
    device: "cpu", "cuda", "cuda:1". Default: cuda if available.
    dtype: "float32" or "bfloat16", in which the network computes; rows are float32.
    max_length: maximum number of tokens of a text, with special tokens and prompt; never more than the network has
        positions for. Default: that of the folder.

    Raises EncoderError for a model that cannot be found or is of another kind, ParameterError for invalid options.
    """
    return _by_name(absolute_name(name_or_path), device, dtype, max_length)


def _by_name(name: str, device: str | None, dtype: Dtype, max_length: int | None) -> DenseEncoder:
    """See load_dense_encoder. name: as absolute_name returns it."""
    if is_saved_encoder(name):
        return _open_saved(Path(name), device)
    try:
        checkpoint = named_checkpoint(name)
    except EncoderError as error:
        raise EncoderError(str(error).replace(WORKS, DENSE_WORKS)) from error
    return DenseEncoder(checkpoint, device, dtype, max_length)


def _open_saved(folder: Path, device: str | None) -> DenseEncoder:
    """The encoder that encoder.json names. Raises EncoderError if it is missing or has changed."""
    saved = american(read_saved(folder))
    if saved.get("kind") != DENSE:
        raise EncoderError(f"{folder}: is an encoder of kind {saved.get('kind')!r}, not a dense encoder; {DENSE_WORKS}")
    encoder: DenseEncoder = open_named(folder, saved, lambda name, _, **options: _by_name(name, device, **options))
    return encoder
