"""The optional packages, and the message that says how to install a missing one."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec

from lsr.errors import MissingExtraError

# Package -> the extra of pyproject.toml that installs it.
EXTRAS = {
    "torch": "encode",
    "transformers": "encode",
    "huggingface_hub": "encode",
    "faiss": "dense",
    "ir_datasets": "eval",
    "ir_measures": "eval",
    "matplotlib": "eval",
    "accelerate": "train",
    "tensorboard": "train",
    "wandb": "wandb",
    "peft": "lora",
    "pypdf": "pdf",
    "fastapi": "serve",
    "uvicorn": "serve",
    "httptools": "serve",
    "prometheus_client": "serve",
    "Stemmer": "stem",
    "langchain_core": "langchain",
    "mcp": "mcp",
    "llama_index": "llama-index",
    "haystack": "haystack",
    "pyterrier": "pyterrier",
    "ray": "ray",
    "google.protobuf": "exchange",
}
TRAINING = ("accelerate", "tensorboard", "torch", "transformers")


def is_installed(package: str) -> bool:
    """Whether a package, or a module of a namespace package, is installed. Imports nothing but the namespace."""
    with suppress(ModuleNotFoundError):  # the namespace
        return find_spec(package) is not None
    return False


def need(purpose: str, *packages: str) -> None:
    """Raises MissingExtraError for the first of the packages that is not installed. Imports none of them.

    purpose: the subject of the message: "dense search" needs faiss.
    """
    for package in packages:
        if not is_installed(package):
            wanted = f"'lsr-engine[{EXTRAS[package]}]'" if package in EXTRAS else package
            raise MissingExtraError(f"{purpose} needs {package}; install it: pip install {wanted}")
