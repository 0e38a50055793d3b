"""Training an encoder: from a configuration to a folder for load_encoder. A killed training resumes exactly.

Accelerate (Hugging Face) moves parameters to devices, and handles precision and several processes: `accelerate launch
-m lsr train CONFIG OUT` trains on every GPU of a machine, and with FSDP distributes the weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from lsr.checks import check_kind, expanded
from lsr.encoders.collection_idf import idf_from
from lsr.errors import ParameterError, StorageError
from lsr.progress import progress_bar
from lsr.threads import processors
from lsr.training.accelerate_state import own_accelerate_state, start_accelerator
from lsr.training.adapters import add_adapters, merged
from lsr.training.checkpoint import load_checkpoint, save_checkpoint
from lsr.training.data import GroupStream, Mixture
from lsr.training.distillation import Ensemble
from lsr.training.evaluation import DevelopmentSet, evaluate_on, read_development_set
from lsr.training.focusing_window import FocusingWindow
from lsr.training.log import Log, Rates, start_tracker
from lsr.training.model import TrainableEncoder, TrainableSide
from lsr.training.objective import Objective
from lsr.training.optimizer import parameter_groups
from lsr.training.sharding import copy_learned
from lsr.training.start import (
    OpenTeachers,
    document_table_kind,
    open_teachers,
    query_table_kind,
    start_encoder,
    tokenizer_of,
)
from lsr.training.stored_scores import StoredScores, store_scores
from lsr.training.training_batches import Batches, open_streams
from lsr.training.training_card import training_card
from lsr.training.training_config import TrainingConfig
from lsr.training.training_folder import CACHE, CHECKPOINT, ENCODER, PACKAGE, TEACHER, TRAINING, own_training
from lsr.training.training_step import TrainingStep

FREQUENCIES = "document frequencies"
LIBRARIES = (PACKAGE, "torch", "transformers", "accelerate", "numpy")


@dataclass
class Progress:
    """The state of a training, as JSON.

    step: number of finished steps. best: the best measure so far. worse: number of evaluations since the best one.
    stopped: whether the training has stopped early, after `patience` evaluations. evaluations: step -> figures.
    """

    step: int = 0
    best: float = -math.inf
    worse: int = 0
    stopped: bool = False
    evaluations: dict[str, dict[str, float]] = field(default_factory=dict)


def train(
    config: TrainingConfig,
    folder: str | Path,
    *,
    offline_data: Path | None = None,
    device: str | None = None,
    progress: bool = False,
    opened: OpenTeachers | None = None,
) -> dict[str, Any]:
    """Train an encoder; returns the content of OUT/encoder/training.json: configuration, step, measures, versions.

    config: the configuration.
    folder: the folder OUT of the training. If it has a checkpoint of the same configuration, the training resumes from
        it: on a CPU with the same number of threads, to the same weights as without the interruption.
    offline_data: a folder with collections, searched before others are downloaded.
    device: "cpu", or None for the choice of Accelerate.
    progress: show a bar on standard error.
    opened: teachers of earlier trainings on the same device, which are reused, and to which new ones are added.

    Raises ParameterError if parts of the configuration do not fit together, or the folder belongs to another training;
    CollectionError, EncoderError, StorageError.
    """
    check_kind("the training", config, TrainingConfig, ": read_training(path)")
    with own_accelerate_state():
        return _train(config, expanded(folder), offline_data, device, progress, opened)


def _train(
    config: TrainingConfig,
    folder: Path,
    offline_data: Path | None,
    device: str | None,
    progress: bool,
    opened: OpenTeachers | None,
) -> dict[str, Any]:
    accelerator = start_accelerator(config.optimizer.precision, device)
    with own_training(folder, config, accelerator.is_main_process) as run:
        shown = progress and accelerator.is_main_process
        return _Training(config, folder, accelerator, offline_data, shown, opened).run(run)


class _Training:
    """A running training."""

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        accelerator: Accelerator,
        offline_data: Path | None,
        progress: bool,
        opened: OpenTeachers | None,
    ) -> None:
        self._config, self._folder, self._accelerator, self._shown = config, folder, accelerator, progress
        device = str(accelerator.device)
        self._model = self._start(device, offline_data)
        # The evaluated and saved networks: the same ones, or, for distributed weights, a copy in the first process.
        self._kept: TrainableEncoder | None = self._model
        if accelerator.is_fsdp2:
            whole = device if config.evaluation is not None else "cpu"
            self._kept = self._start(whole, offline_data) if accelerator.is_main_process else None
        if config.optimizer.gradient_checkpointing:
            self._model.gradient_checkpointing()
        if config.masked_language:
            self._model.check_maskable()
        self._windows = _windows(config, self._model)
        optimizer, ranks = config.optimizer, accelerator.num_processes
        if optimizer.batch_size % ranks:
            raise ParameterError(
                f"batch_size is {optimizer.batch_size}; it must be a multiple of the number of processes ({ranks})"
            )
        share = optimizer.batch_size // ranks
        with accelerator.main_process_first():
            streams = open_streams(config, folder / CACHE, progress, offline_data)
        mixture = Mixture(
            streams,
            share,
            weights=None if config.data[0].weight is None else [data.weight or 0 for data in config.data],
            seed=config.seed,
            rank=accelerator.process_index,
            ranks=ranks,
        )
        self._steps = optimizer.steps or max(
            1, round(mixture.per_epoch * (optimizer.epochs or 0) / optimizer.accumulate)
        )
        idf = None
        if config.regularizer.idf:
            table = idf_from(config.regularizer.idf, tokenizer_of(self._model.encoder), progress, offline_data)
            idf = torch.from_numpy(table).to(accelerator.device)
        self._objective = Objective(config, self._model.encoder.dim, idf, self._steps, accelerator.device)
        self._development: dict[str, DevelopmentSet] = {}
        if config.evaluation is not None and accelerator.is_main_process:
            chosen = config.evaluation
            self._development = {
                name: read_development_set(name, chosen.split, chosen.queries, chosen.documents, offline_data)
                for name in chosen.collection
            }
        teachers = self._teachers(streams, device, opened)
        whole_batch = config.teacher is not None and config.teacher.whole_batch
        self._batches = Batches(mixture, self._model, teachers, whole_batch)
        fused = accelerator.device.type in ("cpu", "cuda")
        self._optimizer = torch.optim.AdamW(parameter_groups(self._model, optimizer), lr=optimizer.rate, fused=fused)
        self._wrapped, self._prepared = accelerator.prepare(self._model, self._optimizer)
        self._step = TrainingStep(
            config,
            accelerator,
            self._model,
            self._wrapped,
            self._prepared,
            self._objective,
            self._windows,
            self._steps,
            folder / CHECKPOINT,
        )
        self._progress = self._resumed()

    def _start(self, device: str, offline_data: Path | None) -> TrainableEncoder:
        config = self._config
        encoder = start_encoder(config.encoder, device, config.seed, self._shown, offline_data)
        learns = query_table_kind(config.encoder, encoder), config.seed, document_table_kind(config.encoder)
        model = TrainableEncoder(encoder, *learns)
        if config.lora is not None:
            add_adapters(model, config.lora, config.seed)
        return model.to(device)

    def _teachers(self, streams: Sequence[GroupStream], device: str, opened: OpenTeachers | None) -> list[Ensemble]:
        """The teachers of each stream, from stored scores if there are any; none without a teacher."""
        config, accelerator = self._config.teacher, self._accelerator
        if config is None:
            return []
        ensemble = open_teachers(config, device, opened)
        if not config.store:
            return [ensemble] * len(streams)
        # Ids of queries and documents belong to a stream; two streams can have the same ids.
        places = [self._folder / TEACHER / str(number) for number in range(len(streams))]
        if accelerator.is_main_process:
            for stream, place in zip(streams, places, strict=True):
                total = stream.source.count() if self._shown else None
                store_scores(ensemble.teachers, stream.whole_groups(), place, total, self._shown)
        accelerator.wait_for_everyone()
        return [replace(ensemble, teachers=StoredScores(place).teachers) for place in places]

    def run(self, run: str) -> dict[str, Any]:
        """Do all remaining steps, and write the results. run: the id of this training, for a tracker."""
        log = None
        if self._accelerator.is_main_process:
            step = self._progress.step
            tracker = start_tracker(self._config.tracker, self._folder, step, run, asdict(self._config))
            log = Log(self._folder, step, tracker)
        with nullcontext() if log is None else closing(log):
            self._run(log)
        return self._finish()

    def _run(self, log: Log | None) -> None:
        config, state, micro = self._config, self._progress, self._config.optimizer.accumulate
        if state.step == 0:
            self._evaluate(log)
        rates = Rates()
        with (
            closing(self._batches(state.step * micro)) as batches,
            progress_bar("training", self._steps, "steps", self._shown) as advance,
        ):
            advance(state.step, resumed=True)
            while state.step < self._steps and not state.stopped:
                rates.add(
                    self._step([next(batches) for _ in range(micro)], state.step + 1),
                    config.optimizer.batch_size * micro,
                )
                state.step += 1
                last = state.step == self._steps
                if log and (state.step % config.log_every == 0 or last):
                    log.write(state.step, rates.take())
                advance(1, rates.shown())
                better = False
                if config.evaluation and (state.step % config.evaluation.every == 0 or last):
                    better = self._evaluate(log)
                # A killed training also resumes here, because it may not find this best encoder again.
                if state.step % config.save_every == 0 or last or state.stopped or better:
                    self._save(log)

    def _evaluate(self, log: Log | None) -> bool:
        """Measure the present encoder, and keep it if it is the best; returns whether it is.

        The encoder before the training is measured only for the log: its figures are not a result of the training.
        """
        chosen, state, better = self._config.evaluation, self._progress, False
        kept = None if chosen is None else self._update_kept()
        if chosen is not None and log is not None and kept is not None:
            figures = evaluate_on(kept.encoder, self._development, chosen.measure, processors(), self._shown)
            value = figures[chosen.measure]
            state.evaluations[str(state.step)] = figures
            log.write(state.step, {f"dev {name}": each for name, each in figures.items()})
            better = state.step > 0 and value > state.best
            if better:
                state.best, state.worse = value, 0
                self._write_encoder(kept)
            elif state.step:
                state.worse += 1
                state.stopped = bool(chosen.patience) and state.worse >= chosen.patience
        told = torch.tensor([float(state.stopped), float(better)], device=self._accelerator.device)
        stopped, better = (bool(each) for each in self._accelerator.reduce(told))
        state.stopped = stopped
        return better

    def _save(self, log: Log | None) -> None:
        """Write a checkpoint, in the first process."""
        self._accelerator.wait_for_everyone()
        frequencies = self._objective.frequencies
        more = {} if frequencies is None else {FREQUENCIES: frequencies.state()}
        scaler = self._accelerator.scaler
        save_checkpoint(
            None if log is None else self._folder / CHECKPOINT,
            self._model,
            self._optimizer,
            {
                **asdict(self._progress),
                "windows": [window.state() for _, window in self._windows],
                "scaler": None if scaler is None else scaler.state_dict(),
            },
            more,
        )
        if log is not None:
            log.flush()

    def _resumed(self) -> Progress:
        """Restore the last checkpoint, if there is one. Raises StorageError for a damaged one."""
        found = load_checkpoint(self._folder / CHECKPOINT, self._model, self._optimizer)
        if found is None:
            return Progress()
        state = dict(found.state)
        try:
            for (side, window), kept in zip(self._windows, state.pop("windows"), strict=True):
                window.restore(kept)
                side.window = window.width
            scaler = state.pop("scaler")
            if self._accelerator.scaler is not None and scaler is not None:
                self._accelerator.scaler.load_state_dict(scaler)
            if self._objective.frequencies is not None:
                self._objective.frequencies.restore(found.tensors[FREQUENCIES])
            return Progress(**state)
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"{self._folder / CHECKPOINT}: is damaged ({error!r}); delete it to start over"
            ) from error

    def _finish(self) -> dict[str, Any]:
        """The description of the kept encoder, which without evaluation is the last one."""
        self._accelerator.wait_for_everyone()
        if self._config.evaluation is None or not (self._folder / ENCODER / TRAINING).exists():
            kept = self._update_kept()
            self._accelerator.wait_for_everyone()  # no process reads the file any more
            if kept is not None and self._accelerator.is_main_process:
                self._write_encoder(kept)
        self._accelerator.wait_for_everyone()
        described: dict[str, Any] = json.loads((self._folder / ENCODER / TRAINING).read_bytes())
        return described

    def _update_kept(self) -> TrainableEncoder | None:
        """The evaluated and saved model with the present weights; called by all processes at once."""
        if self._kept is not self._model:
            copy_learned(self._model, self._kept)
        if self._kept is not None:
            self._kept.eval()
            self._kept.update_encoder()
        return self._kept

    def _write_encoder(self, kept: TrainableEncoder) -> None:
        folder, step = self._folder / ENCODER, self._progress.step
        found, before = (self._progress.evaluations.get(key, {}) for key in (str(step), "0"))
        described = {
            "config": asdict(self._config),
            "seed": self._config.seed,
            "step": step,
            "metrics": found,
            "metrics_before": before,
            "versions": {name: version(name) for name in (*LIBRARIES, *(["peft"] if self._config.lora else []))},
        }
        with merged(kept):
            kept.encoder.save_pretrained(folder, described, training_card(self._config, step, found, before))


def _windows(config: TrainingConfig, model: TrainableEncoder) -> list[tuple[TrainableSide, FocusingWindow]]:
    """Give each side its window; returns the sides with a window that narrows.

    Raises ParameterError for a side that is looked up.
    """
    chosen = config.window
    found = []
    for name, side, widths in (
        ("query", model.query, () if chosen is None else chosen.query),
        ("document", model.document, () if chosen is None else chosen.document),
    ):
        if chosen is None or not widths:
            continue
        if not isinstance(side, TrainableSide) or (name == "query" and side is model.document):
            raise ParameterError(
                f"window.{name}: the {name} side has no network of its own, so that a window has no effect; remove it"
            )
        side.window = widths[0]
        if len(widths) > 1:
            found.append((side, FocusingWindow(widths, chosen.share, chosen.over)))
    return found
