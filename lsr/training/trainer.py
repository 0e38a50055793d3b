"""Training an encoder, from a configuration to a folder that load_encoder takes; resumes exactly after a kill.

Accelerate (Hugging Face) moves what is trained to its devices and takes care of precision and of several processes:
`accelerate launch -m lsr train CONFIG OUT` trains on every GPU of a machine.
"""

from __future__ import annotations

import json
import math
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import nn

from lsr.checks import check_kind, expanded
from lsr.encoders.batches import find_device
from lsr.encoders.collection_idf import idf_from
from lsr.errors import ParameterError, StorageError
from lsr.progress import progress_bar
from lsr.threads import processors
from lsr.training.accelerate_state import own_accelerate_state
from lsr.training.checkpoint import load_checkpoint, save_checkpoint
from lsr.training.evaluation import DevelopmentSet, evaluate_encoder, read_development_set
from lsr.training.focusing_window import FocusingWindow
from lsr.training.log import Log, Rates
from lsr.training.model import TrainableEncoder, TrainableSide
from lsr.training.objective import Cost, Objective, TrainingBatch
from lsr.training.optimizer import parameter_groups, rate_at
from lsr.training.start import open_teachers, start_encoder, tokenizer_of, what_documents_learn, what_queries_learn
from lsr.training.stored_scores import StoredScores, store_scores
from lsr.training.training_batches import Batches, batches_of_epoch, open_stream
from lsr.training.training_config import TrainingConfig
from lsr.training.training_folder import CACHE, CHECKPOINT, ENCODER, PACKAGE, TEACHER, TRAINING, own_training

MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
FREQUENCIES = "document frequencies"
LIBRARIES = (PACKAGE, "torch", "transformers", "accelerate", "numpy")


@dataclass
class Progress:
    """Where a training stands, all of it JSON.

    step: steps done. best: of the measure. worse: evaluations since then. evaluations: step -> figures.
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
) -> dict[str, Any]:
    """Train, in `folder`, and return what OUT/encoder/training.json says.

    A folder in which the same configuration was begun is gone on with from its last checkpoint: on a CPU, with as many
    threads, to the same weights as if it had never been stopped. offline_data: a folder in which
    collections lie, as for open_collection. device: "cpu", or None for what Accelerate finds.

    Raises ParameterError where parts of the configuration do not fit together, or the folder is another training's;
    CollectionError, EncoderError, StorageError.
    """
    check_kind("the training", config, TrainingConfig, ": read_training(path)")
    with own_accelerate_state():
        return _train(config, expanded(folder), offline_data, device, progress)


def _train(
    config: TrainingConfig, folder: Path, offline_data: Path | None, device: str | None, progress: bool
) -> dict[str, Any]:
    wanted = None if device is None else find_device(device).type
    accelerator = Accelerator(
        mixed_precision=MIXED[config.optimizer.precision],
        cpu=wanted == "cpu",
        # Poolers, and whatever else a backbone has that no head looks at.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),
            # Others wait while the first process reads, scores or evaluates.
            InitProcessGroupKwargs(timeout=timedelta(days=2)),
        ],
    )
    if wanted not in (None, accelerator.device.type):
        raise ParameterError(
            f"device is {device!r}, but training takes {accelerator.device}; leave it out, or give cpu"
        )
    if config.optimizer.precision == "float16" and accelerator.device.type == "cpu":
        raise ParameterError("precision is float16, which needs a GPU; take bfloat16 or float32")
    with own_training(folder, config, accelerator.is_main_process):
        shown = progress and accelerator.is_main_process
        return _Training(config, folder, accelerator, offline_data, shown).run()


class _Training:
    """One training at work."""

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        accelerator: Accelerator,
        offline_data: Path | None,
        progress: bool,
    ) -> None:
        self._config, self._folder, self._accelerator, self._shown = config, folder, accelerator, progress
        device = str(accelerator.device)
        self._encoder = start_encoder(config.encoder, device, config.seed, progress, offline_data)
        self._model = TrainableEncoder(
            self._encoder,
            what_queries_learn(config.encoder, self._encoder),
            config.seed,
            what_documents_learn(config.encoder),
        ).to(accelerator.device)
        if config.optimizer.gradient_checkpointing:
            self._model.gradient_checkpointing()
        self._windows = _windows(config, self._model)
        optimizer, ranks = config.optimizer, accelerator.num_processes
        if optimizer.batch_size % ranks:
            raise ParameterError(f"batch_size is {optimizer.batch_size}; it must be a multiple of {ranks} processes")
        share = optimizer.batch_size // ranks
        with accelerator.main_process_first():
            stream = open_stream(config, folder / CACHE, progress, offline_data)
        self._per_epoch = batches_of_epoch(stream, share, ranks)
        self._steps = optimizer.steps or max(1, round(self._per_epoch * (optimizer.epochs or 0) / optimizer.accumulate))
        idf = None
        if config.regularizer.idf:
            table = idf_from(config.regularizer.idf, tokenizer_of(self._encoder), progress, offline_data)
            idf = torch.from_numpy(table).to(accelerator.device)
        self._objective = Objective(config, self._encoder.dim, idf, self._steps, accelerator.device)
        self._development: DevelopmentSet | None = None
        if config.evaluation is not None and accelerator.is_main_process:
            chosen = config.evaluation
            self._development = read_development_set(
                chosen.collection, chosen.split, chosen.queries, chosen.documents, offline_data
            )
        teacher = None if config.teacher is None else open_teachers(config.teacher, device)
        if teacher is not None and config.teacher is not None and config.teacher.store:
            if accelerator.is_main_process:
                total = stream.source.count() if progress else None
                store_scores(teacher.teachers, stream.whole_groups(), folder / TEACHER, total, progress)
            accelerator.wait_for_everyone()
            teacher = replace(teacher, teachers=StoredScores(folder / TEACHER).teachers)
        whole_batch = config.teacher is not None and config.teacher.whole_batch
        self._batches = Batches(stream, self._model, share, teacher, whole_batch, accelerator.process_index, ranks)
        fused = accelerator.device.type in ("cpu", "cuda")
        self._optimizer = torch.optim.AdamW(parameter_groups(self._model, optimizer), lr=optimizer.rate, fused=fused)
        self._wrapped, self._prepared = accelerator.prepare(self._model, self._optimizer)
        self._progress = self._resumed()

    def run(self) -> dict[str, Any]:
        """Every step that is left, and what is written at the end."""
        config, state, micro = self._config, self._progress, self._config.optimizer.accumulate
        log = Log(self._folder, state.step) if self._accelerator.is_main_process else None
        if state.step == 0:
            self._evaluate(log)
        rates = Rates()
        with (
            closing(self._batches(state.step * micro, self._per_epoch)) as batches,
            progress_bar("training", self._steps, "steps", self._shown) as advance,
        ):
            advance(state.step, resumed=True)
            while state.step < self._steps and not state.stopped:
                rates.add(self._step([next(batches) for _ in range(micro)]), config.optimizer.batch_size * micro)
                state.step += 1
                last = state.step == self._steps
                if log and (state.step % config.log_every == 0 or last):
                    log.write(state.step, rates.take())
                advance(1, rates.shown())
                better = False
                if config.evaluation and (state.step % config.evaluation.every == 0 or last):
                    better = self._evaluate(log)
                # What was found to be the best is also where a killed training goes on, or it might be found no more.
                if state.step % config.save_every == 0 or last or state.stopped or better:
                    self._save(log)
        if log:
            log.close()
        return self._finish()

    def _step(self, batches: list[TrainingBatch]) -> dict[str, float]:
        """One step of the optimizer; the means of its figures."""
        accelerator, config, step = self._accelerator, self._config, self._progress.step + 1
        self._model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * rate_at(config.optimizer, step, self._steps)
        sums: dict[str, torch.Tensor] = {}
        self._prepared.zero_grad()
        for number, batch in enumerate(batches):
            # Drawn anew for every batch, so that nothing of it needs to be kept for going on.
            torch.manual_seed(_mixed(config.seed, step, number, accelerator.process_index))
            last = number + 1 == len(batches)
            try:
                with nullcontext() if last else accelerator.no_sync(self._wrapped):
                    cost, queries, documents = self._gradients(self._wrapped, batch, step, len(batches))
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                cost = None
            if cost is None:  # outside of `except`, which keeps the tensors of the batch that was too large
                raise self._too_large(batch, step)
            for side, window in self._windows:
                nonzeros = documents if side is self._model.document else queries
                window.see(accelerator.gather(nonzeros).tolist())
                side.window = window.width
            for name, value in cost.figures.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value / len(batches)
        norm = accelerator.clip_grad_norm_(self._model.parameters(), config.optimizer.clip or math.inf)
        figures = {name: float(value) for name, value in sums.items()}
        # Before they reach the weights, and a checkpoint. A scaler's gradients may be infinite; it passes over them.
        self._check_finite("loss", figures["loss"], batches, step)
        if accelerator.scaler is None and norm is not None:
            self._check_finite("length of the gradients", float(norm), batches, step)
        self._prepared.step()
        return {**figures, "rate": self._optimizer.param_groups[0]["lr"]}

    def _check_finite(self, what: str, value: float, batches: list[TrainingBatch], step: int) -> None:
        if math.isfinite(value):
            return
        place = self._folder / CHECKPOINT
        kept = f"{place} is as it was before. " if place.exists() else ""
        ids = ", ".join(query_id for batch in batches for query_id in batch.query_ids)
        raise ParameterError(
            f"step {step}: the {what} is {value}; lower the rate or the strengths, or train in float32. {kept}The "
            f"queries of the batch: {ids}"
        )

    def _gradients(
        self, model: nn.Module, batch: TrainingBatch, step: int, parts: int
    ) -> tuple[Cost, torch.Tensor, torch.Tensor]:
        """Add a batch's gradients, one of `parts` of a step; its cost, and non-zeros of its queries and documents."""
        batch = batch.to(self._accelerator.device)
        with self._accelerator.autocast():
            queries, documents = model(batch.queries, batch.documents)
        cost = self._objective(queries, documents, batch, step)
        self._accelerator.backward(cost.total / parts)
        return cost, (queries.final > 0).sum(1), (documents.final > 0).sum(1)

    def _too_large(self, batch: TrainingBatch, step: int) -> ParameterError:
        """What to say of a batch that does not fit in memory: halves are tried until one does."""
        ranks, size = self._accelerator.num_processes, len(batch.query_ids)
        advice = "a shorter max_length, a smaller group, gradient_checkpointing"
        said = f"step {step}: a batch of {size * ranks} queries does not fit in memory"
        if ranks > 1:  # others wait, and what was begun together cannot be tried alone
            return ParameterError(f"{said}; take a smaller batch_size, or {advice}")
        # AdamW's two moments come with the first step, and stay; gradients with the first of the batches of a step.
        later = [] if self._optimizer.state else 2 * [*self._model.parameters()]
        moments: list[torch.Tensor] = []
        while size > 1:
            size //= 2
            self._prepared.zero_grad()
            moments.clear()
            try:
                moments += [torch.empty_like(parameter) for parameter in later]
                for _ in range(2):
                    self._gradients(self._model, batch.first(size), step, 2)
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                continue
            share = self._config.optimizer.accumulate * -(-len(batch.query_ids) // size)
            return ParameterError(
                f"{said}; {size} do: take batch_size = {size} and accumulate = {share}, or {advice}; in another folder"
            )
        return ParameterError(f"{said}, nor does one of 1; take {advice}; in another folder")

    def _evaluate(self, log: Log | None) -> bool:
        """Measure the encoder as it is, and keep it if it is the best; whether it is.

        What training begins with is measured for the log alone: the figures are not a result of the training.
        """
        chosen, state, better = self._config.evaluation, self._progress, False
        if chosen is not None and self._development is not None and log is not None:
            self._model.eval()
            self._model.update_encoder()
            found = evaluate_encoder(
                self._encoder, self._development, [chosen.measure], threads=processors(), progress=self._shown
            )
            figures = {**found.measures, "query nnz": found.query_nnz, "document nnz": found.document_nnz}
            value = found.measures[chosen.measure]
            state.evaluations[str(state.step)] = figures
            log.write(state.step, {f"dev {name}": each for name, each in figures.items()})
            better = state.step > 0 and value > state.best
            if better:
                state.best, state.worse = value, 0
                self._write_encoder()
            elif state.step:
                state.worse += 1
                state.stopped = bool(chosen.patience) and state.worse >= chosen.patience
        told = torch.tensor([float(state.stopped), float(better)], device=self._accelerator.device)
        stopped, better = (bool(each) for each in self._accelerator.reduce(told))
        state.stopped = stopped
        return better

    def _save(self, log: Log | None) -> None:
        """A checkpoint, by the first process."""
        self._accelerator.wait_for_everyone()
        if log is None:
            return
        frequencies = self._objective.frequencies
        more = {} if frequencies is None else {FREQUENCIES: frequencies.state()}
        scaler = self._accelerator.scaler
        save_checkpoint(
            self._folder / CHECKPOINT,
            self._model,
            self._optimizer,
            {
                **asdict(self._progress),
                "windows": [window.state() for _, window in self._windows],
                "scaler": None if scaler is None else scaler.state_dict(),
            },
            more,
        )
        log.flush()

    def _resumed(self) -> Progress:
        """Fill everything with the last checkpoint, if there is one. Raises StorageError for a damaged one."""
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
                f"{self._folder / CHECKPOINT}: is damaged ({error!r}); remove it to begin anew"
            ) from error

    def _finish(self) -> dict[str, Any]:
        """What is said of the encoder that is kept, which without evaluation is the last."""
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process and (
            self._config.evaluation is None or not (self._folder / ENCODER / TRAINING).exists()
        ):
            self._model.eval()
            self._model.update_encoder()
            self._write_encoder()
        self._accelerator.wait_for_everyone()
        described: dict[str, Any] = json.loads((self._folder / ENCODER / TRAINING).read_bytes())
        return described

    def _write_encoder(self) -> None:
        folder, step = self._folder / ENCODER, self._progress.step
        self._encoder.save_pretrained(
            folder,
            {
                "config": asdict(self._config),
                "seed": self._config.seed,
                "step": step,
                "metrics": self._progress.evaluations.get(str(step), {}),
                "metrics_before": self._progress.evaluations.get("0", {}),
                "versions": {name: version(name) for name in LIBRARIES},
            },
        )


def _out_of_memory(error: Exception) -> bool:
    """Of a CPU, which PyTorch tells of with an error of no kind of its own, and of a GPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def _windows(config: TrainingConfig, model: TrainableEncoder) -> list[tuple[TrainableSide, FocusingWindow]]:
    """The sides whose window a schedule narrows. Raises ParameterError for one that is looked up."""
    chosen = config.window
    found = []
    for name, side, widths in (
        ("query", model.query, () if chosen is None else chosen.query),
        ("document", model.document, () if chosen is None else chosen.document),
    ):
        if chosen is None or not widths:
            continue
        if not isinstance(side, TrainableSide) or (name == "query" and side is model.document):
            raise ParameterError(f"window.{name}: there is no network of the {name} side's own to narrow; leave it out")
        window = FocusingWindow(widths, chosen.share, chosen.over)
        side.window = window.width
        found.append((side, window))
    return found


def _mixed(*numbers: int) -> int:
    """A seed of several numbers."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) % (1 << 63)
    return mixed
