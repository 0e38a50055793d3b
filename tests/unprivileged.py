"""Running Python where root, too, may read and write only what the permissions of files allow."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def run_python(
    arguments: list[str], folder: Path, without: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the interpreter of the tests in `folder`, its environment changed."""
    environment = {key: value for key, value in os.environ.items() if key not in without} | variables
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=_drop_overrides if os.geteuid() == 0 else None,
    )


def _drop_overrides() -> None:
    # The program that is started next has lost them: the uid stays, so that the interpreter can still be read.
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
