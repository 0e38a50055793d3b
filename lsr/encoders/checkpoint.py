"""Load a masked language model, its tokeniser and its vocabulary, and take its output layer off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer
from transformers.utils import logging

from lsr.encoders.folders import WORKS, Checkpoint
from lsr.errors import EncoderError
from lsr.vocabulary import Vocabulary

# How far the logits computed apart may be from the model's own: rounding, and nothing else.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class MaskedLM:
    """model: gives, as `logits`, what its output layer would be given. weight, bias: that output layer.

    longest: tokens that the model can read, special tokens included. pad_id: fills up short texts.
    """

    model: Any
    weight: torch.Tensor
    bias: torch.Tensor | None
    tokenizer: Any
    vocabulary: Vocabulary
    longest: int
    pad_id: int


def load_masked_lm(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> MaskedLM:
    """Load from a folder or from Hugging Face; only safetensors are read. Raises EncoderError."""
    model, tokenizer = _load(checkpoint)
    name = checkpoint.name
    model = model.eval().float()
    layer = model.get_output_embeddings()
    if not isinstance(layer, torch.nn.Linear):
        raise EncoderError(f"{name}: {type(model).__name__} has no output layer over its vocabulary; {WORKS}")
    vocabulary = _vocabulary(name, tokenizer, layer.out_features)
    pad_id = tokenizer.pad_token_id
    if pad_id is None:
        pad_id = model.config.pad_token_id or 0

    sample = torch.arange(min(8, layer.out_features))[None]
    with torch.inference_mode():
        expected = model(input_ids=sample, attention_mask=torch.ones_like(sample)).logits
        _take_off(model, layer)
        found = layer(model(input_ids=sample, attention_mask=torch.ones_like(sample)).logits)
    if not expected.isfinite().all():
        raise EncoderError(f"{name}: the network gives numbers that are not finite; copy or train it again")
    if expected.shape != found.shape or not torch.allclose(expected, found, atol=TOLERANCE, rtol=TOLERANCE):
        raise EncoderError(f"{name}: {type(model).__name__} changes its logits after the output layer; {WORKS}")
    model = model.to(device, dtype)
    layer = layer.to(device, dtype)
    bias = None if layer.bias is None else layer.bias.detach()
    return MaskedLM(model, layer.weight.detach(), bias, tokenizer, vocabulary, _longest(model, tokenizer), pad_id)


def _load(checkpoint: Checkpoint) -> tuple[Any, Any]:
    source, name = checkpoint.source, checkpoint.name
    with _quiet():
        try:
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            architectures = getattr(config, "architectures", None) or []
            if architectures and not any("MaskedLM" in each or "ForPreTraining" in each for each in architectures):
                raise EncoderError(
                    f"{name}: its architecture is {', '.join(architectures)}, which has no masked-LM head; {WORKS}"
                )
            model, report = AutoModelForMaskedLM.from_pretrained(
                source, config=config, use_safetensors=True, output_loading_info=True, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        except EncoderError:
            raise
        except Exception as error:  # whatever a damaged file or an unreachable server raises in two libraries
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            where = "cannot be loaded" if checkpoint.is_folder else "is no folder, and cannot be had from Hugging Face"
            raise EncoderError(f"{name}: {where} ({reason}); {WORKS}") from error
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        raise EncoderError(
            f"{name}: the checkpoint lacks {len(missing)} weights of {type(model).__name__}, such as {missing[0]}; "
            f"{WORKS}"
        )
    return model, tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings from transformers and its hub, which print them unasked."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_verbosity = hub_logging.get_verbosity()
    logging.set_verbosity(ERROR)
    hub_logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _vocabulary(name: str, tokenizer: Any, components: int) -> Vocabulary:
    """Token i for component i. Output rows that no token has, which make their number round, get names."""
    tokens = [f"<unnamed {component}>" for component in range(components)]
    for token, component in tokenizer.get_vocab().items():
        if component >= components:
            raise EncoderError(
                f"{name}: token {token!r} has number {component}, but the model knows {components} tokens; the "
                "tokeniser and the model do not belong together, copy both from the same place"
            )
        tokens[component] = token
    return Vocabulary(tokens)


def _take_off(model: Any, layer: torch.nn.Linear) -> None:
    """Put nothing in the place of the output layer: the model then gives what that layer would be given."""
    path = next(path for path, module in model.named_modules() if module is layer)
    parent, _, attribute = path.rpartition(".")
    setattr(model.get_submodule(parent), attribute, torch.nn.Identity())


def _longest(model: Any, tokenizer: Any) -> int:
    limit = int(min(tokenizer.model_max_length, 1 << 30))
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limit = min(limit, positions)
    for path, module in model.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa numbers its positions from the padding's number on.
            limit = min(limit, module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    return limit
