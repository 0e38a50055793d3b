"""A network of transformers with its tokenizer: from texts, or pairs of texts, to the output of the network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import normalizers
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer

from lsr.encoders.base import Dtype, check_max_length, first_line
from lsr.encoders.batches import TextNumbers, by_length, collate, computed, find_device, find_dtype, move, pad_id
from lsr.encoders.folders.model_files import AGAIN
from lsr.encoders.sparse.backbone import positions_of_network, quiet
from lsr.encoders.text_beginnings import TextBeginnings
from lsr.errors import EncoderError, ParameterError

Tokens = list[
    npt.NDArray[np.int32]
]  # the tokens of a text, or of each text of a pair: one row per input of the network


class TextNetwork:
    """A network loaded with an AutoModel class of transformers, from safetensors, without running the model's code.

    name: the name of the model, for messages. folder: the folder of the network and its tokenizer.
    auto: the AutoModel class. works: the supported models, for messages.
    pair: whether two texts are read together.
    stated_length: the maximum number of tokens that the folder states. longest: the maximum if it states none.
    lower_case: lower-case texts before the tokenizer.
    optional: the name of a part whose weights may be missing.
    special: whether the tokenizer adds special tokens. If not, texts contain them.
    device, dtype, max_length: see load_dense_encoder.

    Raises EncoderError for files that cannot be loaded or do not match, ParameterError for the options.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        auto: Any,
        works: str,
        device: str | None,
        dtype: Dtype,
        max_length: int | None,
        *,
        pair: bool = False,
        stated_length: int | None = None,
        longest: int = 1 << 30,
        lower_case: bool = False,
        optional: str = "",
        special: bool = True,
    ) -> None:
        number = find_dtype(dtype)
        check_max_length(max_length)
        self.name = name
        self._device = find_device(device)
        self.model, self._tokenizer = _load(name, folder, auto, works, optional)
        if lower_case:
            inner = self._tokenizer.backend_tokenizer
            before = [inner.normalizer] if inner.normalizer else []
            inner.normalizer = normalizers.Sequence([normalizers.Lowercase(), *before])
        length = max_length or stated_length or int(min(self._tokenizer.model_max_length, longest))
        self.max_length = min(length, positions_of_network(self.model))
        self._special = special
        added, texts = self._tokenizer.num_special_tokens_to_add(pair=pair) if special else 0, 1 + int(pair)
        if self.max_length < added + texts:
            raise ParameterError(
                f"max_length is {self.max_length}; {name} adds {added} special tokens to every "
                f"{'pair' if pair else 'text'}, so that it must be at least {added + texts}"
            )
        move(self.model, self._device, number)
        known = {*inspect.signature(self.model.forward).parameters} & {*self._tokenizer.model_input_names}
        self._inputs = ["input_ids", "token_type_ids"] if "token_type_ids" in known else ["input_ids"]
        self._pad_id = pad_id(self.model, self._tokenizer)
        self._beginnings = TextBeginnings.of(self._tokenizer)
        self.tokenize(*[[""]] * texts)  # sets the truncation of the tokenizer; afterwards threads only read it

    def tokenize(self, *texts: list[str]) -> list[Tokens]:
        """The tokens of each text, or pair, cut off after max_length. Of a pair, the longer text is cut off."""

        def tokenize(*some: list[str]) -> list[Tokens]:
            encoded = self._tokenizer(
                *some,
                add_special_tokens=self._special,
                truncation=True,
                max_length=self.max_length,
                return_token_type_ids=len(self._inputs) > 1,
            )
            columns = (encoded[key] for key in self._inputs)
            return [[np.array(each, np.int32) for each in inputs] for inputs in zip(*columns, strict=True)]

        if len(texts) > 1:
            return tokenize(*texts)
        return self._beginnings.tokenize(texts[0], self.max_length, tokenize, lambda tokens: len(tokens[0]))

    def compute(
        self, tokens: list[Tokens], batch_size: int | None, read: Callable[[Any, Tensor], Tensor]
    ) -> Iterator[tuple[TextNumbers, npt.NDArray[np.float32]]]:
        """Batches of texts of similar length, without those of length 0, each with values of the network's output.

        read: from the output and the mask, bool [texts, tokens], to float [texts, ...].
        Raises EncoderError for NaN or infinite values.
        """

        @torch.inference_mode()
        def work(batch: TextNumbers) -> npt.NDArray[np.float32]:
            mask, *inputs = (each.to(self._device) for each in collate([tokens[text] for text in batch], self._pad_id))
            output = self.model(**dict(zip(self._inputs, inputs, strict=True)), attention_mask=mask.long())
            found = read(output, mask).float()
            if not found.isfinite().all():
                raise EncoderError(f"{self.name}: the network returns NaN or infinite values; try dtype float32")
            rows: npt.NDArray[np.float32] = found.cpu().numpy()
            return rows

        batches = by_length(np.array([len(each[0]) for each in tokens], np.int64), batch_size, self._device)
        yield from zip(batches, computed(work, batches, self._device), strict=True)


def _load(name: str, folder: Path, auto: Any, works: str, optional: str) -> tuple[Any, Any]:
    """The network, in float32 on the CPU, and the tokenizer."""
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(folder), "trust_remote_code": False}
    with quiet():
        try:
            config = AutoConfig.from_pretrained(**source)
            model, report = auto.from_pretrained(
                **source, config=config, use_safetensors=True, output_loading_info=True
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(**source)
            tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
            known: int = model.get_input_embeddings().num_embeddings
        except Exception as error:  # errors of two libraries for damaged files have no common class
            raise EncoderError(f"{name}: cannot be loaded ({first_line(error)}); {AGAIN}") from error
    missing = sorted(key for key in report["missing_keys"] if not optional or optional not in key)
    if missing:
        raise EncoderError(
            f"{name}: the checkpoint lacks {len(missing)} weights of {type(model).__name__}, such as {missing[0]}; "
            f"copy it again, or give another: {works}"
        )
    if tokens > known:
        raise EncoderError(
            f"{name}: the tokenizer has {tokens} tokens, but the network has {known}; copy both from the same place"
        )
    return model.eval().float(), tokenizer
