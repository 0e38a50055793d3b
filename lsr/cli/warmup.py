"""lsr warmup"""

from __future__ import annotations

import os
import time


def warmup() -> None:
    """Compile all kernels once after an installation, so that the first search and the first build do not wait."""
    from lsr.index.tools.warmup import warm_up

    begin = time.perf_counter()
    warm_up(progress=True)
    where = (
        os.environ.get("NUMBA_CACHE_DIR")
        or "__pycache__ next to the modules of lsr, or in the cache folder of the user"
    )
    print(f"compiled in {time.perf_counter() - begin:.0f} s; stored in {where}")
