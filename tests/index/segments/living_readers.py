"""Processes and threads search an index and refresh it while a writer changes, merges and replaces it.

python -m tests.index.segments.living_readers --seconds 600 --seed 1

Before each commit the writer publishes what the generation will hold, and the scores of all documents for some queries.
Every answer must be that of the generation that was searched; nobody may meet an error; memory of the readers may not
grow; and no descriptor may be open when they have dropped what they had opened. Until then there is one for each array
of each segment.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lsr.errors import StorageError
from lsr.index.segments.generation import open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from tests.index.samples import EXACT
from tests.index.segments.crash_worlds import IDS, leftovers, save, stacked, text_of
from tests.index.segments.forked import Ended, Forked
from tests.index.segments.kills import warm_up

READERS, THREADS = 3, 4
PROBES = stacked({f"probe {number}": number for number in range(6)})
NAMES = [f"{name}-{number}" for name in IDS for number in range(5)]
AHEAD = 40  # generations that a merge may make
KEPT = 200  # generations for which the oracle is kept


class Oracle:
    """What each generation holds: files in a folder, each written before its commit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: OrderedDict[int, Mapping[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def publish(self, generation: int, documents: Mapping[str, int]) -> None:
        scores = (
            stacked(documents).to_dense().astype(np.float64) @ PROBES.to_dense().T if documents else np.zeros((0, 6))
        )
        content = json.dumps({"documents": documents, "scores": scores.T.tolist()})
        temporary = self._folder / "temporary"
        temporary.write_text(content)
        temporary.rename(self._folder / str(generation))
        if generation > KEPT:
            (self._folder / str(generation - KEPT)).unlink(missing_ok=True)

    def of(self, generation: int) -> Mapping[str, Any]:
        with self._lock:
            if generation not in self._known:
                found = json.loads((self._folder / str(generation)).read_text())
                scores = [dict(zip(found["documents"], each, strict=True)) for each in found["scores"]]
                self._known[generation] = {**found, "scores": scores}
                if len(self._known) > 8:
                    self._known.popitem(last=False)
            return self._known[generation]


def check(index: SeismicIndex, oracle: Oracle, k: int) -> None:
    """The answers of an index are those of its generation."""
    generation = index.generation
    assert generation is not None
    expected = oracle.of(generation.number)
    documents = expected["documents"]
    assert len(index) == len(documents), f"generation {generation.number}: {len(index)} documents, not {len(documents)}"
    result = index.search(PROBES, k, EXACT, threads=1)
    for query, (rows, scores) in enumerate(zip(result.rows, result.scores, strict=True)):
        best = expected["scores"][query]
        hits = rows[rows >= 0].tolist()
        wanted = sorted((score for score in best.values() if score > 0), reverse=True)[:k]
        np.testing.assert_allclose(scores[rows >= 0], wanted, rtol=1e-4, err_msg=f"generation {generation.number}")
        for row, score in zip(hits, scores.tolist(), strict=False):
            assert index.ids is not None and generation.texts is not None
            name = index.ids[row]
            assert abs(best[name] - score) < 1e-4 * score, f"generation {generation.number}: {name} scored {score}"
            assert generation.texts[row] == text_of(name, documents[name])
    if documents:
        names = random.sample(sorted(documents), min(5, len(documents)))
        assert index.ids is not None
        assert [index.ids[row] for row in index.ids.rows(names).tolist()] == names


def read(child: Forked, folder: Path, oracle: Oracle, seed: int) -> None:
    """Threads that search, refresh, open anew, and pickle what they have opened."""
    descriptors = open_descriptors()
    current: Any = SeismicIndex.of_generation(open_generation(folder))
    counts = {"searches": 0, "refreshes": 0, "generations": 0}
    errors: list[BaseException] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal current
        chance = random.Random(f"{seed} {number}")
        try:
            while not errors and not child.told_to_stop():
                index = current
                for _ in range(chance.randint(1, 6)):
                    check(index, oracle, chance.choice((1, 5, 10, 400)))
                    with lock:
                        counts["searches"] += len(PROBES)
                way = chance.random()
                if way < 0.6:
                    new = SeismicIndex.of_generation(open_generation(folder, reuse=index.generation))
                elif way < 0.9:
                    new = SeismicIndex.open(folder)
                else:
                    new = pickle.loads(pickle.dumps(index))
                with lock:
                    counts["refreshes"] += 1
                    assert new.generation is not None and current.generation is not None
                    counts["generations"] += new.generation.number > current.generation.number
                    if new.generation.number >= current.generation.number:
                        current = new
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    while not errors and not child.told_to_stop(1):
        child.report({"descriptors": open_descriptors(), "memory": resident(), **counts})
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    current = None
    assert open_descriptors() == descriptors, "descriptors are left open"


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Bytes of this process that are in memory and its own: not those of files that are mapped."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines["RssAnon"].split()[0])


def write(child: Forked, folder: Path, oracle: Oracle, seed: int) -> None:
    """Writers, one after the other, each of which makes some commits."""
    chance = random.Random(seed)
    documents: dict[str, int] = {}
    counts = {"commits": 0, "merges": 0, "replacements": 0, "writers": 0, "refused": 0}

    def add(writer: IndexWriter, most: int) -> None:
        new = {name: chance.randint(1, 1000) for name in chance.sample(NAMES, chance.randint(1, most))}
        path = writer.new_segment()
        save(path, new, blocks=chance.random() < 0.3)
        writer.add_segment(path)
        for name in new:
            documents.pop(name, None)
        documents.update(new)

    while not child.told_to_stop():
        replaced = not documents or chance.random() < 0.1
        with (IndexWriter.create if replaced else IndexWriter.open)(folder) as writer:
            counts["writers"] += 1
            if replaced:
                documents.clear()
                counts["replacements"] += 1
                add(writer, 200)
            elif chance.random() < 0.2:
                try:
                    IndexWriter.open(folder)
                    raise AssertionError("a second writer was let in")
                except StorageError:
                    counts["refused"] += 1
            for _ in range(chance.randint(1, 6)):
                way = chance.random()
                if way < 0.5:
                    add(writer, 20)
                if way > 0.3:
                    gone = chance.sample(sorted(documents), min(len(documents), chance.randint(1, 15)))
                    writer.delete(gone)
                    for name in gone:
                        del documents[name]
                for ahead in range(1, AHEAD if way > 0.7 else 2):
                    oracle.publish(writer.generation + ahead, documents)
                if way > 0.9:
                    writer.merge(all=chance.random() < 0.3)
                    counts["merges"] += 1
                elif way > 0.7:
                    writer.merge_in_background()
                    counts["merges"] += 1
                else:
                    writer.commit()
                counts["commits"] += 1
            oracle.publish(writer.generation + 1, documents)
            writer.commit()
        child.report(counts)


def live(root: Path, seconds: float, seed: int) -> tuple[Ended, list[Ended]]:
    """(writer, readers) as they ended."""
    folder, published = root / "index", root / "published"
    published.mkdir(parents=True)
    warm_up(root / "warm")
    with IndexWriter.create(folder) as first:
        path = first.new_segment()
        save(path, {"first": 1})
        first.add_segment(path)
        Oracle(published).publish(1, {"first": 1})
        first.commit()
    readers = [
        Forked(lambda child, number=number: read(child, folder, Oracle(published), seed + number))  # type: ignore[misc]
        for number in range(READERS)
    ]
    writer = Forked(lambda child: write(child, folder, Oracle(published), seed))
    everybody = [writer, *readers]
    ended: dict[int, Ended] = {}
    threads = [
        threading.Thread(target=lambda each=each: ended.update({each.pid: each.wait()}))  # type: ignore[misc]
        for each in everybody
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not ended:
        time.sleep(0.2)
    for each in everybody:
        each.stop()
    for thread in threads:
        thread.join()
    IndexWriter.open(folder).close()
    kept = {name for name in leftovers(folder) if name != "../published"}
    assert not kept, kept
    return ended[writer.pid], [ended[each.pid] for each in readers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    writer, readers = live(Path(tempfile.mkdtemp(prefix="lsr-living-")), options.seconds, options.seed)
    for each in (writer, *readers):
        assert (each.error, each.failure, each.signal) == (None, None, None), each.failure or each.error or each.signal
    print("writer:", writer.reports[-1])
    for each in readers:
        samples = each.reports
        quarter = max(1, len(samples) // 4)
        early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
        print("reader:", {name: samples[-1][name] for name in ("searches", "refreshes", "generations")})
        for name in ("descriptors", "memory"):
            before, after = (np.mean([each[name] for each in part]) for part in (early, late))
            most = max(each[name] for each in samples)
            print(f"  {name}: {before:.0f} in the second quarter, {after:.0f} in the last, {most} at most")
            assert name == "descriptors" or after < 1.1 * before + 20e6, "memory grows"


if __name__ == "__main__":
    main()
