"""Reads and writes while the server is killed repeatedly: no acknowledged change is lost, and no answer is wrong."""

from __future__ import annotations

import random
import threading
import time
import urllib.error
from collections import Counter
from pathlib import Path

from serve_client import Served

from lsr import Searcher, build_index, check_index

Version = int | None  # of a document's text; None if it does not exist
WRITERS = READERS = 2


def text_of(doc_id: str, version: int) -> str:
    return f"Calcium keeps bones dense; {doc_id} in version {version}."


class Documents:
    """The possible versions of each document: one, or two before a change is acknowledged."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.may_be: dict[str, set[Version]] = {doc_id: {0} for doc_id in ids}
        self._changes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, doc_id: str, version: Version) -> None:
        """Note that a change is sent."""
        with self._lock:
            self.may_be[doc_id] = self.may_be[doc_id] | {version}
            self._changes[doc_id] += 1

    def acknowledged(self, doc_id: str, version: Version) -> None:
        with self._lock:
            self.may_be[doc_id] = {version}
            self._changes[doc_id] += 1

    def state(self, doc_id: str) -> tuple[int, set[Version]]:
        """(a number that every change increases, the possible versions)."""
        with self._lock:
            return self._changes[doc_id], set(self.may_be[doc_id])


class Trial:
    """A server, its readers and writers, and their observations. wrong: one line each."""

    def __init__(self, folder: Path, documents: int, seed: int) -> None:
        self.documents = Documents([f"d{number}" for number in range(documents)])
        self.folder = folder / "killed.index"
        given = [{"id": each, "text": text_of(each, 0)} for each in self.documents.ids]
        build_index(given, self.folder, encoder="bm25")
        self.server = Served(self.folder)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._ending = threading.Event()
        self._seed = seed

    def run(self, seconds: float, every: float) -> None:
        """Kill and start the server every `every` seconds, and compare at the end."""
        self.server.start()
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        threads += [threading.Thread(target=self._read, args=(number,)) for number in range(READERS)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                time.sleep(min(every, max(until - time.monotonic(), 0)))
                self.server.kill()
                self.counts["kills"] += 1
                self.server.start()
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()
        if self.server.stop() != 0:
            self.wrong.append("the server did not exit with status 0")
        self._compare()

    def _write(self, number: int) -> None:
        """Change documents that no other writer changes."""
        rng = random.Random(f"{self._seed} {number}")
        mine = self.documents.ids[number::WRITERS]
        version = 0
        while not self._ending.is_set():
            doc_id, version = rng.choice(mine), version + 1
            delete = rng.random() < 0.3
            self.documents.begin(doc_id, None if delete else version)
            try:
                if delete:
                    self.server.ask("DELETE", f"/v1/indexes/killed/documents/{doc_id}")
                else:
                    given = {"documents": [{"id": doc_id, "text": text_of(doc_id, version)}]}
                    self.server.ask("PUT", "/v1/indexes/killed/documents", given)
            except (OSError, ValueError) as error:  # the change may or may not have been made
                self._note("changes without an answer", error)
                time.sleep(0.05)
                continue
            self.documents.acknowledged(doc_id, None if delete else version)
            self.counts["changes acknowledged"] += 1

    def _read(self, number: int) -> None:
        rng = random.Random(f"{self._seed} reader {number}")
        while not self._ending.is_set():
            doc_id = rng.choice(self.documents.ids)
            before = self.documents.state(doc_id)
            body = {"query": "calcium", "where": f"id = '{doc_id}'", "k": 1}
            try:
                answer = self.server.ask("POST", "/v1/indexes/killed/search", body)
            except (OSError, ValueError) as error:
                self._note("searches without an answer", error)
                time.sleep(0.05)
                continue
            self.counts["searches answered"] += 1
            if not answer["complete"]:  # according to the answer
                self.counts["searches out of time"] += 1
            elif self.documents.state(doc_id) == before:  # no change in the meantime
                hits = answer["hits"]
                self._check(doc_id, hits[0]["text"] if hits else None, before[1], "a search")

    def _note(self, what: str, error: Exception) -> None:
        if isinstance(error, urllib.error.HTTPError):
            self.wrong.append(f"{error.code}: {error.read()!r}")
        self.counts[what] += 1

    def _check(self, doc_id: str, text: str | None, may_be: set[Version], where: str) -> None:
        texts = {None if version is None else text_of(doc_id, version) for version in may_be}
        if text not in texts:
            self.wrong.append(f"{where}: {doc_id} is {text!r}, but must be one of {sorted(map(str, texts))}")
        self.counts["documents compared"] += 1

    def _compare(self) -> None:
        """Compare the index on disk with the acknowledged changes."""
        with Searcher.open(self.folder) as searcher:
            snapshot = searcher.snapshot
            rows = snapshot.rows_of(self.documents.ids).tolist()
            for doc_id, row in zip(self.documents.ids, rows, strict=True):
                text = None if row < 0 or snapshot.texts is None else snapshot.texts[row]
                self._check(doc_id, text, self.documents.may_be[doc_id], "the index")
        report = check_index(self.folder)
        self.counts["generation"] = searcher.generation or 0
        if report.findings:
            self.wrong.append(f"lsr check: {report.findings}")
