"""ServeSettings: where a server listens, and how much it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from lsr.checks import check_whole
from lsr.errors import ParameterError
from lsr.index.parameters import LONGEST_BUDGET


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """host, port: where it listens; port 0 for any that is free.

    read_keys, write_keys: who may search, and who may change documents, too. Where there is none, nothing needs a key;
    but on an address that others reach, and where there are keys for reading alone, nobody may change anything.
    allow_anonymous: listen on such an address although searching needs no key.
    cors: origins of web pages that may call this server from a browser, or "*".
    most_requests: searches that wait or are answered at once, and as many changes; the next is answered 429.
    deadline_ms: milliseconds, a day at most, that a request has which names no deadline; a request may name any up to
    this.
    most_bytes, most_k, most_characters, most_documents: of the body of a request; of k; of a query; documents or hits
    of one request or answer.

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
                f"{self.host} can be reached from other machines, and no key is needed to search; give --read-keys, or "
                f"--allow-anonymous"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
