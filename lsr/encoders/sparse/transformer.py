"""A side of an encoder with a network: texts -> tokens -> states -> sparse rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.rnn import pad_sequence

from lsr.encoders.base import TEXTS_AT_ONCE, Dtype, TokenSpans
from lsr.encoders.batches import by_length, collate, computed, find_device, find_dtype, move, pad_id
from lsr.encoders.sparse.backbone import load_backbone, load_tensors, load_tokenizer, seeded
from lsr.encoders.sparse.heads import Batch, Head
from lsr.encoders.sparse.text_windows import Windows
from lsr.encoders.sparse.tokens import lowered, prepared_texts, spans_of, vocabulary_of
from lsr.encoders.sparse.word_stems import content_tokens, stems_of
from lsr.encoders.spec import TransformerSpec
from lsr.encoders.text_beginnings import TextBeginnings
from lsr.errors import EncoderError, ParameterError
from lsr.progress import Advance, progress_bar
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary


class TokenizedText(NamedTuple):
    """The tokens of a text.

    ids: int32 [tokens]. special, counted: bool [tokens], as in Batch. beyond: int32, the tokens after them that only a
        lexical part reads.
    """

    ids: npt.NDArray[np.int32]
    special: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    beyond: npt.NDArray[np.int32] = np.zeros(0, np.int32)


class TransformerSide:
    """The side of a TransformerSpec.

    Texts are stripped of white space at both ends and cut off after max_length tokens. An empty text has an empty row.
    In bfloat16, the network and the logits are computed in 16 bits, the rest in float32.

    name: the name of the encoder, for messages. device: None takes cuda if available. dtype: float32 or bfloat16.
    like: a side whose backbone this one shares. seed: the seed of missing weights, for training; None raises an error.

    Raises EncoderError for files that cannot be loaded or do not match, ParameterError for the options.
    """

    def __init__(
        self,
        name: str,
        spec: TransformerSpec,
        device: str | None = None,
        dtype: Dtype = "float32",
        like: TransformerSide | None = None,
        seed: int | None = None,
    ) -> None:
        number = find_dtype(dtype)
        self.name, self.spec = name, spec
        self._device = find_device(device)
        self._tokenizing: Lock = Lock() if like is None else like._tokenizing
        if like is None:
            self.backbone = load_backbone(name, spec.backbone, seed)
            self.tokenizer = load_tokenizer(name, spec.backbone.tokenizer)
            self._vocabulary = vocabulary_of(name, self.tokenizer.get_vocab(), self.backbone.components)
        else:
            self.backbone, self.tokenizer, self._vocabulary = like.backbone, like.tokenizer, like.vocabulary
        self._beginnings = TextBeginnings.of(self.tokenizer)
        special = frozenset(self.tokenizer.all_special_ids)
        components = self.backbone.components
        with seeded(seed):
            self.head = Head(spec.head, self.backbone.output, self.backbone.hidden, components, special).eval()
        if like is not None and like.spec.head_weights == spec.head_weights:
            self.head.share(like.head)
        if seed is None:
            _load_head(name, self.head, spec)
        if self.head.lexical is not None:
            self.head.lexical.stems = torch.from_numpy(stems_of(self._vocabulary))
            self.head.lexical.counted = torch.from_numpy(content_tokens(self._vocabulary))
        move(self.backbone, self._device, number)
        self.head.to(self._device).requires_grad_(False)
        if self.head.vocabulary is not None:
            self.head.vocabulary.prepare()

        self._pad_id = pad_id(self.backbone.model, self.tokenizer)
        longest = min(self.backbone.longest, int(min(self.tokenizer.model_max_length, 1 << 30)))
        self.max_length = min(spec.max_length, longest)
        self._added = int(self.tokenizer.num_special_tokens_to_add()) if spec.special_tokens else 0
        if self.max_length <= self._added + int(spec.echo):
            raise ParameterError(
                f"max_length is {spec.max_length}; {name} adds {self._added} special tokens to every text, so it must "
                f"be at least {self._added + 1 + int(spec.echo)}"
            )

    @property
    def dim(self) -> int:
        return self.backbone.components

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def encode(self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False) -> SparseVectors:
        """One row per text. Texts of similar length are computed together, in any order.

        batch_size: maximum number of texts in a batch; None chooses a size for the device. It changes weights only by
            rounding. Raises EncoderError if the network returns NaN or infinite values.
        """
        parts = []
        with progress_bar("encoding", len(texts), "documents", progress) as advance:
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                tokens = self.tokenize(texts[start : start + TEXTS_AT_ONCE], self.spec.prompt)
                parts.append(self._encode(tokens, batch_size, advance))
        return SparseVectors.concatenate(parts) if parts else SparseVectors.empty(self.dim)

    def encode_windows(self, texts: Sequence[str], stride: int | None = None, batch_size: int | None = None) -> Windows:
        """Every window of the texts.

        stride: tokens between the starts of two windows; None for windows without overlap. Raises ParameterError for a
            stride that is not between 1 and the tokens of a window.
        """
        room = self._room()
        stride = room if stride is None else stride
        if not 1 <= stride <= room:
            raise ParameterError(f"stride is {stride}; with max_length {self.max_length} it must be from 1 to {room}")
        tokens: list[TokenizedText] = []
        owners: list[int] = []
        spans: list[tuple[int, int]] = []
        for text, prepared in enumerate(prepared_texts(texts, self.spec.prompt, self.spec.lower_case)):
            if not prepared:
                continue
            before = len(self.spec.prompt) - (len(texts[text]) - len(texts[text].lstrip()))
            encoded = self._tokenizer_call(
                prepared,
                truncation=True,
                max_length=room + self._added,
                stride=room - stride,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                return_special_tokens_mask=True,
            )
            for ids, special, offsets in zip(
                encoded["input_ids"], encoded["special_tokens_mask"], encoded["offset_mapping"], strict=True
            ):
                covered = [span for span, is_special in zip(offsets, special, strict=True) if not is_special]
                if not covered:
                    continue
                tokens.append(self._tokens(ids, special))
                owners.append(text)
                spans.append((max(0, covered[0][0] - before), max(0, covered[-1][1] - before)))
        bounds = np.array(spans, np.int64).reshape(-1, 2)
        with progress_bar("", None, "", shown=False) as advance:
            vectors = self._encode(tokens, batch_size, advance)
        return Windows(vectors, np.array(owners, np.int64), bounds[:, 0], bounds[:, 1], len(texts))

    def literal(self, text: str) -> set[int]:
        """The components of the tokens of a text that are read, without special tokens."""
        (tokens,) = self.tokenize([text], prompt="")
        found = np.concatenate([tokens.ids[~tokens.special], tokens.beyond])
        return set((found if self.head.lexical is None else self.head.lexical.stems.cpu().numpy()[found]).tolist())

    def spans(self, text: str) -> TokenSpans | None:
        """All tokens of a text, and their characters; None for a tokenizer without character positions."""
        if not self.tokenizer.is_fast:
            return None
        read = lowered(text) if self.spec.lower_case else text
        encoded = self._tokenizer_call(read, special=False, return_offsets_mapping=True, verbose=False)
        return spans_of(encoded["input_ids"], encoded["offset_mapping"], self.tokenizer.all_special_ids)

    def set_window(self, window: int | None) -> None:
        """Set the number of largest weights to keep (HeadSpec.window), as training returns it."""
        head = replace(self.spec.head, window=window)
        self.spec, self.head.spec = replace(self.spec, head=head), head

    def collate(self, tokens: Sequence[TokenizedText]) -> Batch:
        """The tokens of some texts as one batch, on the CPU."""
        mask, ids, special, counted = collate([each[:3] for each in tokens], self._pad_id)
        beyond = pad_sequence([torch.from_numpy(each.beyond) for each in tokens], True, -1).long()
        return Batch(ids, mask, counted, special, beyond)

    def _room(self) -> int:
        """The maximum number of tokens of a window, without special tokens."""
        room = self.max_length - self._added
        return room // 2 if self.spec.echo else room

    def tokenize(self, texts: Sequence[str], prompt: str) -> list[TokenizedText]:
        """The tokens of each text that are read; none for a blank text. A lexical part reads the whole text."""
        prepared = prepared_texts(texts, prompt, self.spec.lower_case)
        length = self._room() + self._added

        def tokenize(some: list[str]) -> list[tuple[list[int], list[int]]]:
            encoded = self._tokenizer_call(some, truncation=True, max_length=length, return_special_tokens_mask=True)
            return list(zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True))

        found = self._beginnings.tokenize(prepared, length, tokenize, lambda tokens: len(tokens[0]))
        # Special tokens alone would give a row, and with it hits for a blank text.
        read = [self._tokens(*(tokens if text else ([], []))) for text, tokens in zip(prepared, found, strict=True)]
        if self.head.lexical is not None:
            for number, (text, (ids, _)) in enumerate(zip(prepared, found, strict=True)):
                if len(ids) == length:
                    every = self._tokenizer_call(text, special=False, verbose=False)["input_ids"]
                    read[number] = read[number]._replace(beyond=np.array(every[self._room() :], np.int32))
        return read

    def _tokenizer_call(self, texts: Any, special: bool = True, **options: Any) -> Any:
        # Truncation is a state of the tokenizer: it fails if two threads change it at once.
        with self._tokenizing:
            return self.tokenizer(
                texts,
                add_special_tokens=special and self.spec.special_tokens,
                return_attention_mask=False,
                return_token_type_ids=False,
                **options,
            )

    def _tokens(self, ids: list[int], special: list[int]) -> TokenizedText:
        numbers, is_special = np.array(ids, np.int32), np.array(special, bool)
        counted = np.ones(len(numbers), bool) if self.spec.head.special_positions else ~is_special
        if not self.spec.echo or not len(numbers):
            return TokenizedText(numbers, is_special, counted)
        # [CLS] text [SEP] becomes [CLS] text text [SEP].
        body = np.flatnonzero(~is_special)
        begin, end = (body[0], body[-1] + 1) if len(body) else (0, 0)
        twice = np.concatenate([np.arange(end), np.arange(begin, len(numbers))])
        return TokenizedText(numbers[twice], is_special[twice], counted[twice] & (np.arange(len(twice)) >= end))

    def _encode(self, tokens: list[TokenizedText], batch_size: int | None, advance: Advance) -> SparseVectors:
        lengths = np.array([len(each.ids) for each in tokens], np.int64)
        batches = by_length(lengths, batch_size, self._device)
        parts = []
        rows = computed(lambda batch: self._batch(tokens, batch), batches, self._device)
        for batch, vectors in zip(batches, rows, strict=True):
            parts.append(vectors)
            advance(len(batch))
        done = np.concatenate([np.zeros(0, np.int64), *batches])
        blank = np.setdiff1d(np.arange(len(tokens)), done)
        advance(len(blank))
        parts.append(SparseVectors(np.zeros(len(blank) + 1, np.int64), [], [], self.dim))
        return SparseVectors.concatenate(parts)[np.argsort(np.concatenate([done, blank]))]

    @torch.inference_mode()
    def _batch(self, tokens: list[TokenizedText], chosen: npt.NDArray[np.int64]) -> SparseVectors:
        batch = Batch(*(tensor.to(self._device) for tensor in self.collate([tokens[text] for text in chosen])))
        states = self.backbone.states(batch.ids, batch.mask)
        states = states if self.head.needs_last else states._replace(last=None)
        looked_at = states.last if states.inputs is None else states.inputs
        if looked_at is None or not looked_at[batch.mask].isfinite().all():
            raise EncoderError(f"{self.name}: the network returns NaN or infinite values; try dtype float32")
        return self.head.vectors(states, batch)


def _load_head(name: str, head: Head, spec: TransformerSpec) -> None:
    """Load the head's own weights. Raises EncoderError for missing weights, or weights of another size."""
    own = {key: tensor for key, tensor in head.state_dict(keep_vars=True).items() if not key.startswith("vocabulary.")}
    if not own:
        return
    if spec.head_weights is None:
        raise EncoderError(f"{name}: has no file with the weights of its head ({', '.join(own)}); save it again")
    found = load_tensors(spec.head_weights)
    renamed = dict(spec.head_names)
    for key, parameter in own.items():
        tensor = found.get(renamed.get(key, key))
        if tensor is None:
            raise EncoderError(f"{spec.head_weights}: has no tensor {renamed.get(key, key)!r}; save the encoder again")
        if tensor.shape != parameter.shape:
            raise EncoderError(
                f"{spec.head_weights}: {renamed.get(key, key)} has the size {list(tensor.shape)}, but the backbone "
                f"needs {list(parameter.shape)}; they are not of one model, copy both from the same place"
            )
        parameter.data = tensor.to(parameter.dtype)
