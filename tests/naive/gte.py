"""Alibaba's GTE with its masked-LM head in plain NumPy, from the tensors that its repositories hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ERF = np.vectorize(math.erf)


def gelu(z: Floats) -> Floats:
    found: Floats = 0.5 * z * (1 + _ERF(z / math.sqrt(2)))
    return found


def frequencies(base: float, size: int, factor: float | None) -> Floats:
    """Of rotary positions, in radians a token. factor: s of NTK scaling, which makes the base s b, and then divides all
    by s**(2 / size), so that the slowest turns at a rate s times smaller than b alone gives it.
    """
    twice = np.arange(0, size, 2)
    if factor is None:
        return base ** (-twice / size)
    return (base * factor) ** (-twice / size) / factor ** (2 / size)


def logits(tensors: dict[str, Floats], config: dict[str, Any], ids: list[int]) -> Floats:
    """float [tokens, components] of one text."""

    def linear(name: str, x: Floats) -> Floats:
        bias = tensors.get(f"{name}.bias")
        return x @ tensors[f"{name}.weight"].T + (0 if bias is None else bias)

    def norm(name: str, x: Floats) -> Floats:
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads
    factor = (config.get("rope_scaling") or {}).get("factor")
    angles = np.arange(len(ids))[:, None] * frequencies(config["rope_theta"], size, factor)

    def turned(x: Floats) -> Floats:
        """Dimension i and i + size / 2 are the two coordinates of one plane."""
        first, second = x[:, : size // 2], x[:, size // 2 :]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], 1)

    x = tensors["new.embeddings.word_embeddings.weight"][ids]
    if config["type_vocab_size"]:
        x = x + tensors["new.embeddings.token_type_embeddings.weight"][0]
    x = norm("new.embeddings.LayerNorm", x)
    for layer in range(config["num_hidden_layers"]):
        place = f"new.encoder.layer.{layer}"
        queries, keys, values = np.split(linear(f"{place}.attention.qkv_proj", x), 3, axis=1)
        contexts = []
        for head in range(heads):
            here = slice(head * size, (head + 1) * size)
            scores = turned(queries[:, here]) @ turned(keys[:, here]).T / math.sqrt(size)
            shares = np.exp(scores - scores.max(1, keepdims=True))
            contexts.append(shares / shares.sum(1, keepdims=True) @ values[:, here])
        x = norm(f"{place}.attn_ln", x + linear(f"{place}.attention.o_proj", np.concatenate(contexts, 1)))
        up, gate = np.split(linear(f"{place}.mlp.up_gate_proj", x), 2, axis=1)
        x = norm(f"{place}.mlp_ln", x + linear(f"{place}.mlp.down_proj", gelu(gate) * up))
    x = norm("lm_head.norm", gelu(linear("lm_head.dense", x)))
    return x @ tensors["new.embeddings.word_embeddings.weight"].T + tensors["lm_head.decoder.bias"]
