"""Two processes of a CPU train as one does: each with all weights, and with weights shared out by FSDP."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.utils import FullyShardedDataParallelPlugin
from safetensors.torch import load_file

from lsr.encoders.load import load_encoder
from lsr.errors import ParameterError
from lsr.training.accelerate_state import check_sharding
from lsr.training.adapters import add_adapters
from lsr.training.model import TrainableEncoder
from lsr.training.start import start_encoder
from lsr.training.training_config import read_training
from tests.encoders.models import write_model
from tests.processes import REPOSITORY
from tests.training.test_trainer import EVALUATION
from tests.training.trained import NO_DROPOUT, train_here, write_config

# name -> method, architecture, the rest of the configuration. accelerate has FSDP for GPUs alone; what it does with
# these, torch does on a CPU, too. A training that is shared out is interrupted, and gone on with, on the way.
PLAIN = {"splade-max": ("splade-max", "bert", ""), "unicoil": ("unicoil", "bert", "")}
SHARED = {"shared": ("splade-max", "bert", ""), "adapters": ("prosper", "llama", "\n[lora]\nrank = 2\n")}
TRAIN_ALL = """
import sys
from pathlib import Path
import accelerate
from accelerate.utils import FullyShardedDataParallelPlugin, DistributedType
from torch.distributed.tensor import DTensor
from lsr.cli.main import main
from lsr.training import accelerate_state, checkpoint, trainer

class Sharing(accelerate.Accelerator):
    def __init__(self, **options):
        super().__init__(**options)
        self.state.distributed_type = DistributedType.FSDP
        self.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=False
        )

def interrupted(folder, model, optimizer, state, more):
    learning = [each for each in model.parameters() if each.requires_grad]
    assert learning and all(isinstance(each, DTensor) for each in learning)
    assert sum(each.to_local().numel() for each in learning) < 0.6 * sum(each.numel() for each in learning)
    assert type(model.document.backbone.model.base_model).__name__[:4] != "FSDP"
    layers = [each for each in model.modules() if type(each).__name__.startswith("FSDP")]
    assert len(layers) == 3, layers  # two of a network, and the whole
    checkpoint.save_checkpoint(folder, model, optimizer, state, more)
    if state["step"] == 4:
        raise KeyboardInterrupt

def train(path):
    return main(["train", path, str(Path(path).parent / "two"), "--device", "cpu"])

shared = int(sys.argv[1])
for path in sys.argv[2 + shared:]:
    assert train(path) == 0
accelerate_state.Accelerator = Sharing
for path in sys.argv[2 : 2 + shared]:
    trainer.save_checkpoint = interrupted
    assert train(path) == 130
    trainer.save_checkpoint = checkpoint.save_checkpoint
    assert train(path) == 0
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of them, with what one process trained in "out" and what two did in "two"."""
    place = tmp_path_factory.mktemp("trained")
    for name, (method, kind, more) in {**PLAIN, **SHARED}.items():
        folder = place / name
        folder.mkdir()
        write_model(folder / "network", kind, **(NO_DROPOUT if kind == "bert" else {}))
        changes = {
            "encoder": f'method = "{method}"\nbackbone = "{folder / "network"}"',
            # The documents of other processes are not seen: a loss over a query's own is the same.
            "losses": 'name = "pairwise"',
            "regularizer": "",
        }
        if name in SHARED:
            more += EVALUATION.format(data=folder / "data", every=3, patience=0)
        train_here(write_config(folder, "steps = 8", more, **changes))
    (place / "train.py").write_text(TRAIN_ALL)
    words = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", place / "train.py")
    found = subprocess.run(
        [sys.executable, *words, str(len(SHARED)), *(place / name / "train.toml" for name in (*SHARED, *PLAIN))],
        cwd=REPOSITORY,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return place


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PLAIN, *SHARED])
def test_two_processes_train_as_one_does(trained: Path, name: str) -> None:
    one, two = (load_file(trained / name / each / "checkpoint" / "model.safetensors") for each in ("out", "two"))
    config = read_training(trained / name / "train.toml")
    model = TrainableEncoder(start_encoder(config.encoder, "cpu", 3, False, None))
    if config.lora is not None:
        add_adapters(model, config.lora, 3)
    begun = {key: each.detach() for key, each in model.named_parameters() if each.requires_grad}
    assert one.keys() == two.keys() == begun.keys()
    # AdamW makes whole steps of gradients that are only rounding, so that single weights may differ by a step.
    apart = sum(float((two[key] - tensor).square().sum()) for key, tensor in one.items())
    moved = sum(float((begun[key] - tensor).square().sum()) for key, tensor in one.items())
    assert apart < 0.01 * moved
    if name not in SHARED:
        return
    ours, theirs = (load_encoder(trained / name / each / "encoder", device="cpu") for each in ("out", "two"))
    found, expected = (each.encode_documents(["alpha sea run"]).to_dense() for each in (theirs, ours))
    assert expected.any() and abs(found - expected).max() < 0.01 * expected.max()


@pytest.mark.parametrize(
    ("options", "precision", "said"),
    [
        ({"fsdp_version": 1}, "float32", "version 1 is not supported.*--fsdp_version 2"),
        ({"cpu_ram_efficient_loading": True}, "float32", "every process checks"),
        ({"activation_checkpointing": True}, "float32", "set gradient_checkpointing"),
        ({}, "float16", "use bfloat16"),
    ],
)
def test_unsupported_settings_are_refused(options: dict[str, Any], precision: str, said: str) -> None:
    known: dict[str, Any] = {"fsdp_version": 2, "cpu_ram_efficient_loading": False}
    plugin = FullyShardedDataParallelPlugin(**{**known, **options})
    with pytest.raises(ParameterError, match=said):
        check_sharding(plugin, precision)
    check_sharding(FullyShardedDataParallelPlugin(**known), "bfloat16")
