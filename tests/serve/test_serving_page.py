"""What docs/serving.md shows works as it stands, and is answered as it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data import REPOSITORY
from tests.processes import free_port, wait_for_server

BLOCKS = re.findall(
    r"```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?", (REPOSITORY / "docs" / "serving.md").read_text(), re.DOTALL
)
SERVE = re.compile(r"^lsr serve .*&.*\n", re.MULTILINE)


def bash(code: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", code], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """That of a server of the index of the first block."""
    bash(SERVE.sub("", BLOCKS[0][0]), tmp_path)
    [started] = SERVE.findall(BLOCKS[0][0])
    port = free_port()
    command = [sys.executable, "-m", "lsr", *started.partition("&")[0].split()[1:], "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path) as server:
        wait_for_server(server, port)
        yield port
        server.terminate()


def documents(text: str) -> list[Any]:
    """The JSON documents that follow one another in a text."""
    found, at = [], 0
    while at < len(text):
        document, at = json.JSONDecoder().raw_decode(text, at)
        found.append(document)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def agrees(shown: Any, answered: Any) -> bool:
    """Whether an answer has all that is shown; it can have further keys, and further digits."""
    if isinstance(shown, dict):
        return all(name in answered and agrees(each, answered[name]) for name, each in shown.items())
    if isinstance(shown, list):
        return len(shown) == len(answered) and all(map(agrees, shown, answered))
    return bool(shown == pytest.approx(answered, abs=1e-3) if isinstance(shown, float) else shown == answered)


def test_every_request_of_the_page_is_answered_as_shown(port: int, tmp_path: Path) -> None:
    requests = 0
    for code, shown in BLOCKS[1:]:
        told = bash(code.replace("8080", str(port)), tmp_path)
        requests += code.count("curl ")
        assert told and '"status":' not in told.replace('"status":"ok"', ""), told
        if shown:
            assert all(map(agrees, documents(shown), documents(told))), told
            assert len(documents(shown)) == len(documents(told)) == code.count("curl ")
    assert requests == 14
