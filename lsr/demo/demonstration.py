"""`lsr demo`: index the documentation of the standard library, search it, explain hits, and evaluate the ranking."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from lsr.demo.questions import Question, load_questions
from lsr.demo.scoring import score
from lsr.demo.stdlib import StandardLibrary
from lsr.demo.stdlib_index import Built, open_or_build
from lsr.encoders.load import load_encoder
from lsr.errors import ParameterError
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.encoding import fit_if_needed
from lsr.retrieval.hits import Hit
from lsr.retrieval.searcher import Searcher

FOLDER = Path("lsr-demo")
# Judged questions that tiny answers; see tests/demo/test_demonstration.py.
SHOWN = (
    "wrap long paragraphs so that no line is wider than 70 characters",
    "is it a leap year?",
    "unpack a .tar.gz download",
    "open a page in the user's browser",
)
_TERMS_SHOWN = 6
_BASELINE = "bm25"

Scores = dict[str, dict[str, dict[str, float]]]


class Demonstration(NamedTuple):
    """The results. scores: encoder -> way of searching -> measure -> figure, over all questions."""

    built: Built
    questions: int
    scores: Scores


def run_demo(k: int = 3, encoder: str = "tiny", index: Path = FOLDER, show: bool = True) -> Demonstration:
    """Print four questions with k hits each and their heaviest terms, if `show`; evaluate all judged questions.

    encoder: as load_encoder takes it; compared with bm25.
    index: the folder of the index, reused if it is up to date.

    Raises ParameterError for k < 1, EncoderError, StorageError.
    """
    if k < 1:
        raise ParameterError(f"k is {k}; it must be at least 1")
    library = StandardLibrary()
    searcher, built = open_or_build(library, encoder, index, progress=sys.stderr.isatty())
    questions = load_questions()
    if show:
        console = Console(highlight=False)
        _show_index(console, library, built)
        console.print(
            f"\nfour of {len(questions)} judged questions that tiny answers; ✓ marks a correct answer, followed by the "
            "terms of its score"
        )
        _show_hits(console, library, searcher, [question for question in questions if question.text in SHOWN], k)

    scores: Scores = {encoder: score(searcher, questions)}
    if encoder != _BASELINE:
        scores[_BASELINE] = score(_baseline(library), questions)
    return Demonstration(built, len(questions), scores)


def _baseline(library: StandardLibrary) -> Searcher:
    """A searcher with BM25 over the same documents, in memory."""
    encoder = load_encoder(_BASELINE)
    fit_if_needed(encoder, library)
    documents = list(library.documents())
    vectors = encoder.encode_documents([document.full_text for document in documents])
    return Searcher(SeismicIndex.build(vectors, ids=[document.doc_id for document in documents]), encoder)


def _show_index(console: Console, library: StandardLibrary, built: Built) -> None:
    console.print(
        f"[bold]{library.count:,} documents[/]: the modules, classes, functions and methods "
        f"of Python {platform.python_version()}\n"
        f"encoded at {built.documents_per_second:,.0f} documents/s, indexed in {built.build_seconds:.1f} s"
    )


def _show_hits(
    console: Console, library: StandardLibrary, searcher: Searcher, questions: Sequence[Question], k: int
) -> None:
    hits_of = searcher.search_batch([question.text for question in questions], k)
    for question, hits in zip(questions, hits_of, strict=True):
        console.print(Text(f"\n{question.text}", style="bold"))
        for rank, hit in enumerate(hits, start=1):
            mark = ("✓ ", "green") if hit.doc_id in question.answers else "  "
            summary = library.docstring(hit.doc_id).splitlines()[0]
            line = Text.assemble(f"{rank:>3} {hit.score:6.2f} ", mark, (hit.doc_id, "cyan"), f"  {summary}")
            console.print(line, no_wrap=True, overflow="ellipsis")
            console.print(Text(f"{'':13}{_terms(hit)}", style="dim"), no_wrap=True, overflow="ellipsis")


def _terms(hit: Hit) -> str:
    return "  ".join(f"{term} {weight:.2f}" for term, weight in islice(hit.explain().items(), _TERMS_SHOWN))
