"""lsr doctor"""

from __future__ import annotations

import json as json_format
import os
import subprocess
import sys
from typing import Any

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json, while_loading

_PATIENCE = 60  # seconds of the self-test
_LEAST_RECALL = 0.95
_LARGEST_ERROR = 1e-3  # weights are rounded to 16 bits
_SMALL_MEMORY = 2 * 10**9


def doctor(json: options.Json = False) -> None:
    """Show the versions and the machine, run a short self-test, and suggest improvements."""
    from lsr.cli import machine
    from lsr.memory import machine_memory
    from lsr.provenance import versions
    from lsr.threads import processors

    kind, instructions = machine.processor()
    folder, compiled, writable = machine.kernels()
    cache = machine.model_cache()
    found: dict[str, Any] = {
        "versions": versions(),
        "processor": kind,
        "instructions": instructions,
        "threads": processors(),
        "processors": os.cpu_count(),
        "memory": machine_memory(),
        "kernels": {"folder": str(folder), "compiled": compiled, "writable": writable},
        "models": None if cache is None else str(cache),
        "temporary": machine.temporary_folder(),
        "missing": machine.extras(),
        "gpus": machine.graphics(),
    }
    if not compiled:
        found["self_test"] = {"skipped": "kernels are not compiled yet"}
    elif found["temporary"] is None:
        found["self_test"] = {"skipped": "no temporary folder"}
    else:
        with while_loading("a small index"):
            found["self_test"] = _self_test()
    found["advice"] = list(_advice(found))
    if json:
        print_json(found)
    else:
        _print(found)
    if "failed" in found["self_test"]:
        raise typer.Exit(1)


def _self_test() -> dict[str, Any]:
    """The figures of the self-test, or the error under "failed".

    It runs in its own process, because broken kernels can crash.
    """
    command = [sys.executable, "-c", "from lsr.cli.self_test import run_self_test; run_self_test()"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return {"unfinished": f"stopped after {_PATIENCE} s"}
    if ended.returncode:
        return {"failed": (ended.stderr.strip().splitlines() or [f"the process ended with {ended.returncode}"])[-1]}
    figures: dict[str, Any] = json_format.loads(ended.stdout)
    if figures["recall"] < _LEAST_RECALL or figures["score_error"] > _LARGEST_ERROR:
        figures["failed"] = f"recall {figures['recall']:.2f}, scores off by {figures['score_error']:.1e}"
    return figures


def _advice(found: dict[str, Any]) -> Any:
    """Suggested changes, one sentence each."""
    kernels = found["kernels"]
    if not kernels["writable"]:
        yield (
            f"{kernels['folder']} is not writable, so every process compiles the kernels: set NUMBA_CACHE_DIR to a "
            "writable folder"
        )
    if not kernels["compiled"]:
        yield "kernels are not compiled yet: run lsr warmup (one to two minutes, once), then lsr doctor again"
    if found["temporary"] is None:
        yield "no temporary folder is writable, and pipes, lsr warmup and lsr demo need one: set TMPDIR"
    if "failed" in found["self_test"]:
        yield "the self-test failed; if it does so again, report it with the output of lsr doctor --json"
    if "unfinished" in found["self_test"]:
        yield "the machine is busy, or other kernels must be compiled: run lsr warmup, then lsr doctor again"
    if found["threads"] < (found["processors"] or 1):
        yield (
            f"this process can use {found['threads']} of {found['processors']} processors: check taskset, and the "
            "limits of the container"
        )
    if not {"avx2", "neon"} & set(found["instructions"]):
        yield "this processor has neither AVX2 nor NEON: searches are slower than in the documentation"
    if found["memory"] < _SMALL_MEMORY:
        yield (
            f"this machine has less than {_SMALL_MEMORY / 1e9:.0f} GB of memory: build indexes with --memory, or on "
            "another machine"
        )
    for extra, packages in found["missing"].items():
        if packages:
            yield f"{', '.join(packages)}: not installed; if you need it, run pip install 'lsr-engine[{extra}]'"


def _print(found: dict[str, Any]) -> None:
    kernels, test = found["kernels"], found["self_test"]
    state = "compiled" if kernels["compiled"] else "not compiled yet"
    lines = [
        *((name, shown or "not installed") for name, shown in found["versions"].items()),
        ("processor", f"{found['processor']}: {', '.join(found['instructions']) or 'no vector instructions'}"),
        ("threads", f"{found['threads']} of {found['processors']}"),
        ("memory", f"{found['memory'] / 1e9:.1f} GB"),
        ("GPU", ", ".join(found["gpus"]) or "none"),
        ("kernels", f"{state}, in {kernels['folder']}"),
        ("models", found["models"] or "-"),
        ("extras", ", ".join(extra for extra, missing in found["missing"].items() if not missing) or "none"),
    ]
    if "documents" in test:
        shown = f"{test['documents']:,} documents indexed in {test['build_seconds']:.1f} s"
        lines.append(("self-test", f"{shown}, {test['microseconds']:.0f} µs a search, recall {test['recall']:.3f}"))
    lines += [("self-test", f"{how}: {test[how]}") for how in ("failed", "skipped", "unfinished") if how in test]
    print_columns(lines)
    print()
    for advice in found["advice"] or ["nothing to change"]:
        print(f"- {advice}")
