"""An equal start for all kinds of heads: a masked language model with a head that returns a text's own tokens.

A head with one weight per token (mlp) starts as a bag of words: all tokens have the same weight. A head over the
vocabulary (mlm) starts as the language model of its backbone, and so already knows related words. To compare the two
heads, this module makes a backbone with which an mlm head also starts as a bag of words: least squares fit the
transform before the output layer, so that it turns the state of a position into the embedding of the position's token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.sparse.backbone import load_backbone, load_tokenizer, quiet
from lsr.encoders.spec import BackboneSpec
from lsr.errors import EncoderError
from lsr.storage.files import storage_errors

TEXTS, TOKENS, TEXTS_AT_ONCE = 1000, 64, 50
OWN_LOGIT = math.e - 1  # its weight, log(1 + logit), is 1, like the initial weights of mlp heads
RIDGE = 1e-3
# Bias before GELU, which the layer norm after GELU removes. At this size, GELU is the identity, and bfloat16 still
# distinguishes the states.
SHIFT = 5.0


def write_lexical_start(backbone: str, texts: Iterable[str], components: int, folder: Path) -> None:
    """Write a BERT with a lexical start, and its tokenizer, into `folder`. The folder appears when it is complete.

    The embeddings and layers are those of `backbone`, and the output matrix is tied to the embeddings. All components
    share one bias, which gives the mean text `components` components. The scale of the logits gives the median token of
    a text the logit OWN_LOGIT.

    texts: the texts for the fit, of which the first TEXTS are used. Raises StorageError, and EncoderError for a
        backbone other than BERT.
    """
    found = find_checkpoint(backbone)
    place = str(found.folder)
    model = load_backbone(found.name, BackboneSpec(place, place, place, task="base")).model
    if not isinstance(model.config, BertConfig):
        raise EncoderError(
            f"{found.name}: is a {model.config.model_type}, but a lexical start needs a BERT; choose another backbone"
        )
    tokenizer = load_tokenizer(found.name, place)
    batches = list(_batches(model, tokenizer, list(islice(texts, TEXTS))))
    embeddings = model.get_input_embeddings().weight.detach().float()
    states = torch.cat([states[own] for states, own, _ in batches])
    tokens = torch.cat([ids[own] for _, own, ids in batches])
    transform = _fitted(states, embeddings[tokens])

    def logits(states: Tensor) -> Tensor:
        found: Tensor = torch.nn.functional.layer_norm(states @ transform.T, [len(transform)]) @ embeddings.T
        return found

    step = max(1, len(states) // TEXTS)
    of_token = logits(states[::step]).gather(1, tokens[::step, None])
    largest = torch.stack(
        [logits(text[kept]).amax(0) for texts_, own, _ in batches for text, kept in zip(texts_, own, strict=True)]
    )
    threshold = float(largest.flatten().topk(min(components, len(embeddings)) * len(largest)).values[-1])
    scale = OWN_LOGIT / max(float(of_token.median()) - threshold, 1e-3)

    config = BertConfig(**{**model.config.to_dict(), "architectures": ["BertForMaskedLM"]})
    with torch.no_grad():
        whole = BertForMaskedLM(config)
        whole.bert.load_state_dict(model.state_dict(), strict=False)
        head = whole.cls.predictions
        head.transform.dense.weight.copy_(transform)
        head.transform.dense.bias.fill_(SHIFT)
        head.transform.LayerNorm.weight.fill_(scale)
        head.transform.LayerNorm.bias.zero_()
        head.bias.fill_(-scale * threshold)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    with storage_errors(folder), quiet():
        whole.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(folder)


def _batches(model: torch.nn.Module, tokenizer: object, texts: list[str]) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """(states, positions with tokens of the text, token ids) of some texts at a time."""
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        batch = tokenizer(  # type: ignore[operator]
            texts[start : start + TEXTS_AT_ONCE],
            padding=True,
            truncation=True,
            max_length=TOKENS,
            return_tensors="pt",
            return_special_tokens_mask=True,
        )
        with torch.inference_mode():
            states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        own = batch["attention_mask"].bool() & ~batch["special_tokens_mask"].bool()
        yield states.clone(), own, batch["input_ids"]


def _fitted(states: Tensor, targets: Tensor) -> Tensor:
    """float32 [hidden, hidden]: the ridge regression of centered targets on states, whose results have variance 1."""
    targets = targets - targets.mean(0)
    gram = states.T @ states
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    weights: Tensor = torch.linalg.solve(gram + ridge, states.T @ targets).T
    return weights / (states @ weights.T).std()
