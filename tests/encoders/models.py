"""Small masked language models with random weights, and the definition of SPLADE-max in plain transformers code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["alpha", "beta", "gamma", "delta", "of", "the", "##s", "##ing", "sea", "run", "e", "##é"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [
    "alpha beta",
    "",
    "the sea of gamma running alphas",
    "  delta \n",
    "unknown words",
    "run " * 300,
    "e",
    "sea sea the the beta",
]

BERT_SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32}
LLAMA_SIZES = {**BERT_SIZES, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6}

ARCHITECTURES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "bert": (transformers.BertConfig, transformers.BertForMaskedLM, BERT_SIZES),
    "distilbert": (
        transformers.DistilBertConfig,
        transformers.DistilBertForMaskedLM,
        {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 32},
    ),
    "roberta": (transformers.RobertaConfig, transformers.RobertaForMaskedLM, BERT_SIZES),
    "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaForMaskedLM, BERT_SIZES),
    "modernbert": (
        transformers.ModernBertConfig,
        transformers.ModernBertForMaskedLM,
        {**BERT_SIZES, "num_attention_heads": 4, "local_attention": 8, "cls_token_id": 2, "sep_token_id": 3,
         "bos_token_id": 2, "eos_token_id": 3},
    ),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, LLAMA_SIZES),
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, LLAMA_SIZES),
}  # fmt: skip
DECODERS = ("qwen2", "llama")


def write_model(folder: Path, kind: str = "bert", components: int | None = None, **changes: Any) -> Path:
    """A checkpoint whose output layer has `components` rows, by default one a token; decoders have some to spare."""
    tokens = SPECIAL + WORDS
    components = components or len(tokens) + 8 * (kind in DECODERS)
    write_tokenizer(folder, tokens)
    config_class, model_class, sizes = ARCHITECTURES[kind]
    settings = {"vocab_size": components, "max_position_embeddings": 96, "pad_token_id": 0}
    torch.manual_seed(7)
    model = model_class(config_class(**{**settings, **sizes, "initializer_range": 0.5, **changes}))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, tokens: Sequence[str]) -> None:
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def splade_max(folder: Path, texts: Sequence[str], max_length: int) -> np.ndarray:
    """float32 [texts, components]: logits -> mask -> relu -> log1p -> maximum over the positions of a padded batch."""
    config = transformers.AutoConfig.from_pretrained(folder)
    auto = transformers.AutoModelForCausalLM if config.model_type in DECODERS else transformers.AutoModelForMaskedLM
    model = auto.from_pretrained(folder).float().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(
        [text.strip() for text in texts],
        padding=True,
        truncation=True,
        max_length=max_length,
        return_tensors="pt",
        return_token_type_ids=False,
    )
    with torch.no_grad():
        logits = model(**batch).logits * batch["attention_mask"][:, :, None]
    weights = torch.log1p(torch.relu(logits)).amax(1).numpy()
    weights[[not text.strip() for text in texts]] = 0  # nothing to say, although its special tokens have weights
    return weights
