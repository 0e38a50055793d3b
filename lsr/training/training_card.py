"""The part of a model card that describes a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lsr.encoders.folders.model_card import HowMade, code
from lsr.training.training_config import DataConfig, EvaluationConfig, TrainingConfig


def training_card(
    config: TrainingConfig, step: int, found: Mapping[str, float], before: Mapping[str, float]
) -> HowMade:
    """The description of a training. found, before: measures at `step` and before it all; empty if not measured."""
    lines = _training(config)
    if config.evaluation is not None and found:
        lines += _figures(config.evaluation, step, found, before)
    return HowMade(config.encoder.backbone or config.encoder.start, "\n".join([*lines, ""]))


def _training(config: TrainingConfig) -> list[str]:
    how, penalties, teacher = config.optimizer, config.regularizer, config.teacher
    lines = ["## Training", ""]
    lines += [f"- Data: {code(_place(data.collection or data.records))}, {_of(data)}" for data in config.data]
    lines += [f"- Loss: {loss.name}, weight {loss.weight:g}" for loss in config.losses]
    if config.lora is not None:
        lines.append(f"- Low-rank adapters of rank {config.lora.rank}, merged into the weights")
    if config.term_recall:
        lines.append(f"- Loss: squared error of term recall, weight {config.term_recall:g}")
    if config.masked_language:
        lines.append(f"- Loss: cross-entropy of masked tokens, weight {config.masked_language:g}")
    for side, several in (("queries", penalties.query), ("documents", penalties.document)):
        lines += [f"- Penalty on {side}: {each.kind}, strength {each.strength:g}" for each in several]
    if teacher is not None:
        names = ", ".join(code(_place(name)) for name in teacher.names)
        lines.append(f"- Teachers: {names}, scale {teacher.scale:g}")
    length = f"{how.steps} steps" if how.steps else f"{how.epochs:g} epochs"
    queries = how.batch_size * how.accumulate
    lines.append(f"- {length} of {queries} queries, rate {how.rate:g}, {how.precision}, seed {config.seed}")
    return lines


def _of(data: DataConfig) -> str:
    split = f"split {code(data.split)}, " if data.collection and data.split and not data.titles else ""
    if data.texts:
        return "texts alone"
    queries = "titles as queries, " if data.titles else ""
    group = "1 document"
    if data.group > 1:
        kind = "mined" if data.negatives else "random" if data.collection else "given"
        group = f"{data.group} documents, with {kind} negatives,"
    return f"{split}{queries}{group} of a query"


def _figures(
    evaluation: EvaluationConfig, step: int, found: Mapping[str, float], before: Mapping[str, float]
) -> list[str]:
    sets = ", ".join(code(_place(name)) for name in evaluation.collection)
    limits = [
        f"{most:,} {what}"
        for most, what in ((evaluation.queries, "queries"), (evaluation.documents, "documents"))
        if most is not None
    ]
    among = f", of at most {' and '.join(limits)} each" if limits else ""
    return [
        "",
        "## Figures",
        "",
        f"On {sets}{among}, at step {step}. This step was chosen by these measures, so expect lower values on other "
        "data.",
        "",
        "| | before training | after |",
        "|---|---:|---:|",
        *(f"| {code(name)} | {before[name]:.4g} | {value:.4g} |" for name, value in found.items()),
    ]


def _place(name: str) -> str:
    """The name of a collection or model. Of an absolute path only the last part, because the rest is private."""
    return Path(name).name if Path(name).is_absolute() else name
