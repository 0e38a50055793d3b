"""Dense encoders: models of sentence-transformers, and TCT-ColBERT, read and run without other libraries."""

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
MASK = "[MASK]"  # of BERT's tokenizer


class DenseEncoder(HasFacts):
    """Texts -> network -> mean of the states of tokens, or the first state -> layers -> row, perhaps of length 1.

    Rows are those of sentence-transformers' encode_query and encode_document, but for rounding: special tokens are
    read and pooled, so that a blank text has a row like any other; nothing is stripped; what goes beyond max_length
    tokens is left out. In bfloat16 the network computes in 16 bits, pooling is in float32.

    Prompts are put before texts: of queries "query", of documents the first of "document", "passage" and "corpus" that
    is not empty. A folder that names none of these has the prompt of default_prompt_name there, if any.

    Rows of TCT-ColBERT are those of Pyserini's TctColBertDocumentEncoder and TctColBertQueryEncoder: [CLS], [D] or [Q],
    and the text; the mean is of what follows the four tokens before the text. Queries are filled up with [MASK] to 36
    tokens, all of which count.

    The options, and what is raised, are those of load_dense_encoder.
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
            optional="pooler.",  # which nothing here reads
            special=not self._layout.skipped,
        )
        config = self._network.model.config
        if config.is_encoder_decoder or not isinstance(getattr(config, "hidden_size", None), int):
            kind = type(self._network.model).__name__
            raise EncoderError(f"{self.name}: its network, {kind}, is not a text encoder; {DENSE_WORKS}")
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
        """float32 [texts, dim], in the order of the texts. Texts of like length are computed together.

        batch_size: texts in a batch, at most; None puts as many into one as suit the device. It changes rows by
        rounding only. Raises EncoderError for what is not valid text, and where the network gives numbers that are not
        finite; ParameterError for batch_size < 1.
        """
        return self._encode(texts, False, batch_size, progress)

    def encode_queries(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """As encode_documents, for queries."""
        return self._encode(texts, True, batch_size, progress)

    def describe(self) -> dict[str, Any]:
        """JSON: every setting that changes a row. The device is left out: it changes rows by rounding only."""
        options = {"max_length": self.max_length, "dtype": self.dtype, "dim": self.dim}
        return {"kind": DENSE, "name": self.name, **options, **self._layout.described()}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write encoder.json, by which load_dense_encoder(folder) finds this encoder again. Raises StorageError.

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
        rows = np.zeros((len(checked), self.dim), np.float32)  # a text without any token keeps its zeros
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
        """That all tokens of the prompts, and no others, are not pooled. Raises EncoderError, ParameterError."""
        skipped, most = self._layout.skipped, self.max_length
        if not skipped:
            return
        if most <= skipped:
            raise ParameterError(
                f"max_length is {most}; {self.name} has {skipped} tokens before every text, so that it must be at "
                f"least {skipped + 1}"
            )
        document, query = (self._tokens([""], query)[0][0] for query in (False, True))
        if len(document) != skipped or len({*query[skipped:].tolist()}) != 1:
            raise EncoderError(
                f"{self.name}: its tokenizer does not make {skipped} tokens of {self._layout.document_prompt!r}, or "
                f"knows no {MASK}, so that it is not TCT-ColBERT's; copy the tokenizer again"
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
    """A dense encoder by name.

    name_or_path: "minilm" (all-MiniLM-L6-v2, of the extra `minilm`); a folder that sentence-transformers wrote, made of
        Transformer, Pooling (mean or cls), layers Dense and LayerNorm, and perhaps Normalize; a TCT-ColBERT model,
        which is told by tct_colbert in its name; the id of such a model on Hugging Face; or a folder that `save` wrote,
        whose options are kept. Weights are read as safetensors only, and no code of a model is run.
    device: where the network computes: "cpu", "cuda", "cuda:1"; None takes cuda if there is one.
    dtype: "float32" or "bfloat16", what the network computes with; rows are float32.
    max_length: tokens of a text that are read, special tokens and prompt among them; None takes what the folder
        states; never more than the network has positions for.

    Raises EncoderError for what cannot be found or is not such a model, ParameterError for options that cannot work.
    """
    return _by_name(absolute_name(name_or_path), device, dtype, max_length)


def _by_name(name: str, device: str | None, dtype: Dtype, max_length: int | None) -> DenseEncoder:
    """What load_dense_encoder says, for a name that absolute_name returned."""
    if is_saved_encoder(name):
        return _open_saved(Path(name), device)
    try:
        checkpoint = named_checkpoint(name)
    except EncoderError as error:
        raise EncoderError(str(error).replace(WORKS, DENSE_WORKS)) from error
    return DenseEncoder(checkpoint, device, dtype, max_length)


def _open_saved(folder: Path, device: str | None) -> DenseEncoder:
    """The encoder that encoder.json names. Raises EncoderError where it is gone or has changed."""
    saved = american(read_saved(folder))
    if saved.get("kind") != DENSE:
        raise EncoderError(f"{folder}: is an encoder of kind {saved.get('kind')!r}, not a dense one; {DENSE_WORKS}")
    encoder: DenseEncoder = open_named(folder, saved, lambda name, _, **options: _by_name(name, device, **options))
    return encoder
