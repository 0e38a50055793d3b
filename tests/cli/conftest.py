"""The command line inside the test's process, and indexes that several tests search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lsr.cli.main import main
from tests.cli.commands import Lsr, Outcome
from tests.data import LIBRARY


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
def library() -> Path:
    return LIBRARY


@pytest.fixture(scope="session")
def library_indexes(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The index of library with an encoder, built by the command on first use and never changed."""
    folder = tmp_path_factory.mktemp("library")

    def index_of(encoder: str) -> Path:
        index = folder / encoder
        if not index.exists():
            assert main(["index", str(library), str(index), "--encoder", encoder]) == 0
        return index

    return index_of


@pytest.fixture
def library_index(library_indexes: Callable[[str], Path], encoder: str) -> Path:
    return library_indexes(encoder)


@pytest.fixture
def bm25_index(library_indexes: Callable[[str], Path]) -> Path:
    return library_indexes("bm25")
