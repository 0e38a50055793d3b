"""Files of a repository on the Hugging Face hub, downloaded if they are not cached. HF_HUB_OFFLINE is respected."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def hub_snapshot(repository: str, **which: Any) -> Path:
    """The folder of these files in the hub's cache.

    which: as huggingface_hub.snapshot_download takes it. Bars are shown only on terminals. Raises the errors of several
        libraries. Callers must call need("huggingface_hub") before.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hide = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        return Path(snapshot_download(repository, **which))
    finally:
        if hide:
            enable_progress_bars()
