"""README.md of a saved encoder: a model card with a header for the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from lsr.encoders.folders.find import BUNDLED
from lsr.encoders.spec import HeadSpec, LookupSpec, SideSpec

REPOSITORY = "USER/NAME"  # placeholder for the repository, whose name is not known yet
_TAGS = ("sparse-encoder", "sparse", "learned-sparse-retrieval")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LICENSE = "# license: the id of a license; https://huggingface.co/docs/hub/repositories-licenses lists them"

_LSR = f"""
## Usage

```
pip install "lsr-engine[encode]"
lsr index DOCUMENTS INDEX --encoder {REPOSITORY}
lsr search INDEX "a query"
```

```python
import lsr

encoder = lsr.load_encoder("{REPOSITORY}")
queries = encoder.encode_queries(["what raises blood pressure"])
documents = encoder.encode_documents(["High salt intake raises blood pressure."])
scores = queries.to_scipy() @ documents.to_scipy().T
```
"""
_SENTENCE_TRANSFORMERS = f"""
With [sentence-transformers](https://sbert.net):

```python
from sentence_transformers import SparseEncoder

model = SparseEncoder("{REPOSITORY}")
queries = model.encode_query(["what raises blood pressure"])
documents = model.encode_document(["High salt intake raises blood pressure."])
scores = model.similarity(queries, documents)
```
"""
_OURS_ALONE = "\nsentence-transformers has no modules for this encoder.\n"


class HowMade(NamedTuple):
    """The origin of an encoder, for a model card.

    base_model: the name of the model from which training started. An id of the hub is named in the card's header.
    sections: Markdown text for the end of the card.
    """

    base_model: str
    sections: str


def model_card(query: SideSpec, document: SideSpec, components: int, known: bool, made: HowMade | None = None) -> str:
    """The text of README.md. known: whether sentence-transformers can read the folder."""
    free = isinstance(query, LookupSpec)
    header = [
        "---",
        f"library_name: {'sentence-transformers' if known else 'lsr'}",
        "pipeline_tag: feature-extraction",
        "tags:",
        *(f"- {tag}" for tag in (*_TAGS, *["inference-free"] * free, *["sentence-transformers"] * known)),
        *([f"base_model: {made.base_model}"] if made is not None and _on_hub(made.base_model) else []),
        _LICENSE,
        "---",
    ]
    said = [
        "",
        "# A learned sparse encoder",
        "",
        f"Encodes a text as a sparse vector with {components:,} components. Each component is a token. A score is the "
        "inner product of a query vector and a document vector.",
        "",
        *(_side("Queries", query), _side("Documents", document)),
    ]
    usage = _LSR + (_SENTENCE_TRANSFORMERS if known else _OURS_ALONE)
    return "\n".join([*header, *said, ""]) + usage + ("" if made is None else f"\n{made.sections}")


def _on_hub(name: str) -> bool:
    return bool(_HUB_ID.fullmatch(name)) and name not in BUNDLED and not Path(name).exists()


def _side(name: str, spec: SideSpec) -> str:
    prompt = f", after the prompt {code(spec.prompt)}" if spec.prompt else ""
    if isinstance(spec, LookupSpec):
        return (
            f"- {name}: the weights of tokens come from a table, without a network. {spec.max_length} tokens{prompt}."
        )
    plain = HeadSpec()
    unusual = {key: value for key, value in asdict(spec.head).items() if value != getattr(plain, key)}
    head = f" ({_listed(unusual)})" if unusual else ""
    return f"- {name}: {spec.head.kind} head{head} on a transformer. {spec.max_length} tokens{prompt}."


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(key if value is True else f"{key} {value}" for key, value in values.items() if value is not None)


def code(text: str) -> str:
    """Any text as code in Markdown."""
    plain = " ".join(text.replace("`", "'").splitlines())
    return f"`{plain}`"
