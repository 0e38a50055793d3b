"""lsr doctor: what is there, whether it works, and what to change."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from lsr.cli import doctor, machine
from lsr.memory import machine_memory
from tests.cli.commands import Lsr

FIGURES = {"documents": 20, "build_seconds": 0.1, "microseconds": 50.0, "recall": 1.0, "score_error": 1e-5}


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the self-test says, in place of one."""
    said: dict[str, Any] = dict(FIGURES)
    monkeypatch.setattr("lsr.cli.doctor._self_test", lambda: said)
    return said


def test_the_report_describes_the_machine(lsr: Lsr, tested: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "kernels", lambda: (Path("/cache"), True, True))
    found = lsr("doctor", "--json").json
    assert found["versions"]["numpy"]
    assert found["threads"] == len(os.sched_getaffinity(0))
    assert found["memory"] == machine_memory()
    bridges = {"langchain", "llama-index", "haystack", "pyterrier", "mcp"}
    features = {"encode", "dense", "eval", "train", "wandb", "tiny", "minilm", "pdf", "stem", "serve"}
    features |= {"lora", "ray", "exchange"}
    assert set(found["missing"]) == features | bridges
    outcome = lsr("doctor")
    assert outcome.status == 0
    assert "recall 1.000" in outcome.out
    assert ("nothing to change" in outcome.out) == (not found["advice"])


def test_no_temporary_folder(lsr: Lsr, tested: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "kernels", lambda: (Path("/cache"), True, True))
    monkeypatch.setattr(machine, "gettempdir", Mock(side_effect=FileNotFoundError("No usable temporary directory")))
    outcome = lsr("doctor")
    assert outcome.status == 0
    assert "no temporary folder" in outcome.out
    assert "set TMPDIR" in outcome.out


def test_advice(lsr: Lsr, tested: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "kernels", lambda: (tmp_path, False, True))
    monkeypatch.setattr(machine, "extras", lambda: {"dense": ["faiss"], "eval": []})
    monkeypatch.setattr(machine, "processor", lambda: ("old", ["fma"]))
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    advice = lsr("doctor", "--json").json["advice"]
    for said in ("lsr warmup", "pip install 'lsr-engine[dense]'", "of 64 processors", "neither AVX2 nor NEON"):
        assert sum(said in each for each in advice) == 1, advice
    assert len(advice) == 4
    assert "skipped: kernels are not compiled yet" in lsr("doctor").out
    monkeypatch.setattr(machine, "kernels", lambda: (tmp_path, True, False))
    assert "NUMBA_CACHE_DIR" in lsr("doctor", "--json").json["advice"][0]


def test_a_failed_test_is_the_exit_status(lsr: Lsr, tested: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "kernels", lambda: (Path("/"), True, True))
    tested["failed"] = "recall 0.10, scores off by 1.0e+00"
    outcome = lsr("doctor")
    assert outcome.status == 1
    assert "recall 0.10" in outcome.out
    assert "- the self-test failed" in outcome.out


def test_a_busy_machine_is_no_failure(lsr: Lsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "kernels", lambda: (Path("/"), True, True))
    monkeypatch.setattr(doctor, "_PATIENCE", 0.01)
    outcome = lsr("doctor")
    assert outcome.status == 0
    assert "unfinished: stopped after 0.01 s" in outcome.out
    assert "- the machine is busy, or other kernels must be compiled: run lsr warmup" in outcome.out
    assert "report it" not in outcome.out


@pytest.mark.slow
def test_the_self_test_equals_scipy() -> None:
    for _ in range(2):  # the first one may have to compile
        figures = doctor._self_test()
    assert figures.keys() >= FIGURES.keys()
    assert "failed" not in figures
    assert figures["recall"] > 0.95
    folder, compiled, writable = machine.kernels()  # which the self-test has left there
    assert folder.is_absolute()
    assert compiled and writable


def test_a_self_test_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(out: str, status: int) -> None:
        done = subprocess.CompletedProcess([], status, out, "Traceback\nSomeError: broken\n")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    ended("", 1)
    assert doctor._self_test() == {"failed": "SomeError: broken"}
    ended('{"recall": 0.5, "score_error": 0.0}', 0)
    assert doctor._self_test()["failed"] == "recall 0.50, scores off by 0.0e+00"
