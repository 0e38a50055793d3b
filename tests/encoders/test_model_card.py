"""The README.md of a saved encoder: what Hugging Face's hub reads of it, and whether what it advises works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

import lsr
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.find import content_digest
from lsr.encoders.folders.model_card import HowMade, code
from tests.encoders.models import write_model

METHODS = {"splade-max": False, "distilsplade-sep": False, "splade++-ed": True, "splade-doc": True, "unicoil": False,
           "prosper-bert": False}  # and whether sentence-transformers has it  # fmt: skip


def saved(method: str, folder: Path, made: HowMade | None = None, **options: Any) -> tuple[Path, ModelCard]:
    build_encoder(method, write_model(folder / "model"), **options).save_pretrained(folder / "saved", made=made)
    return folder / "saved", ModelCard.load(folder / "saved" / "README.md")


@pytest.mark.parametrize("method", METHODS)
def test_the_hub_reads_the_card_and_its_examples_run(method: str, tmp_path: Path) -> None:
    folder, card = saved(method, tmp_path)
    known = METHODS[method]
    assert card.data.library_name == ("sentence-transformers" if known else "lsr")
    assert card.data.pipeline_tag == "feature-extraction"
    assert ("inference-free" in card.data.tags) == (method == "splade-doc")
    assert card.data.license is None and card.data.base_model is None
    assert (folder / "modules.json").exists() == known
    snippets = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert len(snippets) == 1 + known
    scores = []
    for snippet in snippets:
        names: dict[str, Any] = {}
        exec(snippet.replace("USER/NAME", str(folder)), names)  # what a reader would type
        found = names["scores"]
        scores.append(np.asarray(found.todense() if hasattr(found, "todense") else found.to_dense()))
    for each in scores:
        np.testing.assert_allclose(each, scores[0], rtol=1e-4, atol=1e-5)


def test_the_card_lists_unusual_settings(tmp_path: Path) -> None:
    options = {"max_length": 9, "query_max_length": 6, "query_prompt": "find `it`\n: "}
    _, card = saved("prosper-bert", tmp_path, HowMade("some/base", "## Training\n\nOn `x`.\n"), **options)
    assert card.data.base_model == "some/base"
    queries, documents = (line for line in card.text.splitlines() if line.startswith(("- Queries", "- Documents")))
    head = "mlm head (pooling last, residual, window 256, unit_length) on a transformer. 6 tokens"
    assert queries == f"- Queries: {head}, after the prompt `find 'it' : `."
    assert documents == f"- Documents: {head.replace('256, unit_length', '512').replace('6 tokens', '9 tokens')}."
    assert card.text.endswith("sentence-transformers has no modules for this encoder.\n\n## Training\n\nOn `x`.\n")


@pytest.mark.parametrize("base", ["tiny", "", "/models/bert", "./bert", "a b", "x/y/z"])
def test_local_models_are_not_named_as_base_model(base: str, tmp_path: Path) -> None:
    assert saved("splade-max", tmp_path, HowMade(base, ""))[1].data.base_model is None


def test_a_license_can_be_added_and_changes_nothing_else(tmp_path: Path) -> None:
    folder, _ = saved("splade-max", tmp_path)
    before = content_digest(str(folder))
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(re.sub("# license: .*", "license: mit", text))
    assert ModelCard.load(folder / "README.md").data.license == "mit"
    assert content_digest(str(folder)) == before
    assert lsr.load_encoder(folder).encode_queries(["alpha"]).nnz > 0


def test_texts_of_whatever_origin_are_only_shown() -> None:
    assert code("a`b\r\n# c\u2028d") == "`a'b # c d`"
