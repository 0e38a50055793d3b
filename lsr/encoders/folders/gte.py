"""Settings of Alibaba's GTE (Zhang et al. 2024, mGTE). Its architecture, "new", is code in another repository.

That code is never run: transformers has the same network as GTE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lsr.errors import EncoderError

GTE_TYPE = "new"  # model_type in config.json
TRANSFORMERS_TYPE = "gte"
FROM_VERSION = "5.23"  # first version of transformers with this network
# Other settings are not available in transformers; no published sparse encoder has them.
ONLY = {
    "position_embedding_type": "rope", "layer_norm_type": "layer_norm", "hidden_act": "gelu", "pack_qkv": True,
    "logn_attention_scale": False,
}  # fmt: skip
# Copied if they are stated.
KEPT = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "type_vocab_size",
    "max_position_embeddings", "layer_norm_eps", "initializer_range", "hidden_dropout_prob",
    "attention_probs_dropout_prob",
)  # fmt: skip
UNSTATED_BASE = 10_000.0  # base of rotary positions, if config.json states none


def gte_settings(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Arguments of transformers' GteConfig. path: of config.json, for messages; config: its content.

    Raises EncoderError for a variant that transformers' network does not have.
    """
    for key, wanted in ONLY.items():
        if config.get(key, wanted) != wanted:
            raise EncoderError(f"{path}: {key} is {config[key]!r}; lsr reads GTE only with {wanted!r}")
    rotary = _rotary(path, config)
    kept = {key: config[key] for key in KEPT if key in config}
    return {**kept, "pad_token_id": config.get("pad_token_id"), "rope_parameters": rotary}


def _rotary(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Settings of rotary positions.

    "ntk" with factor s rotates dimension 2i of d by (s b)**(-2i/d) s**(-2/d) per token, where b is rope_theta. In
    transformers, this is linear scaling by s**(2/d), with base s b.
    """
    base, scaling = config.get("rope_theta", UNSTATED_BASE), config.get("rope_scaling")
    if scaling is None:
        return {"rope_type": "default", "rope_theta": float(base)}
    stated = scaling if isinstance(scaling, dict) else {}
    if stated.get("type", stated.get("rope_type")) != "ntk" or stated.get("mixed_b") is not None:
        raise EncoderError(f"{path}: rope_scaling is {scaling!r}; lsr reads GTE without it, or with ntk and its factor")
    factor, dimensions = float(stated["factor"]), config["hidden_size"] // config["num_attention_heads"]
    return {"rope_type": "linear", "rope_theta": float(base) * factor, "factor": factor ** (2 / dimensions)}
