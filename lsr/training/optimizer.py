"""Parameter groups for AdamW, and the learning rate of every step.

The rate is a function of the number of the step. So a training resumes exactly without the stored state of a scheduler.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from lsr.training.model import TrainableEncoder, TrainableTable
from lsr.training.training_config import OptimizerConfig


def rate_at(config: OptimizerConfig, step: int, steps: int) -> float:
    """The share of the peak learning rate at a step, counted from 1, of `steps`: a linear rise, then a fall to 0."""
    warm_up = round(config.warm_up * steps)
    if step <= warm_up:
        return step / warm_up
    if config.schedule == "constant":
        return 1.0
    passed = (step - warm_up) / max(1, steps - warm_up + 1)
    return 1 - passed if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * passed))


def parameter_groups(model: TrainableEncoder, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Groups for AdamW: biases and norms do not decay, and tables have their own rate."""
    tables = (side for side in (model.query, model.document) if isinstance(side, TrainableTable))
    table = {parameter for side in tables for parameter in side.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter in table, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": config.table_rate if of_table else config.rate,
            "weight_decay": config.weight_decay if decays and not of_table else 0.0,
        }
        for (of_table, decays), parameters in groups.items()
    ]
