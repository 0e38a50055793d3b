"""Settings of the whole test suite: what hypothesis draws, and which tests need data that may not be there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from lsr.eval import drawing
from tests import data
from tests.serve.browsers import browser_programs

# Numba compiles inside the first example, so that no example can have a deadline.
_ANY_TIME: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **_ANY_TIME)
settings.register_profile(
    "random", database=DirectoryBasedExampleDatabase(data.REPOSITORY / ".hypothesis" / "examples"), **_ANY_TIME
)
PROFILE = os.environ.get("LSR_HYPOTHESIS", "same")
settings.load_profile(PROFILE)
# What `random` draws beyond the examples that a test asks for.
TIMES = 5

LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Workers of pytest-xdist share the processors: threads of torch and BLAS in each would wait for one another.

    Workers and the processes that tests start inherit it.
    """
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of real data, or in a browser, are left out where there is none, but not where the environment names it."""
    there = {"data": data.data_folder().is_dir(), "browser": browser_programs() is not None}
    if os.environ.get("LSR_TEST_DATA") and not there["data"]:
        raise pytest.UsageError(f"LSR_TEST_DATA is {data.data_folder()}, where there is no folder")
    if os.environ.get("LSR_TEST_BROWSER") and not there["browser"]:
        raise pytest.UsageError("LSR_TEST_BROWSER names a browser, and it, or chromedriver, is not installed")
    missing = [marker for marker in there if not there[marker]]
    left_out = [item for item in items if any(map(item.get_closest_marker, missing))]
    if not left_out:
        return
    items[:] = [item for item in items if not any(map(item.get_closest_marker, missing))]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = Counter(item.nodeid.split("::")[0] for item in left_out)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests say how many examples they draw; no profile can change that otherwise."""
    test = getattr(item, "obj", None)
    if PROFILE == "random" and is_hypothesis_test(test) and not hasattr(test, "_more_examples"):
        test._more_examples = True
        drawn = test._hypothesis_internal_use_settings
        test._hypothesis_internal_use_settings = settings(drawn, max_examples=TIMES * drawn.max_examples)


def pytest_runtest_setup(item: pytest.Item) -> None:
    data.marked = item.get_closest_marker("data") is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # of pytest-xdist: the process that prints collects nothing itself
        session.config.workeroutput["left_out"] = dict(session.config.stash.get(LEFT_OUT, {}))


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    """What takes long and no test looks at: the pixels of plots, and waiting for a disk, which only a power cut needs.

    os.fstat refuses what os.fsync refuses. Processes that tests start do wait.
    """
    with patch.object(drawing, "DPI", 30), patch.object(os, "fsync", os.fstat):
        yield


@pytest.fixture
def unplotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of the time of an experiment's report; most tests look at its tables alone."""
    monkeypatch.setattr("lsr.experiment.experiment_report._plot", lambda *_: None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT_OUT] = Counter(node.workeroutput["left_out"])


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines of a run say what it has not shown."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    left_out = config.stash.get(LEFT_OUT, Counter())
    if reporter and left_out:
        reporter.write_line(f"{left_out.total()} tests were left out, which need real data or a browser:")
        for file, count in sorted(left_out.items()):
            reporter.write_line(f"  {file} {count}")
        reporter.write_line("tests/README.md says where to get these")
