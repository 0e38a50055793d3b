"""Folders laid out as repositories that people download, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.encoders.models import BERT_SIZES, LLAMA_SIZES, change_json, write_tokenizer
from tests.encoders.specs import write_json

SENTENCES = [
    "Mars is often called the Red Planet.",
    "Currently New York is rainy, and so is the weather in ny.",
    "SELECT MAX(Age) FROM Student WHERE Group = 'specific_group';",
    "rain rain rain",
    "x",
]
OLD_MODULES = "sentence_transformers.sparse_encoder.models."


def write_modules(folder: Path, *places: tuple[str, str]) -> None:
    """modules.json. places: (path, class)."""
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(places)]
    write_json(folder / "modules.json", listed)


def write_pooling(folder: Path, activation: str = "relu") -> None:
    write_json(
        folder / "config.json",
        {"pooling_strategy": "max", "activation_function": activation, "word_embedding_dimension": None},
    )


def write_settings(folder: Path, prompts: dict[str, str] | None = None) -> None:
    write_json(
        folder / "config_sentence_transformers.json",
        {"model_type": "SparseEncoder", "prompts": prompts or {}, "default_prompt_name": None,
         "similarity_fn_name": "dot", "__version__": {"sentence_transformers": "5.0.0"}},
    )  # fmt: skip


def write_router(folder: Path) -> None:
    """OpenSearch's: queries by a table in a folder of its own, documents by the network in the root."""
    query, pooling = "query_0_SparseStaticEmbedding", "document_1_SpladePooling"
    kinds = {"": "MLMTransformer", query: "SparseStaticEmbedding", pooling: "SpladePooling"}
    write_json(
        folder / "router_config.json",
        {
            "types": {place: OLD_MODULES + kind for place, kind in kinds.items()},
            "structure": {"query": [query], "document": ["", pooling]},
            "parameters": {"default_route": "document", "allow_empty_key": True},
        },
    )
    write_modules(folder, ("", "sentence_transformers.models.Router"))


def write_query_table(folder: Path, tokens: Sequence[str]) -> torch.Tensor:
    write_tokenizer(folder, tokens)
    weight = torch.rand(len(tokens), generator=torch.manual_seed(3)) * 5
    save_file({"weight": weight}, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", {"frozen": True})
    return weight


def write_gte(folder: Path, tokens: Sequence[str], **changes: Any) -> dict[str, Any]:
    """opensearch-project/opensearch-neural-sparse-encoding-doc-v3-gte: a network whose architecture is code elsewhere.

    Returns config.json.
    """
    hidden, inner, layers, components = 24, 40, 2, len(tokens) + 3
    config = {
        "architectures": ["NewForMaskedLM"], "attention_probs_dropout_prob": 0.0,
        "auto_map": {
            "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
            "AutoModelForMaskedLM": "Alibaba-NLP/new-impl--modeling.NewForMaskedLM",
        },
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": hidden, "initializer_range": 0.02,
        "intermediate_size": inner, "layer_norm_eps": 1e-12, "layer_norm_type": "layer_norm",
        "logn_attention_clip1": False, "logn_attention_scale": False, "max_position_embeddings": 8192,
        "model_type": "new", "num_attention_heads": 3, "num_hidden_layers": layers, "pack_qkv": True,
        "pad_token_id": 0, "position_embedding_type": "rope", "rope_scaling": None, "rope_theta": 160000,
        "torch_dtype": "float32", "transformers_version": "4.39.1", "type_vocab_size": 2, "unpad_inputs": False,
        "use_memory_efficient_attention": False, "vocab_size": components, **changes,
    }  # fmt: skip
    write_tokenizer(folder, tokens)
    change_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", model_max_length=8192)
    write_json(folder / "config.json", config)
    generator = torch.manual_seed(11)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.5

    tensors = {"new.embeddings.word_embeddings.weight": drawn(components, hidden)}
    if config["type_vocab_size"]:
        tensors["new.embeddings.token_type_embeddings.weight"] = drawn(config["type_vocab_size"], hidden)
    sizes = {"attention.qkv_proj": (3 * hidden, hidden), "attention.o_proj": (hidden, hidden),
             "mlp.up_gate_proj": (2 * inner, hidden), "mlp.down_proj": (hidden, inner)}  # fmt: skip
    norms = ["new.embeddings.LayerNorm", "lm_head.norm"]
    for layer in range(layers):
        place = f"new.encoder.layer.{layer}"
        norms += [f"{place}.attn_ln", f"{place}.mlp_ln"]
        tensors |= {f"{place}.{name}.weight": drawn(*size) for name, size in sizes.items()}
        tensors |= {f"{place}.{name}.bias": drawn(size[0]) for name, size in sizes.items() if "up_gate" not in name}
    for name in norms:
        tensors |= {f"{name}.weight": 1 + drawn(hidden) / 5, f"{name}.bias": drawn(hidden)}
    tensors |= {"lm_head.dense.weight": drawn(hidden, hidden), "lm_head.dense.bias": drawn(hidden)}
    tensors["lm_head.decoder.bias"] = drawn(components)  # its weight is that of the embeddings, and is left out
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 8192, "do_lower_case": False})
    write_pooling(folder / "document_1_SpladePooling", "log1p_relu")
    write_query_table(folder / "query_0_SparseStaticEmbedding", tokens)
    write_router(folder)
    write_settings(folder)
    return config


def write_multilingual(folder: Path, components: int) -> list[str]:
    """opensearch-project/opensearch-neural-sparse-encoding-multilingual-v1. Returns its tokens."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, "the", "sea", "##s", "天", "气"]
    tokens += [f"w{i}" for i in range(components - len(tokens))]
    write_tokenizer(folder, tokens)
    torch.manual_seed(5)
    sizes = {**BERT_SIZES, "hidden_size": 6, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=components, max_position_embeddings=64, initializer_range=0.5, **sizes)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    write_pooling(folder / "document_1_SpladePooling")
    weights = write_query_table(folder / "query_0_SparseStaticEmbedding", tokens)
    write_json(folder / "idf.json", dict(zip(tokens, weights.tolist(), strict=True)))
    write_router(folder)
    write_settings(folder)
    return tokens


def byte_level(special: Sequence[str]) -> Tokenizer:
    """Byte-level BPE, as GPT-2, RoBERTa, Qwen and Llama 3 have it; `special` have the first numbers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=list(special), initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    return tokenizer


def write_granite(folder: Path) -> None:
    """ibm-granite/granite-embedding-30m-sparse: RoBERTa, its weights in bfloat16."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = byte_level(special)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>",
             "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names)
    wrapped.save_pretrained(folder)
    tokenizer.model.save(str(folder))  # vocab.json and merges.txt
    change_json(folder / "tokenizer_config.json", tokenizer_class="RobertaTokenizer", add_prefix_space=False)
    torch.manual_seed(9)
    config = transformers.RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=66, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, type_vocab_size=2, initializer_range=0.5, **BERT_SIZES,
    )  # fmt: skip
    model = transformers.RobertaForMaskedLM(config)
    torch.nn.init.normal_(model.lm_head.bias, std=0.3)
    model.bfloat16().save_pretrained(folder)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    write_pooling(folder / "1_SpladePooling")
    write_modules(folder, ("", OLD_MODULES + "MLMTransformer"), ("1_SpladePooling", OLD_MODULES + "SpladePooling"))
    write_settings(folder)


def write_decoder(folder: Path, config_class: Any, model_class: Any, components: int, **changes: Any) -> None:
    torch.manual_seed(13)
    config = config_class(
        vocab_size=components, max_position_embeddings=128, initializer_range=0.5,
        tie_word_embeddings=True, pad_token_id=None, **LLAMA_SIZES,
    )  # fmt: skip
    model_class(config).bfloat16().save_pretrained(folder)
    change_json(folder / "config.json", **changes)


def write_splade_code(folder: Path) -> None:
    """naver/splade-code-06B: Qwen3 that sees everything, of which sentence-transformers' files say fill-mask."""
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>", padding_side="left"
    )
    wrapped.save_pretrained(folder)
    write_decoder(
        folder, transformers.Qwen3Config, transformers.Qwen3ForCausalLM, tokenizer.get_vocab_size() + 8,
        is_causal=False,
        auto_map={"AutoModelForCausalLM": "splade.Splade", "AutoModelForMaskedLM": "splade.Qwen3ForCausalLM"},
    )  # fmt: skip
    (folder / "splade.py").write_text("raise SystemExit('the code of the folder was run')\n")
    write_json(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": "max", "activation_function": "relu"})
    write_modules(folder, ("", OLD_MODULES + "MLMTransformer"), ("1_SpladePooling", OLD_MODULES + "SpladePooling"))
    write_settings(folder)


def write_bge_m3(folder: Path) -> None:
    """BAAI/bge-m3: XLM-RoBERTa and its heads as pickles, the lexical one in 16 bits, beside a dense model's files."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = ["▁What", "▁is", "▁M", "GE", "3", "?", "▁the", "▁Red", "▁Planet", "▁", "s", "▁rain"]
    pieces = [(piece, 0.0) for piece in special] + [(piece, -1.0 - i / 10) for i, piece in enumerate(words)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([*special, "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>",
             "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8192, **names)
    wrapped.save_pretrained(folder)
    change_json(folder / "tokenizer_config.json", tokenizer_class="XLMRobertaTokenizer")
    torch.manual_seed(17)
    config = transformers.XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=8194, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, type_vocab_size=1, initializer_range=0.5, **BERT_SIZES,
    )  # fmt: skip
    model = transformers.XLMRobertaModel(config)
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    heads = {"sparse": 1, "colbert": BERT_SIZES["hidden_size"]}
    for name, size in heads.items():
        head = torch.nn.Linear(BERT_SIZES["hidden_size"], size).half()
        torch.save(head.state_dict(), folder / f"{name}_linear.pt")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 8192, "do_lower_case": False})
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 24, "pooling_mode_cls_token": True})
    write_json(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.2.2"}})
    dense = "sentence_transformers.models."
    places = (("", dense + "Transformer"), ("1_Pooling", dense + "Pooling"), ("2_Normalize", dense + "Normalize"))
    write_modules(folder, *places)


def write_laconic(folder: Path, tokenizer_folder: Path | None = None) -> None:
    """utahnlp/laconic-1b: Llama under llm2vec's name, without a tokenizer, which lies elsewhere."""
    tokenizer = byte_level(["<|begin_of_text|>", "<|end_of_text|>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    wrapped.save_pretrained(tokenizer_folder or folder)
    write_decoder(
        folder, transformers.LlamaConfig, transformers.LlamaForCausalLM, 700, architectures=["LlamaBiForMNTP"]
    )
    change_json(folder / "config.json", bos_token_id=0, eos_token_id=1)
