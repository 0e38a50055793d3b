"""Encoding speed on the CPU, compared with sentence-transformers: same checkpoint, same texts, same threads.

    python benchmarks/encode.py                          long and short texts, a few minutes
    python benchmarks/encode.py --documents 256 --rounds 1

The encoders take turns in one process; each figure is the median of its rounds. Every text is truncated to the same
number of tokens. The largest difference is that of any weight to sentence-transformers' in float32, with zero for
missing weights. Finally, the memory for a large batch of long texts is measured in a separate process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from sentence_transformers import SparseEncoder

from lsr import SparseVectors, load_encoder
from lsr.collections.collection import load_collection
from lsr.encoders.folders.find import find_checkpoint

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
COLLECTIONS = {"long": "scifact", "short": "checkthat2020-claims"}
PEER_BATCH = 32  # sentence-transformers' default

TEXTS = "texts = ['retrieval ' * 600] * 64"
BIG_BATCH = {
    f"lsr {dtype}": f"""{TEXTS}
from lsr import load_encoder
load_encoder(name, device="cpu", dtype="{dtype}", max_length=512).encode_documents(texts, batch_size=64)"""
    for dtype in ("float32", "bfloat16")
} | {
    "sentence-transformers": f"""{TEXTS}
from lsr.encoders.folders.find import find_checkpoint
from sentence_transformers import SparseEncoder
encoder = SparseEncoder(str(find_checkpoint(name).folder), device="cpu")
encoder.max_seq_length = 512
encoder.encode_document(texts, batch_size=64, show_progress_bar=False)"""
}

Encode = Callable[[list[str]], Any]


@dataclass
class Result:
    texts: str
    collection: str
    documents: int
    tokens_per_document: float
    encoder: str
    documents_per_second: float
    ratio: float
    largest_difference: float


def measure(
    encoders: dict[str, Encode], collection: str, kind: str, texts: list[str], tokens: float, rounds: int
) -> list[Result]:
    vectors: dict[str, csr_matrix] = {}
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for encode in encoders.values():
        encode(texts[:PEER_BATCH])
    for _ in range(rounds):
        for name, encode in encoders.items():
            begin = time.perf_counter()
            rows = encode(texts)
            seconds[name].append(time.perf_counter() - begin)
            vectors[name] = as_scipy(rows)
    first = next(iter(encoders))
    speed = {name: len(texts) / statistics.median(times) for name, times in seconds.items()}
    return [
        Result(
            kind,
            collection,
            len(texts),
            tokens,
            name,
            speed[name],
            speed[name] / speed[first],
            float(abs(vectors[name] - vectors[first]).max()),
        )
        for name in encoders
    ]


def as_scipy(rows: Any) -> csr_matrix:
    if isinstance(rows, SparseVectors):
        return rows.to_scipy()
    rows = rows.coalesce()
    row, column = rows.indices().numpy()
    return csr_matrix((rows.values().float().numpy(), (row, column)), shape=tuple(rows.shape))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="tiny", help="a masked language model, for load_encoder")
    parser.add_argument("--documents", type=int, default=1024, help="number of documents of each collection")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--long", default=COLLECTIONS["long"], help="folder of long texts, in the test data or a path")
    parser.add_argument(
        "--short", default=COLLECTIONS["short"], help="folder of short texts, in the test data or a path"
    )
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    peer = SparseEncoder(str(find_checkpoint(arguments.encoder).folder), device="cpu")
    peer.max_seq_length = arguments.max_length
    ours = {
        dtype: load_encoder(arguments.encoder, device="cpu", dtype=dtype, max_length=arguments.max_length)
        for dtype in ("float32", "bfloat16")
    }
    encoders: dict[str, Encode] = {
        "sentence-transformers float32": lambda texts: peer.encode_document(
            texts, batch_size=PEER_BATCH, show_progress_bar=False, save_to_cpu=True
        )
    }
    for dtype, encoder in ours.items():
        encoders[f"lsr {dtype}"] = encoder.encode_documents

    machine = f"{cpu_name()}, {arguments.threads} threads"
    packages = ("torch", "transformers", "sentence-transformers")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    table = Table(title=f"Encoding with {arguments.encoder}, at most {arguments.max_length} tokens a document")
    table.caption = f"{machine}; {versions}; median of {arguments.rounds} rounds"
    for heading in ("texts", "tokens each", "encoder", "documents/s", "ratio", "largest difference"):
        table.add_column(heading, justify="left" if heading in ("texts", "encoder") else "right")

    results: list[Result] = []
    for kind, name in (("long", arguments.long), ("short", arguments.short)):
        folder = DATA / name
        collection = load_collection(folder if folder.is_dir() else name)
        texts = [document.full_text for document in islice(collection.documents(), arguments.documents)]
        lengths = peer.tokenizer(texts, truncation=True, max_length=arguments.max_length)["input_ids"]
        tokens = sum(map(len, lengths)) / len(texts)
        for result in measure(encoders, name, kind, texts, tokens, arguments.rounds):
            results.append(result)
            table.add_row(
                f"{kind}: {result.documents} of {name}",
                f"{tokens:.0f}",
                result.encoder,
                f"{result.documents_per_second:,.0f}",
                f"{result.ratio:.2f}",
                f"{result.largest_difference:.1e}",
            )
        table.add_section()
    Console(width=max(Console().width, 130)).print(table)
    peaks = {name: peak_memory(code, arguments.encoder) for name, code in BIG_BATCH.items()}
    for name, gigabytes in peaks.items():
        print(f"{name}: {gigabytes:.2f} GB at most, process and model included, for a batch of 64 texts of 512 tokens")
    if arguments.json:
        content = {
            "machine": machine,
            "versions": versions,
            "peak_gigabytes": peaks,
            "results": [asdict(result) for result in results],
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def peak_memory(code: str, encoder: str) -> float:
    """The peak memory of a separate process in gigabytes, as counted by Linux."""
    script = f"import sys\nname = sys.argv[1]\n{code}\nprint(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", script, encoder], capture_output=True, text=True, check=True)
    return int(re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)[0]) * 1024 / 1e9


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
