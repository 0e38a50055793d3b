"""The load of `lsr serve`, and kills: python benchmarks/serve.py load|kill.

load: 500,000 vectors of packages, with texts as queries, for an inference-free encoder, which looks queries up, and for
    `tiny`. First, eight clients send requests, each after the answer to its last one: the maximum. Then, requests are
    sent at random times, on average 25, 50, 75 and 200 % of the maximum per second, whether or not earlier ones have
    been answered. Latencies are from the time at which a request was due (no coordinated omission). The load generator
    runs on the same machine and takes a part of its time.
kill: two writers and two readers, while the server gets SIGKILL every --every seconds and is started again.
    Acknowledged changes must be in each search and in the index at the end; the exit status is 1 if any are missing or
    wrong.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from effectiveness import DATA
from encode import cpu_name
from result_files import Row, write_rows
from rich.console import Console
from rich.table import Table
from serve_client import Load, Outcome, Served
from serve_kill import Trial

from lsr import SeismicIndex, attach, load_collection
from lsr.encoders.base import Encoder
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.idf import idf_of_texts
from lsr.encoders.load import load_encoder
from lsr.encoders.sparse.tokens import FolderTokenizer

ENCODERS = ("inference-free", "tiny")
VECTORS = DATA / "vectors" / "packages-500k.npz"
TEXTS = DATA / "package-search"
SHARES = (0.25, 0.5, 0.75, 2.0)
CLIENTS = 8
COLUMNS = ("load", "requests per s", "answered per s", "p50 ms", "p99", "p99.9", "429", "504", "incomplete")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    load = commands.add_parser("load")
    load.add_argument("--encoder", choices=ENCODERS, action="append")
    load.add_argument("--seconds", type=float, default=20, help="seconds per rate")
    load.add_argument("--deadline-ms", type=int, default=1000)
    load.add_argument("--results", type=Path, help="write the table of docs/serving.md to this file, as CSV")
    load.add_argument("--folder", type=Path, help="folder of the indexes, which later runs reuse")
    kill = commands.add_parser("kill")
    kill.add_argument("--minutes", type=float, default=30)
    kill.add_argument("--every", type=float, default=30, help="seconds")
    kill.add_argument("--documents", type=int, default=2000)
    kill.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.command == "load":
            measure_load(arguments, arguments.folder or Path(temporary))
        else:
            kill_again_and_again(arguments, Path(temporary))


def measure_load(arguments: argparse.Namespace, folder: Path) -> None:
    console = Console(width=120)
    queries = list(load_collection(str(TEXTS)).queries().values())
    random.Random(3).shuffle(queries)
    bodies = [{"query": text, "k": 10, "text": False} for text in queries[:5000]]
    console.print(f"{cpu_name()}; k = 10; deadline {arguments.deadline_ms} ms; {arguments.seconds:g} s of each rate")
    rows: list[Row] = []
    for name in arguments.encoder or ENCODERS:
        index = folder / f"{name}.index"
        if not index.exists():
            build(name, index)
        server = Served(index, "--deadline-ms", str(arguments.deadline_ms))
        server.start()
        load = Load(server.port, f"/v1/indexes/{name}/search", bodies)
        gc.freeze()  # one garbage collection would stop the generator for .3 s
        load.at_most(2, CLIENTS)  # to load kernels and to read pages of the index
        most = load.at_most(arguments.seconds, CLIENTS)
        table = Table(*COLUMNS, title=name)
        rates = [(f"{CLIENTS} clients", sum(most.statuses.values()) / most.seconds, most)]
        for share in SHARES:
            rate = share * most.rate
            rates.append((f"{share:.0%}", rate, load.at_rate(arguments.seconds, rate)))
        for each in rates:
            cells = cells_of(*each)
            table.add_row(*cells)
            rows.append({"encoder": name, **dict(zip(COLUMNS, cells, strict=True))})
        server.ask("GET", "/health")
        console.print(table)
        if status := server.stop():
            sys.exit(f"the server ended with {status}")
    if arguments.results:
        write_rows(arguments.results, rows)


def cells_of(name: str, rate: float, outcome: Outcome) -> list[str]:
    unexpected = set(outcome.statuses) - {200, 429, 504}
    if unexpected:
        sys.exit(f"{name}: answers of status {unexpected}")
    percentiles = [f"{outcome.percentile(percent):.1f}" for percent in (50, 99, 99.9)]
    shares = [f"{outcome.statuses[status] / sum(outcome.statuses.values()):.1%}" for status in (429, 504)]
    incomplete = f"{outcome.incomplete / max(outcome.statuses[200], 1):.1%}"
    return [name, f"{rate:.0f}", f"{outcome.rate:.0f}", *percentiles, *shares, incomplete]


def build(name: str, folder: Path) -> None:
    """Build an index of the vectors for texts as queries: posting lists for looked-up queries, else blocks."""
    free = name == "inference-free"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary, folder.name)
        SeismicIndex.build_from(VECTORS, made, memory=2 << 30, few_terms=free, progress=True)
        attach(made, inference_free(Path(temporary, "encoder")) if free else load_encoder("tiny", device="cpu"))
        shutil.move(made, folder)


def inference_free(folder: Path) -> Encoder:
    """An encoder with the documents of `tiny` and queries by the IDF of their tokens, saved in a folder."""
    tokens = FolderTokenizer(find_checkpoint("tiny").folder)
    table = idf_of_texts((document.full_text for document in load_collection(str(TEXTS)).documents()), tokens)
    build_encoder("opensearch-doc-v2-distill", "tiny", idf=table, device="cpu").save_pretrained(folder)
    return load_encoder(str(folder), device="cpu")


def kill_again_and_again(arguments: argparse.Namespace, folder: Path) -> None:
    trial = Trial(folder, arguments.documents, arguments.seed)
    trial.run(60 * arguments.minutes, arguments.every)
    print(json.dumps({**trial.counts, "wrong": trial.wrong}, indent=2))
    sys.exit(bool(trial.wrong))


if __name__ == "__main__":
    main()
