"""The command line inside the test's process, and indexes that several tests search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lsr.cli.main import main
from tests.cli.commands import Lsr, Outcome
from tests.data import data_path


@pytest.fixture
def lsr(capfd: pytest.CaptureFixture[str]) -> Lsr:
    """Runs `lsr WORDS...`."""

    def run(*words: object) -> Outcome:
        capfd.readouterr()
        status = main([str(word) for word in words])
        return Outcome(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session", params=["bm25", "tiny"])
def encoder(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def adi() -> Path:
    return data_path("adi")


@pytest.fixture(scope="session")
def adi_indexes(adi: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The index of adi with an encoder, built by the command on first use and never changed."""
    folder = tmp_path_factory.mktemp("adi")

    def index_of(encoder: str) -> Path:
        index = folder / encoder
        if not index.exists():
            assert main(["index", str(adi), str(index), "--encoder", encoder]) == 0
        return index

    return index_of


@pytest.fixture
def adi_index(adi_indexes: Callable[[str], Path], encoder: str) -> Path:
    return adi_indexes(encoder)


@pytest.fixture
def bm25_index(adi_indexes: Callable[[str], Path]) -> Path:
    return adi_indexes("bm25")
