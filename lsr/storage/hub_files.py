"""Files of a repository of Hugging Face's hub, fetched where they are not cached. HF_HUB_OFFLINE is respected."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def hub_snapshot(repository: str, **which: Any) -> Path:
    """The folder of the hub's cache that holds these files.

    which: as huggingface_hub.snapshot_download takes it. Bars are shown to people alone. Raises whatever that raises,
    of several libraries; callers need() huggingface_hub before.
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
