"""The clients of benchmarks/serve.py: a server process, and requests at fixed times."""

from __future__ import annotations

import asyncio
import atexit
import json
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

HOST = "127.0.0.1"


class Served:
    """`lsr serve` in a separate process."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self.port = free.getsockname()[1]
        self._command = [sys.executable, "-m", "lsr", "serve", str(folder), "--port", str(self.port), *options]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the server; returns the seconds until it answers."""
        begun = time.monotonic()
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        atexit.register(self.process.kill)  # where the benchmark ends with an error
        while True:
            try:
                self.ask("GET", "/health")
                return time.monotonic() - begun
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f"the server ended with {self.process.returncode}") from None
                time.sleep(0.02)

    def ask(self, method: str, path: str, body: Any = None, seconds: float = 30) -> Any:
        """The answer, from JSON. Raises OSError without an answer, urllib's HTTPError for an error."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answered:
                return json.load(answered)
        except HTTPException as error:  # the server was killed during its answer
            raise ConnectionError(repr(error)) from error

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop the server with SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)


@dataclass
class Outcome:
    """Results of requests: numbers by status (0: the connection broke), and milliseconds of those with status 200.

    Milliseconds are from the time at which a request was due, not from the time at which it could be sent.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    incomplete: int = 0

    @property
    def rate(self) -> float:
        """Answers with status 200 per second."""
        return self.statuses[200] / self.seconds

    def percentile(self, percent: float) -> float:
        return float(np.percentile(self.milliseconds, percent)) if self.milliseconds else float("nan")


class _Connection(asyncio.Protocol):
    """An HTTP/1.1 connection, for one request after the other; answers have a Content-Length, like those of lsr."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    @property
    def lost(self) -> bool:
        """Whether the server has closed the connection, which it does after seconds without requests."""
        return bool(self._transport.is_closing())

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._received) < end + 4 + length:
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        self._received.clear()
        self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((0, b""))


class Load:
    """Searches over open connections."""

    def __init__(self, port: int, path: str, bodies: Sequence[Any]) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection per request that waits
        self._port = port
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\nContent-Length: "
        encoded = [json.dumps(body).encode() for body in bodies]
        self._requests = [head.encode() + str(len(each)).encode() + b"\r\n\r\n" + each for each in encoded]
        self._idle: list[_Connection] = []

    def at_most(self, seconds: float, clients: int) -> Outcome:
        """The requests of `clients` clients that each wait for an answer before the next request."""
        return asyncio.run(self._closed(seconds, clients))

    def at_rate(self, seconds: float, rate: float) -> Outcome:
        """Requests at random times (Poisson), `rate` per second on average, without waiting for earlier answers."""
        return asyncio.run(self._open(seconds, rate))

    async def _closed(self, seconds: float, clients: int) -> Outcome:
        self._idle.clear()
        outcome, begun = Outcome(), time.monotonic()

        async def client(number: int) -> None:
            at = number
            while time.monotonic() - begun < seconds:
                await self._one(at, time.monotonic(), outcome)
                at += clients

        await asyncio.gather(*map(client, range(clients)))
        outcome.seconds = time.monotonic() - begun
        return outcome

    async def _open(self, seconds: float, rate: float) -> Outcome:
        self._idle.clear()
        outcome, begun = Outcome(), time.monotonic()
        gaps = np.random.default_rng(7).exponential(1 / rate, int(rate * seconds))
        tasks = []
        for number, due in enumerate((begun + np.cumsum(gaps)).tolist()):
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(self._one(number, due, outcome)))
        await asyncio.gather(*tasks)
        outcome.seconds = time.monotonic() - begun
        return outcome

    async def _one(self, number: int, due: float, outcome: Outcome) -> None:
        request = self._requests[number % len(self._requests)]
        self._idle = [each for each in self._idle if not each.lost]
        status, body = 0, b""
        if self._idle:
            connection = self._idle.pop()
            status, body = await connection.ask(request)
        if not status:  # a new connection, also where the server was just closing an unused one
            try:
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(_Connection, HOST, self._port)
                status, body = await connection.ask(request)
            except OSError:
                pass
        outcome.statuses[status] += 1
        if status and not connection.lost:
            self._idle.append(connection)
        if status == 200:
            outcome.milliseconds.append(1000 * (time.monotonic() - due))
            outcome.incomplete += b'"complete":false' in body
