"""Trainings: against a loop in plain torch, killed and gone on with, watched, stopped, and of every method."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from lsr.collections.collection import load_collection
from lsr.encoders.load import load_encoder
from lsr.encoders.spec import HeadSpec
from lsr.errors import CollectionError, EncoderError, ParameterError, StorageError
from lsr.training.checkpoint import save_checkpoint
from lsr.training.model import TextBatch, TrainableEncoder, Weights
from lsr.training.objective import Cost, Objective
from lsr.training.optimizer import rate_at
from lsr.training.trainer import train
from lsr.training.training_batches import open_streams
from lsr.training.training_config import read_training
from tests.processes import run_python
from tests.training.trained import kill_after, log_of, weights_of, write_config
from tests.training.trained import train_here as run
from tests.training.written import write_lines

EVALUATION = """
[evaluation]
collection = "{data}"
split = "dev"
every = {every}
patience = {patience}
measure = "RR@10"
"""


def test_equals_a_loop_in_plain_torch(tmp_path: Path) -> None:
    """SPLADE-max with in-batch negatives, FLOPS and L1 rising by the square, AdamW, warm-up and decay, clipping."""
    steps = 6
    path = write_config(tmp_path, f"steps = {steps}\nwarm_up = 0.34\nclip = 0.5\nweight_decay = 0.1")
    run(path)
    config = read_training(path)
    (stream,) = open_streams(config, tmp_path / "cache", False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "model").train()
    special = torch.tensor(tokenizer.all_special_ids)
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=1e-3
    )

    def encode(texts: list[str]) -> torch.Tensor:
        batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
        logits = model(**batch).logits
        counted = (batch["attention_mask"] * ~torch.isin(batch["input_ids"], special)).unsqueeze(-1)
        return torch.log1p(torch.relu(logits * counted)).amax(1)

    batches = [batch for epoch in (0, 1) for batch in stream.batches(epoch, 6)][:steps]
    losses = []
    for step, groups in enumerate(batches, start=1):
        queries = encode([group.query for group in groups])
        documents = encode([document for group in groups for document in group.documents]).view(len(groups), 3, -1)
        loss = torch.zeros(())
        for row, group in enumerate(groups):
            others = [
                queries[row] @ documents[other, 0]
                for other in range(len(groups))
                if other != row and groups[other].document_ids[0] not in group.relevant
            ]
            own = [queries[row] @ documents[row, at] for at in range(3)]
            loss = loss + torch.logsumexp(torch.stack(own + others), 0) - own[0]
        loss = loss / len(groups)
        share = (min(step, steps // 3) / (steps // 3)) ** 2
        loss = loss + 0.01 * share * documents.flatten(0, 1).mean(0).square().sum()
        loss = loss + 0.01 * share * queries.sum(1).mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        warm = round(0.34 * steps)
        rate = step / warm if step <= warm else 1 - (step - warm) / (steps - warm + 1)
        for each in optimizer.param_groups:
            each["lr"] = 1e-3 * rate
        optimizer.step()
    assert [float(row["loss"]) for row in log_of(tmp_path / "out")] == pytest.approx(losses, rel=1e-4)
    trained = load_encoder(tmp_path / "out" / "encoder")
    texts = ["alpha sea", "run the delta"]
    model.eval()
    with torch.no_grad():
        np.testing.assert_allclose(trained.encode_documents(texts).to_dense(), encode(texts), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_rates_rise_and_fall(tmp_path: Path, schedule: str) -> None:
    config = read_training(write_config(tmp_path, f'steps = 100\nwarm_up = 0.1\nschedule = "{schedule}"')).optimizer
    rates = [rate_at(config, step, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert all(0 < rate <= 1 for rate in rates)
    if schedule == "constant":
        assert rates[10:] == [1.0] * 90
    else:
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert rates[-1] < 0.02
        assert rates[54] == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"regularizer": 'document = [{ kind = "df-flops", strength = 0.1 }]', "optimizer": "accumulate = 2"},
        {"encoder": 'method = "li-lsr"\nbackbone = "{folder}/model"', "regularizer": ""},
        {
            "encoder": 'method = "prosper-bert"\nbackbone = "{folder}/model"',
            "more": "\n[window]\nquery = [17, 12]\ndocument = [17, 14, 11]\nover = 100\nshare = 0.4",
        },
        {
            "data": 'collection = "{folder}/data"\ngroup = 3\nweight = 2.5\n'
            '[[data]]\ncollection = "{folder}/data"\nsplit = "dev"\nweight = 1'
        },
    ],
    ids=["plain", "frequencies", "learned table", "windows", "several sets"],
)
def test_killed_it_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    """Interrupted after two of its checkpoints, and one of them killed in the middle of whatever it does."""

    def interrupted(*arguments: Any) -> None:
        save_checkpoint(*arguments)
        if arguments[3]["step"] in (4, 24):
            raise KeyboardInterrupt

    plain = not changes
    changes = {key: value.replace("{folder}", str(tmp_path)) for key, value in changes.items()}
    optimizer = f"steps = 60\n{changes.pop('optimizer', '')}"
    more = EVALUATION.format(data=tmp_path / "data", every=20, patience=0)
    path = write_config(tmp_path, optimizer, more + changes.pop("more", ""), dropout=True, **changes)
    run(path, "whole")
    with monkeypatch.context() as context:
        context.setattr("lsr.training.trainer.save_checkpoint", interrupted)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                run(path, "killed")
    if plain:
        kill_after(path, tmp_path / "killed", 40)
    run(path, "killed")
    whole, killed = (load_file(tmp_path / name / "checkpoint" / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, killed[name]), name
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    described = [
        json.loads((tmp_path / name / "encoder" / "training.json").read_bytes()) for name in ("whole", "killed")
    ]
    assert described[0] == described[1]


def test_the_best_is_kept_and_is_what_was_measured(tmp_path: Path) -> None:
    more = EVALUATION.format(data=tmp_path / "data", every=20, patience=0)
    path = write_config(tmp_path, "steps = 120", more, rate="5e-3")
    described = run(path)
    evaluated = {int(row["step"]): float(row["dev RR@10"]) for row in log_of(tmp_path / "out") if row["dev RR@10"]}
    assert sorted(evaluated) == [0, 20, 40, 60, 80, 100, 120]
    assert evaluated.pop(0) < 0.2
    assert described["metrics"]["RR@10"] == max(evaluated.values())
    assert described["step"] == max(evaluated, key=lambda step: (evaluated[step], -step))
    assert evaluated[120] > 0.2
    collection = load_collection(tmp_path / "data", "dev")
    encoder = load_encoder(tmp_path / "out" / "encoder")
    documents = list(collection.documents())
    scores = encoder.encode_queries(list(collection.queries().values())).to_dense() @ (
        encoder.encode_documents([document.full_text for document in documents]).to_dense().T
    )
    reciprocal = []
    for row, query in enumerate(collection.queries()):
        order = np.argsort(-scores[row], kind="stable")
        place = next(at for at, each in enumerate(order) if documents[each].doc_id in collection.qrels()[query])
        reciprocal.append(1 / (place + 1) if place < 10 else 0)
    assert np.mean(reciprocal) == pytest.approx(described["metrics"]["RR@10"], abs=0.02)


def test_training_stops_after_evaluations_without_improvement(tmp_path: Path) -> None:
    more = EVALUATION.format(data=tmp_path / "data", every=2, patience=2)
    path = write_config(tmp_path, "steps = 400", more, rate="1e-12")
    run(path)
    steps = [int(row["step"]) for row in log_of(tmp_path / "out")]
    assert max(steps) == 6  # best at 2, not better at 4 and 6
    run(path)  # and it stays so
    assert max(int(row["step"]) for row in log_of(tmp_path / "out")) == 6


METHODS = {
    "splade-max": "",
    "distilsplade-sep": "",
    "splade-doc": "",
    "li-lsr": "",
    "unicoil": "",
    "deepimpact": "",
    "tildev2": "",
    "epic": "",
    "prosper-bert": "",
    "qmlp-dmlm": "",
    "qmlm-dmlp": "",
    "qmlp-dbin": "",
    "qmlm-dbin": "",
    "unicoil-dbin": "",
    "qbin-dmlp": "",
    "sparta-qmlp": "",
    "opensearch-doc-v2-distill": "idf = '{data}'",
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns(tmp_path: Path, method: str) -> None:
    more = METHODS[method].format(data=tmp_path / "data")
    encoder = f'method = "{method}"\nbackbone = "{tmp_path / "model"}"\n{more}'
    path = write_config(tmp_path, "steps = 40", encoder=encoder, regularizer="")
    run(path)
    losses = [float(row["loss"]) for row in log_of(tmp_path / "out")]
    assert np.mean(losses[-8:]) < 0.97 * np.mean(losses[:4])
    assert load_encoder(tmp_path / "out" / "encoder").encode_documents(["alpha sea run"]).nnz > 0


def test_deepct_learns_the_recall_of_terms(tmp_path: Path) -> None:
    path = write_config(tmp_path, "steps = 60", encoder=f'method = "deepct"\nbackbone = "{tmp_path / "model"}"')
    text = (
        path.read_text()
        .replace('[[losses]]\nname = "in-batch"\n', "")
        .replace("seed = 3", "seed = 3\nterm_recall = 1.0")
    )
    path.write_text(text[: text.index("[regularizer]")] + text[text.index("[optimizer]") :])
    run(path)
    losses = [float(row["term-mse"]) for row in log_of(tmp_path / "out")]
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:4])


def test_a_window_of_one_width_stays(tmp_path: Path) -> None:
    """Of a head that has none by itself, too; nine of ten texts fit from the start."""
    path = write_config(tmp_path, "steps = 4", "[window]\ndocument = 5\nover = 6")
    run(path)
    head = load_encoder(tmp_path / "out" / "encoder").spec.document.head
    assert head == replace(HeadSpec(), window=5, special_positions=head.special_positions)
    state = json.loads((tmp_path / "out" / "checkpoint" / "state.json").read_bytes())
    assert state["windows"] == []  # nothing to go on with
    last = log_of(tmp_path / "out")[-1]
    assert 0 < float(last["document nnz"]) <= 5


def test_windows_narrow_and_are_saved(tmp_path: Path) -> None:
    window = "[window]\nquery = [17, 12]\ndocument = [17, 14, 11]\nshare = 0.01\nover = 6"
    encoder = f'method = "prosper-bert"\nbackbone = "{tmp_path / "model"}"'
    run(write_config(tmp_path, "steps = 12", window, encoder=encoder))
    encoder = load_encoder(tmp_path / "out" / "encoder")
    texts = ["alpha sea run the delta of gamma", "beta"]
    widths = encoder.spec.query.head.window, encoder.spec.document.head.window
    assert widths[0] == 12
    assert widths[1] in (14, 11)
    assert np.diff(encoder.encode_queries(texts).indptr).max() <= widths[0]
    assert np.diff(encoder.encode_documents(texts).indptr).max() <= widths[1]


@pytest.mark.parametrize("method", ["splade-max", "unicoil", "epic", "prosper-bert"])
def test_mixed_precision_learns_too(tmp_path: Path, method: str) -> None:
    encoder = f'method = "{method}"\nbackbone = "{tmp_path / "model"}"'
    optimizer = 'steps = 40\nprecision = "bfloat16"\ngradient_checkpointing = true'
    run(write_config(tmp_path, optimizer, encoder=encoder, regularizer=""))
    losses = [float(row["in-batch"]) for row in log_of(tmp_path / "out")]
    assert np.mean(losses[-8:]) < np.mean(losses[:4])
    assert {each.dtype for each in weights_of(tmp_path / "out").values()} == {torch.float32}


def test_a_teacher_is_learned_from(tmp_path: Path) -> None:
    teacher = '[teacher]\ndense = ["minilm"]\nsparse = ["tiny"]\nwhole_batch = true\nscale = 10'
    run(write_config(tmp_path, "steps = 30", teacher, losses='name = "kl"', regularizer=""))
    losses = [float(row["kl"]) for row in log_of(tmp_path / "out")]
    assert np.mean(losses[-6:]) < np.mean(losses[:4])


def test_stored_scores_teach_the_same(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_config(tmp_path)
    collection = load_collection(data, "train")
    documents = [document.doc_id for document in collection.documents()]
    records = [
        {
            "query_id": query,
            "positive_ids": [*judged],
            "negative_ids": [each for each in documents if each not in judged][:5],
        }
        for query, judged in collection.qrels().items()
    ]
    mined = write_lines(tmp_path / "mined.jsonl", records)
    found = []
    for store in ("true", "false"):
        teacher = f'[teacher]\nsparse = ["tiny"]\nstore = {store}'
        path = write_config(
            tmp_path,
            "steps = 5",
            teacher,
            losses='name = "margin-mse"',
            data=f'collection = "{data}"\nnegatives = "{mined}"\ngroup = 3',
        )
        run(path, store)
        found.append([float(row["margin-mse"]) for row in log_of(tmp_path / store)])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert (tmp_path / "true" / "teacher" / "0" / "part-00000.parquet").exists()


def test_a_training_without_a_checkpoint_leaves_its_folder_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = f'[evaluation]\ncollection = "{tmp_path / "data"}"\nsplit = "dev"\nevery = 2'
    run(write_config(tmp_path, "steps = 2", evaluation), "fresh")
    path = write_config(tmp_path, "steps = 2", encoder=f'start = "{tmp_path / "tinny"}"')
    with pytest.raises(EncoderError, match="tinny"):
        run(path)
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("lsr.training.trainer.save_checkpoint", Mock(side_effect=KeyboardInterrupt))
        run(write_config(tmp_path, "steps = 9", evaluation.replace("every = 2", "every = 9")))
    assert not (tmp_path / "out" / "checkpoint").exists()
    run(write_config(tmp_path, "steps = 2", evaluation))
    assert log_of(tmp_path / "out") == log_of(tmp_path / "fresh")
    with pytest.raises(ParameterError, match="another configuration"):
        run(write_config(tmp_path, "steps = 3", evaluation))


def test_a_folder_holds_one_training(tmp_path: Path) -> None:
    path = write_config(tmp_path, "steps = 2")
    run(path)
    run(path)  # there is nothing left to do
    with pytest.raises(ParameterError, match="another configuration"):
        run(write_config(tmp_path, "steps = 3"))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("mine")
    with pytest.raises(StorageError, match="has no training"):
        run(path, "foreign")
    (tmp_path / "out" / "checkpoint" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(StorageError, match="delete it to start over"):
        run(write_config(tmp_path, "steps = 2"))


def test_a_training_in_british_spelling_is_resumed(tmp_path: Path) -> None:
    path = write_config(tmp_path, "steps = 2")
    found = run(path)
    marker = tmp_path / "out" / "training.json"
    content = marker.read_text()
    for british, ours in (("optimiser", "optimizer"), ("regulariser", "regularizer")):
        assert f'"{ours}"' in content
        content = content.replace(f'"{ours}"', f'"{british}"')
    marker.write_text(content)
    assert run(path) == found
    assert '"optimizer"' in marker.read_text()


def test_the_accelerator_of_the_program_stays_as_it_is(tmp_path: Path) -> None:
    """Trainings of other precisions before and after each other, in a program with an Accelerator of its own."""
    code = """
import sys
from pathlib import Path
from accelerate import Accelerator
from lsr.training.trainer import train
from lsr.training.training_config import read_training

own = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=3)
for number in range(2):
    train(read_training(Path(sys.argv[1])), Path(sys.argv[2]) / str(number), device="cpu")
    assert own.mixed_precision == "bf16"
    assert own.gradient_accumulation_steps == 3
assert Accelerator(cpu=True).mixed_precision == "bf16"
"""
    done = run_python(code, write_config(tmp_path, "steps = 2"), tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_loss_that_is_no_number_is_told(tmp_path: Path) -> None:
    path = write_config(tmp_path, "steps = 50\nclip = 0", rate="1e6", top="seed = 3\nlog_every = 1\nsave_every = 1")
    with pytest.raises(ParameterError, match="reduce the learning rate") as raised:
        run(path)
    step = int(re.search(r"step (\d+)", str(raised.value))[1])  # type: ignore[index]
    named = str(raised.value).rpartition(": ")[2].split(", ")
    config = read_training(path)
    (stream,) = open_streams(config, tmp_path / "again", progress=False)
    every = [group.query_id for number in range(20) for batch in stream.batches(number, 6) for group in batch]
    assert named == every[6 * (step - 1) : 6 * step]
    kept = load_file(tmp_path / "out" / "checkpoint" / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())


@pytest.mark.parametrize("method", ["splade-max", "splade-doc"])
def test_a_batch_that_is_too_large_is_told_with_one_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    documents: list[int] = []

    def small_memory(self: TrainableEncoder, queries: TextBatch, texts: TextBatch) -> tuple[Weights, Weights]:
        documents.append(texts.size)
        if texts.size > most:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 byte")
        return forward(self, queries, texts)

    forward = TrainableEncoder.forward
    monkeypatch.setattr(TrainableEncoder, "forward", small_memory)
    encoder = f'method = "{method}"\nbackbone = "{tmp_path / "model"}"'
    penalty = 'document = [{ kind = "flops", strength = 0.01 }]'
    path = write_config(tmp_path, encoder=encoder, regularizer=penalty)
    most = 3  # of which each query has three
    advice = "use batch_size = 1 and accumulate = 6, or grad_cache = 1, which keeps all negatives"
    with pytest.raises(ParameterError, match=rf"6 queries does not fit in memory, but 1 fit; {advice}"):
        run(path, "one")
    assert documents == [18, 9, 3, 3]  # twice, as a step will have several of them
    most = 9
    with pytest.raises(ParameterError, match="use batch_size = 3 and accumulate = 2"):
        run(path, "three")
    path = write_config(tmp_path, "steps = 8\ngrad_cache = 5", encoder=encoder, regularizer=penalty)
    with pytest.raises(ParameterError, match=r"by chunks of 5, but 2 fit; use grad_cache = 2, or a shorter max_length"):
        run(path, "chunks")
    path = write_config(tmp_path, encoder=encoder, regularizer=penalty)
    most = 2
    with pytest.raises(ParameterError, match="and not even 1 query fits; use a shorter max_length"):
        run(path, "none")


def test_a_folder_of_another_version_says_so(tmp_path: Path) -> None:
    path = write_config(tmp_path, "steps = 2")
    run(path)
    marker = tmp_path / "out" / "training.json"
    content = json.loads(marker.read_bytes())
    del content["config"]["encoder"]["query_head"]
    marker.write_text(json.dumps({**content, "version": "0.0.1"}))
    with pytest.raises(ParameterError, match=r"another configuration, started by lsr 0\.0\.1"):
        run(path)
    marker.write_text(json.dumps(content["config"]))  # as it was written at first
    with pytest.raises(ParameterError, match="another configuration, started by lsr before"):
        run(path)
    marker.write_text("{")
    with pytest.raises(StorageError, match="delete the folder to start over"):
        run(path)


def test_gradients_that_are_no_numbers_never_reach_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Objective, *arguments: Any) -> Cost:
        total, figures = compute(self, *arguments)
        seen.append(total)
        return Cost(torch.sqrt(total - total.detach()) + total if len(seen) == 3 else total, figures)

    compute, seen = Objective.__call__, []  # type: ignore[var-annotated]
    monkeypatch.setattr(Objective, "__call__", broken)
    for clip in ("clip = 0", "clip = 1"):
        seen.clear()
        (tmp_path / clip).mkdir()
        path = write_config(tmp_path / clip, f"steps = 4\n{clip}", top="seed = 3\nlog_every = 1\nsave_every = 1")
        with pytest.raises(ParameterError, match="step 3: the norm of the gradients is (nan|inf); reduce"):
            run(path)
        kept = load_file(tmp_path / clip / "out" / "checkpoint" / "model.safetensors")
        assert all(tensor.isfinite().all() for tensor in kept.values())


def test_unavailable_devices_and_precisions_are_refused(tmp_path: Path) -> None:
    path = write_config(tmp_path, 'steps = 2\nprecision = "float16"')
    with pytest.raises(ParameterError, match="float16, which needs a GPU") as raised:
        run(path)
    recipes = re.search(r"copy its file from (.*), and", str(raised.value))
    assert recipes and Path(recipes[1], "small", "splade-max.toml").is_file()
    if not torch.cuda.is_available():
        with pytest.raises(ParameterError, match="cuda"):
            train(read_training(write_config(tmp_path)), tmp_path / "out", device="cuda")


def test_a_batch_of_one_query_and_one_document_costs_nothing(tmp_path: Path) -> None:
    records = [{"query": f"alpha {word}", "positive": f"{word} sea"} for word in ("beta", "gamma", "run")]
    data = f'records = "{write_lines(tmp_path / "pairs.jsonl", records)}"\ngroup = 1'
    path = write_config(
        tmp_path, "steps = 4", '[teacher]\nsparse = ["tiny"]\nwhole_batch = true', data=data, losses='name = "kl"'
    )
    path.write_text(path.read_text().replace("batch_size = 6", "batch_size = 2"))
    run(path)
    assert [float(row["kl"]) == 0 for row in log_of(tmp_path / "out")] == [False, True, False, True]
    write_lines(tmp_path / "pairs.jsonl", [])
    with pytest.raises(CollectionError, match="too few queries"):
        run(path, "empty")


def test_logs_of_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(write_config(tmp_path, "steps = 4"))
    events = EventAccumulator(str(tmp_path / "out" / "tensorboard"))
    events.Reload()
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    expected = [(int(row["step"]), float(row["loss"])) for row in log_of(tmp_path / "out")]
    assert [step for step, _ in found] == [step for step, _ in expected] == [1, 2, 3, 4]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected])
    assert all(math.isfinite(value) for _, value in found)


def test_heads_in_place_of_a_methods_own(tmp_path: Path) -> None:
    backbone = f'method = "splade-max"\nbackbone = "{tmp_path / "model"}"\n'
    head = 'query_head = { literal_only = true, activation = "softplus" }'
    run(write_config(tmp_path, "steps = 2", encoder=backbone + head))
    encoder = load_encoder(tmp_path / "out" / "encoder")
    queries, documents = encoder.encode_queries(["alpha sea"]), encoder.encode_documents(["alpha sea"])
    known = {encoder.vocabulary.id_of(token) for token in ("alpha", "sea", "[CLS]", "[SEP]")}
    assert queries.nnz > 0 and set(queries.indices.tolist()) <= known
    assert set(documents.indices.tolist()) - known
    with pytest.raises(ParameterError, match=r"encoder\.document_head\.pooling is 'mean'"):
        read_training(write_config(tmp_path, encoder=backbone + 'document_head = { pooling = "mean" }'))
    looked_up = backbone.replace("splade-max", "splade-doc") + head
    with pytest.raises(ParameterError, match="uses a lookup table for queries; remove query_head"):
        run(write_config(tmp_path, encoder=looked_up), "other")
