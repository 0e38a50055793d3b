"""Loading a transformer from its files without its output layer, so that it returns states instead of logits."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
)
from transformers.utils import logging

from lsr.encoders.base import first_line
from lsr.encoders.folders.find import PICKLED_WEIGHTS
from lsr.encoders.folders.gte import FROM_VERSION, GTE_TYPE, TRANSFORMERS_TYPE, gte_settings
from lsr.encoders.folders.model_files import CONFIG_FILE, read_object
from lsr.encoders.sparse.heads import States
from lsr.encoders.spec import BackboneSpec
from lsr.errors import EncoderError
from lsr.storage.files import DAMAGE

AUTO_MODELS: dict[str, Any] = {
    "masked-lm": AutoModelForMaskedLM,
    "causal-lm": AutoModelForCausalLM,
    "base": AutoModel,
}
PICKLES = (".pt", ".bin")
# From this version on, torch.load with weights_only runs no code.
SAFE_TORCH = (2, 6)
# Largest difference between separately computed logits and those of the model: only rounding.
TOLERANCE = 1e-3
SAMPLE_TOKENS = 8


class Backbone(nn.Module):
    """A transformer without its output layer.

    output: that layer, a Linear over the vocabulary, or None for the task "base".
    hidden: size of a state. components: size of the vocabulary. longest: maximum number of tokens of the model.
    """

    model: Any

    def __init__(self, name: str, spec: BackboneSpec, model: Any) -> None:
        super().__init__()
        self.model = model
        self.output: nn.Linear | None = None
        self._output_path = ""
        if spec.bidirectional:
            _make_bidirectional(self.model)
        if spec.task != "base":
            layer = model.get_output_embeddings()
            if not isinstance(layer, nn.Linear):
                raise EncoderError(
                    f"{name}: {type(model).__name__} has no linear output layer; give a language model that has one"
                )
            self._check_and_take_off(name, layer)
        self.hidden = int(self.model.get_input_embeddings().weight.shape[1])
        if self.output is not None:
            self.hidden = int(getattr(self.model.config, "hidden_size", self.output.in_features))
        self.components = int(
            self.model.get_input_embeddings().num_embeddings if self.output is None else self.output.out_features
        )
        # The last states are needed as well as the input of the output layer, by several threads at once.
        self._seen = threading.local()
        if spec.task != "base":
            self.model.base_model.register_forward_hook(self._remember)

    def states(self, ids: Tensor, mask: Tensor) -> States:
        """Both states of every position. ids, mask: [texts, tokens]."""
        output = self.model(input_ids=ids, attention_mask=mask.long())
        if self.output is None:
            return States(output.last_hidden_state, None)
        last, self._seen.last = self._seen.last, None  # frees it before the next batch
        return States(last, output.logits)

    def checkpoint_states(self) -> None:
        """Keep no states of layers between the passes of training; gradients compute them again."""
        # Older versions of transformers only have the other name.
        enable = getattr(self.model, "activation_checkpointing_enable", self.model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})

    @property
    def longest(self) -> int:
        return positions_of_network(self.model)

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors like transformers, with the output layer.

        Meanwhile, no other thread may compute states.
        """
        if self.output is not None:
            parent, attribute = self._parent()
            setattr(parent, attribute, self.output)
        try:
            with quiet():
                self.model.save_pretrained(folder)
        finally:
            if self.output is not None:
                setattr(parent, attribute, nn.Identity())

    def _remember(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._seen.last = output[0]

    def _check_and_take_off(self, name: str, layer: nn.Linear) -> None:
        self._output_path = next(path for path, module in self.model.named_modules() if module is layer)
        device = layer.weight.device
        sample = torch.arange(min(SAMPLE_TOKENS, layer.out_features), device=device)[None]
        mask = torch.ones_like(sample)
        with torch.inference_mode():
            expected = self.model(input_ids=sample, attention_mask=mask).logits
            parent, attribute = self._parent()
            setattr(parent, attribute, nn.Identity())
            found = layer(self.model(input_ids=sample, attention_mask=mask).logits)
        if not expected.isfinite().all():
            raise EncoderError(f"{name}: the network returns NaN or infinite values; copy or train it again")
        if expected.shape != found.shape or not torch.allclose(expected, found, atol=TOLERANCE, rtol=TOLERANCE):
            raise EncoderError(
                f"{name}: {type(self.model).__name__} changes its logits after the output layer; give a model that "
                "returns that layer's logits as they are, such as a BERT"
            )
        self.output = layer

    def _parent(self) -> tuple[nn.Module, str]:
        path, _, attribute = self._output_path.rpartition(".")
        return self.model.get_submodule(path), attribute


def load_backbone(name: str, spec: BackboneSpec, seed: int | None = None) -> Backbone:
    """Load a backbone in float32 on the CPU, from safetensors unless it is `pickled`. name: for messages.

    seed: initialize a missing output layer randomly, or tied to the embeddings, as transformers does, for training.
        Raises EncoderError.
    """
    auto = AUTO_MODELS[spec.task]
    with quiet(), seeded(seed):
        try:
            config = _gte_config(spec.config)
            if config is None:
                config = AutoConfig.from_pretrained(spec.config, trust_remote_code=False)
            where: dict[str, Any] = {"pretrained_model_name_or_path": spec.weights}
            if spec.prefix or spec.pickled:
                with torch.device("meta"):  # the class, to load weights without a folder
                    auto = type(auto.from_config(config, trust_remote_code=False))
                where = {"pretrained_model_name_or_path": None, "state_dict": _tensors_of(spec)}
            model, report = auto.from_pretrained(
                **where, config=config, use_safetensors=True, output_loading_info=True, trust_remote_code=False
            )
        except EncoderError:
            raise
        except (
            Exception
        ) as error:  # errors of two libraries for damaged files or unreachable servers have no common class
            raise EncoderError(f"{name}: cannot be loaded ({first_line(error)}); copy or save it again") from error
    missing = sorted(key for key in report.get("missing_keys", ()) if ".pooler." not in f".{key}")
    if missing and seed is None:
        raise EncoderError(
            f"{name}: the checkpoint lacks {len(missing)} weights of {type(model).__name__}, such as {missing[0]}; "
            "give a complete checkpoint, or build an encoder on it and train that (lsr.build_encoder)"
        )
    return Backbone(name, spec, model.eval().float())


def load_tokenizer(name: str, folder: str) -> Any:
    """A tokenizer of transformers. folder: or a Hugging Face id. Raises EncoderError."""
    with quiet():
        try:
            return AutoTokenizer.from_pretrained(folder, config=_gte_config(folder), trust_remote_code=False)
        except EncoderError:
            raise
        except Exception as error:  # as in load_backbone
            again = "copy or save it again"
            if not Path(folder).is_dir():
                again = f"copy tokenizer.json and tokenizer_config.json of {folder} into the model's folder"
            raise EncoderError(f"{name}: its tokenizer cannot be loaded ({first_line(error)}); {again}") from error


def positions_of_network(model: Any) -> int:
    """The number of positions of a network."""
    limit = getattr(model.config, "max_position_embeddings", None)
    limit = limit if isinstance(limit, int) and limit > 0 else 1 << 30
    for path, module in model.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa's positions begin after the number of the padding token.
            limit = min(limit, module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    return limit


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a pickle with only tensors, as float32. Raises EncoderError."""
    try:
        tensors = _unpickled(path) if Path(path).suffix in PICKLES else load_file(path)
    except DAMAGE as error:
        raise EncoderError(f"{path}: cannot be read ({first_line(error)}); copy or save it again") from error
    return {key: tensor.float() for key, tensor in tensors.items()}


def _unpickled(path: str | Path) -> dict[str, Tensor]:
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_TORCH:
        raise EncoderError(
            f"{path}: is a pickle, which torch {torch.__version__} does not read safely; pip install 'torch>=2.6'"
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise EncoderError(
            f"{path}: has objects other than tensors ({first_line(error)}), which lsr does not read; copy it again"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(each, Tensor) for each in found.values()):
        raise EncoderError(f"{path}: is not a dict of tensors; copy it again")
    return found


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """In the block, torch's random numbers start from `seed`. Afterwards, its previous state is restored."""
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """In the block, no progress bars and warnings of transformers and huggingface_hub."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_verbosity = hub_logging.get_verbosity()
    logging.set_verbosity(ERROR)
    hub_logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _gte_config(place: str) -> Any:
    """The configuration of a GTE whose config.json refers to code in a repository; None for any other model.

    place: folder, or Hugging Face id.
    """
    path = Path(place) / CONFIG_FILE
    content = read_object(path) if path.is_file() else {}
    if content.get("model_type") != GTE_TYPE:
        return None
    if TRANSFORMERS_TYPE not in CONFIG_MAPPING:
        raise EncoderError(
            f"{place}: is a GTE, which needs transformers {FROM_VERSION} or later; pip install -U transformers"
        )
    return AutoConfig.for_model(TRANSFORMERS_TYPE, **gte_settings(path, content))


def _tensors_of(spec: BackboneSpec) -> dict[str, Tensor]:
    folder = Path(spec.weights)
    index = folder / "model.safetensors.index.json"
    files = [folder / (PICKLED_WEIGHTS if spec.pickled else "model.safetensors")]
    if not spec.pickled and index.is_file():
        files = [folder / file for file in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
    tensors = {key: tensor for file in files for key, tensor in load_tensors(file).items()}
    return {key.removeprefix(spec.prefix): tensor for key, tensor in tensors.items() if key.startswith(spec.prefix)}


def _make_bidirectional(model: Any) -> None:
    """Make the attention of a causal model bidirectional."""
    model.config.is_causal = False
    for module in model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False
