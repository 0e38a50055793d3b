"""A description of the machine: processor, caches, extras."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir

from lsr.provenance import version_of

# Processor instructions that make kernels and networks faster.
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512bf16", "amx-bf16", "neon", "sve", "bf16")


def processor() -> tuple[str, list[str]]:
    """The processor for which kernels are compiled, and those of INSTRUCTIONS that it has."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return binding.get_host_cpu_name(), [each for each in INSTRUCTIONS if features.get(each)]


def kernels() -> tuple[Path, bool, bool]:
    """The folder of compiled kernels, whether the search kernels are there, and whether the folder is writable."""
    from lsr.index.seismic.search.kernels import search_batch

    folder = Path(search_batch._cache.cache_path)  # type: ignore[attr-defined]
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    return folder, any(folder.glob("kernels.search_batch-*.nbi")), os.access(nearest, os.W_OK)


def extras() -> dict[str, list[str]]:
    """Extra -> its missing packages."""
    from lsr.encoders.folders.find import BUNDLED
    from lsr.extras import EXTRAS, is_installed

    missing: dict[str, list[str]] = {}
    for package, extra in EXTRAS.items():
        missing.setdefault(extra, []).extend([] if is_installed(package) else [package])
    for package, _, extra in BUNDLED.values():
        missing[extra] = [] if version_of(package) else [package]
    return missing


def graphics() -> list[str]:
    """The names of the GPUs that torch can use. Empty without torch."""
    if not find_spec("torch"):
        return []
    import torch

    return [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]


def temporary_folder() -> str | None:
    """The folder for temporary files; None if no folder is writable."""
    try:
        return gettempdir()
    except FileNotFoundError:
        return None


def model_cache() -> Path | None:
    """The cache of Hugging Face models; None if huggingface_hub is not installed."""
    if not find_spec("huggingface_hub"):
        return None
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)
