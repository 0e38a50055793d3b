"""What a missing package costs: one line that names the extra of pyproject.toml which brings it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lsr.extras import EXTRAS
from tests.data import LIBRARY

REPOSITORY = Path(__file__).resolve().parent.parent

# What is asked for, without which package.
ENTRIES = {
    "from lsr.index.dense.dense_index import DenseIndex": "faiss",
    "from lsr import DenseEncoder": "torch",
    "import lsr; lsr.load_encoder('tiny')": "torch",
    "import lsr; lsr.load_encoder('tiny') # again": "transformers",
    "import lsr; lsr.load_encoder('naver/splade-v3')": "huggingface_hub",
    "from lsr import build_encoder; build_encoder('li-lsr', 'tiny')": "torch",
    "from lsr.training import train": "accelerate",
    "from lsr.collections.collection import load_collection; load_collection('beir/scifact')": "ir_datasets",
    "from lsr.eval.measures import evaluate; evaluate({'q': {'d': 1}}, {'q': {'d': 1.0}})": "ir_measures",
    "from lsr.eval.plots import CurvePoint, plot_curves\n"
    "plot_curves({'a': [CurvePoint(1.0, 1.0)]}, 'x', 'nDCG@10', 'title', 'plot.svg')": "matplotlib",
    "from lsr.training import train # again": "tensorboard",
    "from lsr.training.log import start_tracker\n"
    "from pathlib import Path\n"
    "start_tracker('wandb', Path('out'), 0, 'run', {})": "wandb",
    "from lsr.collections.documents import as_documents\n"
    "open('a.pdf', 'w').close()\n"
    "list(as_documents('a.pdf').documents())": "pypdf",
    "from lsr.cli.serve import serve; serve([])": "fastapi",
    "from lsr.cli.serve import serve; serve([]) # again": "uvicorn",
    "from lsr.cli.serve import serve; serve([]) # and again": "httptools",
    "from lsr.cli.serve import serve; serve([]) # once more": "prometheus_client",
    "import lsr; lsr.load_encoder('bm25', tokenizer='english')": "Stemmer",
    "from lsr.training.adapters import add_adapters; add_adapters(None, None, 0)": "peft",
    "import lsr.bridges.langchain": "langchain_core",
    "from pathlib import Path; from lsr.cli.mcp import mcp; mcp(Path('index'))": "mcp",
    "import lsr.bridges.llama_index": "llama_index",
    "import lsr.bridges.haystack": "haystack",
    "import lsr.bridges.pyterrier": "pyterrier",
    "from lsr import build_sharded_index; build_sharded_index(['text'], 'index', 'bm25', 2, cluster='local')": "ray",
    "from lsr import import_vectors; open('a.ciff', 'w').close()\n"
    "import_vectors('a.ciff', 'out', 'ciff')": "google.protobuf",
}


@pytest.mark.parametrize(("code", "package"), ENTRIES.items())
def test_a_missing_package_is_an_error_that_names_its_extra(code: str, package: str, tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None  # as if it were not installed
from lsr.errors import MissingExtraError
try:
    exec({code!r})
except MissingExtraError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    line = f"needs {package}; install it: pip install 'lsr-engine[{EXTRAS[package]}]'"
    assert re.fullmatch(rf".+ {re.escape(line)}\n", ended.stdout)


def test_every_package_has_an_entry_above_and_is_in_its_extra() -> None:
    assert set(ENTRIES.values()) == EXTRAS.keys()
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    distributions = {
        "faiss": "faiss-cpu",
        "Stemmer": "PyStemmer",
        "llama_index": "llama-index-core",
        "haystack": "haystack-ai",
        "google.protobuf": "protobuf",
    }
    for package, extra in EXTRAS.items():
        names = {re.split(r"[>=\[]", each)[0] for each in extras[extra]}
        assert distributions.get(package, package.replace("_", "-")) in names


def test_mining_needs_nothing_that_training_needs(tmp_path: Path) -> None:
    words = [
        ["index", LIBRARY, "index", "--encoder", "bm25"],
        ["mine", "index", LIBRARY, "out.jsonl", "--split", "test"],
    ]
    program = f"""
import sys
for package in {sorted({*EXTRAS, "tensorboardX"})!r}:
    sys.modules[package] = None  # as if it were not installed
from lsr.cli.main import main
sys.exit(any(main(words) for words in {[[str(word) for word in each] for each in words]!r}))
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "out.jsonl").read_text().count('"negative_ids"') > 10
