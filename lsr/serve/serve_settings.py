"""ServeSettings: the address, keys and limits of a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from lsr.checks import check_whole
from lsr.errors import ParameterError
from lsr.index.parameters import LONGEST_BUDGET


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The settings of a server.

    host, port: its address; port 0 for any free port.
    read_keys: keys of clients who may search. Without them, searching needs no key.
    write_keys: keys of clients who may also change documents. Without them, changes are refused if there are
        read_keys, or if other machines can reach `host`.
    allow_anonymous: allow a `host` that other machines can reach, without read_keys.
    cors: origins of web pages that can call this server from a browser, or "*".
    most_requests: maximum number of waiting and running searches, and the same number of changes; the next request is
        answered with 429.
    deadline_ms: deadline of requests in milliseconds, at most a day; a request can set a shorter one.
    most_bytes: maximum size of the body of a request.
    most_k: maximum k.
    most_characters: maximum length of a query.
    most_documents: maximum number of documents of a request, and of hits in an answer.

    Raises ParameterError.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    read_keys: tuple[str, ...] = field(default=(), repr=False)
    write_keys: tuple[str, ...] = field(default=(), repr=False)
    allow_anonymous: bool = False
    cors: tuple[str, ...] = ()
    most_requests: int = 64
    deadline_ms: int = 10_000
    most_bytes: int = 8 << 20
    most_k: int = 1000
    most_characters: int = 4000
    most_documents: int = 1000

    def __post_init__(self) -> None:
        check_whole("port", self.port, 0, 65535)
        check_whole("deadline_ms", self.deadline_ms, 1, LONGEST_BUDGET // 1000)
        for name in ("most_requests", "most_bytes", "most_k", "most_characters", "most_documents"):
            check_whole(name, getattr(self, name))
        if not self.is_loopback and not self.read_keys and not self.allow_anonymous:
            raise ParameterError(
                f"{self.host} can be reached from other machines, but searching needs no key; give --read-keys, or "
                "--allow-anonymous"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
