"""What lsr runs on: processor, caches, extras."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir

from lsr.provenance import version_of

# Instructions of a processor that kernels and networks are faster with.
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512bf16", "amx-bf16", "neon", "sve", "bf16")


def processor() -> tuple[str, list[str]]:
    """The kind of processor for which kernels are compiled, and which of INSTRUCTIONS it has."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return binding.get_host_cpu_name(), [each for each in INSTRUCTIONS if features.get(each)]


def kernels() -> tuple[Path, bool, bool]:
    """Where compiled kernels are kept, whether those that search are there, and whether others could be kept."""
    from lsr.index.seismic.search.kernels import search_batch

    folder = Path(search_batch._cache.cache_path)  # type: ignore[attr-defined]
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    return folder, any(folder.glob("kernels.search_batch-*.nbi")), os.access(nearest, os.W_OK)


def extras() -> dict[str, list[str]]:
    """Extra -> those of its packages that are missing."""
    from lsr.encoders.folders.find import BUNDLED
    from lsr.extras import EXTRAS, is_installed

    missing: dict[str, list[str]] = {}
    for package, extra in EXTRAS.items():
        missing.setdefault(extra, []).extend([] if is_installed(package) else [package])
    for package, _, extra in BUNDLED.values():
        missing[extra] = [] if version_of(package) else [package]
    return missing


def graphics() -> list[str]:
    """The names of the GPUs that torch can use; none without torch."""
    if not find_spec("torch"):
        return []
    import torch

    return [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]


def temporary_folder() -> str | None:
    """Where temporary files go; None where no folder can be written."""
    try:
        return gettempdir()
    except FileNotFoundError:
        return None


def model_cache() -> Path | None:
    """Where models of Hugging Face are kept; None where the package that fetches them is not installed."""
    if not find_spec("huggingface_hub"):
        return None
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)
