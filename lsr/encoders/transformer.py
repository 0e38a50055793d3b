"""Any masked language model as a SPLADE-max encoder: texts -> tokens -> hidden states -> sparse rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from lsr.encoders.base import ENCODER_FILE, checked_texts
from lsr.encoders.checkpoint import load_masked_lm
from lsr.encoders.folders import FORMAT_VERSION, Checkpoint
from lsr.encoders.heads import SpladeMaxHead
from lsr.errors import EncoderError, ParameterError
from lsr.files import replacing_file, storage_errors
from lsr.normalise import component_dtype
from lsr.progress import progress_bar
from lsr.vectors import SparseVectors
from lsr.vocabulary import Vocabulary

KIND = "splade-max"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

TEXTS_PER_WINDOW = 8192  # tokenised and sorted by length together; bounds the memory that tokens need
TOKENS_PER_BATCH = 1024  # on the CPU: enough to keep one core's matrix units busy, few enough for its cache
GPU_TOKENS_PER_BATCH = 1 << 16

Tokens = npt.NDArray[np.int32]


class _Rows(NamedTuple):
    """Sparse rows of one batch; `texts` are their positions in the window."""

    texts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    components: npt.NDArray[Any]
    weights: npt.NDArray[np.float32]


class TransformerEncoder:
    """w_j = max_i log(1 + max(0, z_ij)), z_ij the logit of vocabulary token j at token i of the text (SPLADE-max).

    Texts are stripped of white space at both ends and cut off after max_length tokens; where nothing is left, the
    row is empty. The positions of special tokens count, and the components of special tokens are kept, as in the
    published SPLADE models. Documents and queries are treated alike. In bfloat16 the network and the logits are
    computed in 16 bits, the rest in float32.

    checkpoint: a masked language model. device: None takes cuda if there is one. dtype: float32 or bfloat16.
    max_length: special tokens included; what the model was not made to read is cut off too.
    Raises EncoderError for a checkpoint that cannot be loaded or has no masked-LM head, ParameterError for the options.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str | None = None, dtype: str = "float32", max_length: int = 256
    ) -> None:
        if dtype not in DTYPES:
            raise ParameterError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
            raise ParameterError(f"max_length is {max_length!r}; it must be a whole number of at least 1")
        self._device = _device(device)
        self.name = checkpoint.name
        self.dtype = dtype
        loaded = load_masked_lm(checkpoint, self._device, DTYPES[dtype])
        self._model = loaded.model
        self._head = SpladeMaxHead(loaded.weight, loaded.bias)
        self._tokenizer = loaded.tokenizer
        self._pad_id = loaded.pad_id
        self._vocabulary = loaded.vocabulary
        self.max_length = min(max_length, loaded.longest)
        special = self._tokenizer.num_special_tokens_to_add()
        if self.max_length <= special:
            raise ParameterError(
                f"max_length is {max_length}; {self.name} adds {special} special tokens to every text, so that it must "
                f"be at least {special + 1}"
            )

    @property
    def dim(self) -> int:
        return len(self._vocabulary)

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """One row for each text. Texts of like length are computed together, whatever their order.

        batch_size: texts in a batch; None puts as many into one as suit the device. It changes weights by rounding
        only. Raises EncoderError and ParameterError as Encoder says.
        """
        if batch_size is not None and batch_size < 1:
            raise ParameterError(f"batch_size is {batch_size}; it must be at least 1")
        checked = checked_texts(texts)
        windows = []
        with progress_bar("encoding", len(checked), "documents", progress) as advance:
            for start in range(0, len(checked), TEXTS_PER_WINDOW):
                windows.append(self._window(checked[start : start + TEXTS_PER_WINDOW], batch_size, advance))
        return SparseVectors.concatenate(windows) if windows else SparseVectors.empty(self.dim)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """As encode_documents: SPLADE-max has one network for both."""
        return self.encode_documents(texts)

    def describe(self) -> dict[str, Any]:
        """JSON. The device is left out: it changes weights by rounding only."""
        return {
            "kind": KIND,
            "name": self.name,
            "max_length": self.max_length,
            "dtype": self.dtype,
            "vocabulary_hash": self._vocabulary.hash,
        }

    def save(self, folder: str | Path) -> None:
        """Write encoder.json, which names the checkpoint: its weights are not copied. Raises StorageError."""
        folder = Path(folder)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with replacing_file(folder / ENCODER_FILE) as file:
            file.write(json.dumps({"format_version": FORMAT_VERSION, **self.describe()}, indent=1).encode())

    def _window(self, texts: list[str], batch_size: int | None, advance: Callable[[int], None]) -> SparseVectors:
        tokens = self._tokenise(texts)
        batches = list(self._batches(tokens, batch_size))
        lengths = np.zeros(len(texts), np.int64)
        done: list[_Rows] = []
        for rows in self._compute(tokens, batches):
            done.append(rows)
            lengths[rows.texts] = rows.lengths
            advance(len(rows.texts))
        advance(len(texts) - sum(map(len, batches)))  # those without any token
        return self._assemble(lengths, done)

    def _tokenise(self, texts: list[str]) -> list[Tokens]:
        stripped = [text.strip() for text in texts]
        encoded = self._tokenizer(
            stripped,
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        # Special tokens alone would give a row all the same, and with it hits for a text that says nothing.
        return [
            np.array(ids if text else [], np.int32) for text, ids in zip(stripped, encoded["input_ids"], strict=True)
        ]

    def _batches(self, tokens: list[Tokens], batch_size: int | None) -> Iterator[npt.NDArray[np.int64]]:
        """Positions of texts that are computed together: the longest first, each batch of nearly one length."""
        lengths = np.array([len(ids) for ids in tokens])
        order = np.argsort(-lengths, kind="stable")
        order = order[lengths[order] > 0]
        budget = TOKENS_PER_BATCH if self._device.type == "cpu" else GPU_TOKENS_PER_BATCH
        start = 0
        while start < len(order):
            size = batch_size or max(1, budget // int(lengths[order[start]]))
            yield order[start : start + size]
            start += size

    def _compute(self, tokens: list[Tokens], batches: list[npt.NDArray[np.int64]]) -> Iterator[_Rows]:
        """Rows of each batch, in the order of the batches."""
        threads = min(torch.get_num_threads(), len(batches)) if self._device.type == "cpu" else 1
        if threads <= 1:
            yield from (self._batch(tokens, batch) for batch in batches)
            return
        # One batch a core: each stays in its own cache, and no core waits for another after every operation.
        pool = ThreadPoolExecutor(threads, "lsr-encode", initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield from pool.map(lambda batch: self._batch(tokens, batch), batches)
        finally:
            pool.shutdown(cancel_futures=True)

    @torch.inference_mode()
    def _batch(self, tokens: list[Tokens], batch: npt.NDArray[np.int64]) -> _Rows:
        lengths = torch.tensor([len(tokens[text]) for text in batch])
        ids = torch.full((len(batch), int(lengths.max())), self._pad_id)
        for row, text in enumerate(batch):
            ids[row, : len(tokens[text])] = torch.from_numpy(tokens[text])
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        ids, mask = ids.to(self._device), mask.to(self._device)
        hidden = self._model(input_ids=ids, attention_mask=mask.long()).logits
        if not hidden.isfinite().all():
            raise EncoderError(f"{self.name}: the network gives numbers that are not finite; try dtype float32")
        # Instead of padding, the text's own first token again: no maximum changes.
        hidden = torch.where(mask[:, :, None], hidden, hidden[:, :1])
        row_lengths, components, weights = self._head.rows(hidden)
        dtype = component_dtype(self.dim)
        return _Rows(batch, row_lengths.numpy(), components.numpy().astype(dtype), weights.numpy())

    def _assemble(self, lengths: npt.NDArray[np.int64], done: list[_Rows]) -> SparseVectors:
        """The rows of all batches in the order of the texts."""
        indptr = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=indptr[1:])
        indices = np.empty(indptr[-1], component_dtype(self.dim))
        values = np.empty(indptr[-1], np.float32)
        for rows in done:
            end = 0
            for text, length in zip(rows.texts, rows.lengths, strict=True):
                begin, end = end, end + length
                indices[indptr[text] : indptr[text + 1]] = rows.components[begin:end]
                values[indptr[text] : indptr[text + 1]] = rows.weights[begin:end]
        return SparseVectors.from_normalised(indptr, indices, values, self.dim)


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
