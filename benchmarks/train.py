"""Training speed, compared with sentence-transformers' SparseEncoderTrainer: same checkpoint, texts and objective.

    python benchmarks/train.py                                     SciFact on the CPU, in float32
    python benchmarks/train.py --precision bfloat16 --threads 2
    python benchmarks/train.py --keep-memory                       better for sentence-transformers, see below
    python benchmarks/train.py --device cuda --steps 100 --warm-up 20 --threads 8
    python benchmarks/train.py --device cuda --base --precision bfloat16 --batch 128 --rounds 1 --steps 20 --warm-up 10

Needs `pip install datasets`, without which sentence-transformers does not train. A step is one step of AdamW on a batch
of queries, each with one positive and one negative document: multiple negatives ranking, and FLOPS on both sides. All
other settings are defaults: lsr tokenizes in a second thread.

First, the losses of some steps on one batch, without dropout: equal losses show that both do the same work. Then
queries per second, of the steps after a warm-up; lsr's are from its own log. The two take turns, each time in a new
process: figures are the median, minimum and maximum of the rounds. Memory is the peak of a process, including its
start, or on a GPU the peak of torch.

sentence-transformers keeps the logits of a batch, gigabytes, which glibc allocates from the system and frees in every
step. If this is slow, as in many virtual machines, it can take most of the time; --keep-memory avoids it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from lsr.collections.collection import load_collection
from lsr.encoders.folders.find import find_checkpoint
from lsr.training.losses import LossSpec
from lsr.training.regularizers import Penalty
from lsr.training.training_config import DataConfig, EncoderConfig, OptimizerConfig, RegularizerConfig, TrainingConfig

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
QUERY_FLOPS, DOCUMENT_FLOPS = 5e-3, 3e-3  # strong enough to affect the compared losses
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}  # settings of glibc
COMPARED = {"total": 4, "stretch": 1}  # number of compared steps, with one value each


@dataclass
class Done:
    """For every stretch of steps, the mean loss and the queries per second."""

    losses: list[float]
    speeds: list[float]
    peak_gigabytes: float = 0.0


def configured(job: Namespace) -> TrainingConfig:
    return TrainingConfig(
        EncoderConfig(start=job.encoder, max_length=job.max_length),
        (DataConfig(records=job.records),),
        OptimizerConfig(job.batch, steps=job.total, warm_up=0, schedule="constant", precision=job.precision),
        losses=(LossSpec("multiple-negatives"),),
        regularizer=RegularizerConfig(
            (Penalty("flops", QUERY_FLOPS),), (Penalty("flops", DOCUMENT_FLOPS),), schedule="constant"
        ),
        seed=job.seed,
        log_every=job.stretch,
        save_every=job.total + 1,
    )


def train_lsr(job: Namespace, out: str) -> Done:
    from lsr.training.trainer import train

    train(configured(job), out, device=job.device)
    lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    return Done([line["loss"] for line in lines], [line["examples/s"] for line in lines])


def train_peer(job: Namespace, out: str) -> Done:
    from datasets import Dataset
    from sentence_transformers import SparseEncoder, SparseEncoderTrainer, SparseEncoderTrainingArguments
    from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import SpladeRegularizerWeightSchedulerCallback
    from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss
    from transformers import TrainerCallback

    class Constant(SpladeRegularizerWeightSchedulerCallback):
        def _calculate_weight_value(self, step: int, max_value: float) -> float:
            return max_value

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.times = [time.perf_counter()]

        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % job.stretch == 0:
                if job.device == "cuda":
                    torch.cuda.synchronize()
                self.times.append(time.perf_counter())

    same = configured(job).optimizer
    model = SparseEncoder(job.encoder, device=job.device)
    model.max_seq_length = job.max_length
    loss = SpladeLoss(model, SparseMultipleNegativesRankingLoss(model), DOCUMENT_FLOPS, QUERY_FLOPS)
    arguments = SparseEncoderTrainingArguments(
        output_dir=out,
        per_device_train_batch_size=same.batch_size,
        max_steps=same.steps,
        learning_rate=same.rate,
        lr_scheduler_type=same.schedule,
        weight_decay=same.weight_decay,
        max_grad_norm=same.clip,
        bf16=same.precision == "bfloat16",
        use_cpu=job.device == "cpu",
        seed=job.seed,
        logging_steps=job.stretch,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    rows = Dataset.from_list([json.loads(line) for line in Path(job.records).read_text().splitlines()])
    clock = Clock()
    trainer = SparseEncoderTrainer(model, arguments, rows, loss=loss, callbacks=[Constant(loss), clock])
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    seconds = [end - begin for begin, end in zip(clock.times, clock.times[1:], strict=False)]
    return Done(losses, [job.stretch * job.batch / each for each in seconds])


TRAINERS = {"lsr": train_lsr, "sentence-transformers": train_peer}


def work(job: Namespace) -> Done:
    torch.set_num_threads(job.threads)
    with tempfile.TemporaryDirectory() as out:
        done = TRAINERS[job.trainer](job, out)
    # Not getrusage, which starts with the memory of the parent process.
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024
    done.peak_gigabytes = (torch.cuda.max_memory_allocated() if job.device == "cuda" else peak) / 1e9
    return done


def in_new_process(arguments: Namespace, **more: Any) -> Done:
    job = json.dumps({**vars(arguments), **more}, default=str)
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), str(arguments.threads))
    environment |= KEEP_MEMORY if arguments.keep_memory else {}
    command = [sys.executable, __file__, "--job", job]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return Done(**json.loads(done.stdout.splitlines()[-1]))


def make_records(name: str) -> list[str]:
    """Records without duplicate documents: lsr drops negatives of a query that other records have as its positives.

    Negatives are random.
    """
    collection = load_collection(DATA / name if (DATA / name).is_dir() else name, "train")
    texts = {document.doc_id: document.full_text for document in collection.documents() if document.full_text}
    positives: dict[str, str] = {}  # document text -> query text
    for query_id, judged in collection.qrels().items():
        relevant = [texts[doc_id] for doc_id, grade in judged.items() if grade > 0 and doc_id in texts]
        if unused := [text for text in relevant if text not in positives]:
            positives[unused[0]] = collection.queries()[query_id]
    rest = sorted(set(texts.values()) - set(positives))
    negatives = Random(0).sample(rest, min(len(rest), len(positives)))
    return [
        json.dumps({"query": query, "positive": positive, "negative": negative}) + "\n"
        for (positive, query), negative in zip(positives.items(), negatives, strict=False)
    ]


def without_dropout(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    zeros = {name: 0.0 for name, value in config.items() if "dropout" in name and isinstance(value, float)}
    (folder / "config.json").write_text(json.dumps(config | zeros))
    return folder


def of_base_size(model: Path, folder: Path, texts: list[str], max_length: int) -> Path:
    """A network of the size of BERT-base with random weights, and a bias that makes texts sparse, as after training.

    model: a BERT with the tokenizer. On average, each of the texts has 250 components above 0.
    """
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.pt"))
    config = AutoConfig.from_pretrained(folder)
    config.hidden_size, config.num_hidden_layers, config.num_attention_heads = 768, 12, 12
    config.intermediate_size = 3072
    torch.manual_seed(0)
    network = AutoModelForMaskedLM.from_config(config).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, truncation=True, max_length=max_length, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = network(**batch).logits.masked_fill(batch["attention_mask"][:, :, None] == 0, float("-inf")).amax(1)
        network.cls.predictions.bias -= torch.quantile(logits.flatten(), 1 - 250 / logits.shape[1])
    network.save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="tiny", help="a masked language model, for load_encoder")
    parser.add_argument(
        "--base", action="store_true", help="instead train a network of the size of BERT-base from random weights"
    )
    parser.add_argument(
        "--collection", default="scifact", help="a collection of the data with a train split, or a path"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="number of timed steps, a multiple of --warm-up")
    parser.add_argument("--warm-up", type=int, default=5, help="number of steps before the timed ones")
    parser.add_argument("--batch", type=int, default=32, help="queries per step")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep-memory", action="store_true", help="do not return memory to the system, for both")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # for child processes
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(asdict(work(Namespace(**json.loads(arguments.job))))))
        return
    if arguments.steps % arguments.warm_up:
        parser.error("--steps must be a multiple of --warm-up")

    rounds: dict[str, list[Done]] = {name: [] for name in TRAINERS}
    with tempfile.TemporaryDirectory() as scratch:
        records, batch, encoder = (Path(scratch) / name for name in ("records.jsonl", "batch.jsonl", "encoder"))
        lines = make_records(arguments.collection)
        records.write_text("".join(lines[: len(lines) // arguments.batch * arguments.batch]))  # only whole batches
        batch.write_text("".join(lines[: arguments.batch]))
        model = find_checkpoint(arguments.encoder).folder
        if arguments.base:
            texts = [json.loads(line)["positive"] for line in lines[:16]]
            model = of_base_size(model, Path(scratch) / "base", texts, arguments.max_length)
        same: dict[str, Any] = {"encoder": without_dropout(model, encoder), "records": batch, "seed": 0, **COMPARED}
        losses = {name: in_new_process(arguments, trainer=name, **same).losses for name in TRAINERS}
        for name, values in losses.items():
            print(f"losses on one batch, {name}: {', '.join(f'{value:.5f}' for value in values)}", flush=True)
        timed = {"encoder": model, "records": records}
        timed |= {"total": arguments.warm_up + arguments.steps, "stretch": arguments.warm_up}
        for seed in range(arguments.rounds):
            for name, dones in rounds.items():
                dones.append(in_new_process(arguments, trainer=name, seed=seed, **timed))

    from encode import cpu_name  # not above, because it would load sentence-transformers into the processes of lsr

    packages = ("torch", "transformers", "sentence-transformers")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else cpu_name()
    machine = f"{machine}, {arguments.threads} threads, {arguments.device}, {arguments.precision}"
    machine += ", memory kept" if arguments.keep_memory else ""
    table = Table(
        "trainer", title=f"Training {'base' if arguments.base else arguments.encoder} on {arguments.collection}"
    )
    for heading in ("queries/s", "least", "most", "ratio", "peak GB"):
        table.add_column(heading, justify="right")
    speeds = {name: [statistics.harmonic_mean(done.speeds[1:]) for done in dones] for name, dones in rounds.items()}
    for name, each in speeds.items():
        ratio = statistics.median(each) / statistics.median(speeds["sentence-transformers"])
        peak = max(done.peak_gigabytes for done in rounds[name])
        figures = (statistics.median(each), min(each), max(each), ratio, peak)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    Console(width=max(Console().width, 130)).print(table)
    print(
        f"{arguments.rounds} rounds of {arguments.steps} steps with {arguments.batch} queries, texts of at most "
        f"{arguments.max_length} tokens; {machine}; {versions}"
    )
    if arguments.json:
        found = {name: [asdict(done) for done in dones] for name, dones in rounds.items()}
        content = {"machine": machine, "versions": versions, "losses": losses, "rounds": found}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
