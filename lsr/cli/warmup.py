"""lsr warmup"""

from __future__ import annotations

import os
import time


def warmup() -> None:
    """Compile all that searches and builds run, once after an installation: the first of each waits no longer."""
    from lsr.index.tools.warmup import warm_up

    begin = time.perf_counter()
    warm_up(progress=True)
    where = os.environ.get("NUMBA_CACHE_DIR") or "__pycache__ beside the package's modules, or the user's cache folder"
    print(f"compiled in {time.perf_counter() - begin:.0f} s; kept in {where}")
