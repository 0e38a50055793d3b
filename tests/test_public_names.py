"""The public names: listed once, typed, quick to import, documented, and enough for documents and examples."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lsr
import lsr.eval
import lsr.training

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PACKAGES = {"eval", "training"}  # which lsr has as attributes, and which are pages of their own
BRIDGES = re.findall(r"`(Lsr\w+)`", (REPOSITORY / "docs" / "bridges.md").read_text())
PUBLIC = {package.__name__: set(package.__all__) - PACKAGES for package in (lsr, lsr.eval, lsr.training)}


@pytest.mark.parametrize("package", sorted(PUBLIC))
def test_every_name_exists_and_dir_shows_no_other(package: str) -> None:
    module = importlib.import_module(package)
    assert set(dir(module)) - PACKAGES == PUBLIC[package]
    for name in PUBLIC[package]:
        assert getattr(getattr(module, name), "__name__", name) in (name, f"lsr.{name}")
    with pytest.raises(AttributeError, match="nonsense"):
        _ = module.nonsense


def test_the_page_of_the_public_names_has_them_all_and_no_other() -> None:
    first, *rest = (REPOSITORY / "docs" / "api.md").read_text().split("\n## ")
    assert first.startswith("# Public API")
    assert [section.split("\n")[0] for section in rest] == list(PUBLIC)
    for section in rest:
        package, _, text = section.partition("\n")
        rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
        prose = [line for line in text.splitlines() if not line.startswith("|")]
        assert set(re.findall(r"`(\w+)`", " ".join(rows + prose))) == PUBLIC[package]


def snippets() -> Iterator[tuple[str, str]]:
    for path in (REPOSITORY / "examples").glob("*.py"):
        yield path.name, path.read_text()
    for path in DOCUMENTS:
        for code in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
            yield path.name, code


def imported(code: str) -> Iterator[tuple[str, str]]:
    """(module of lsr, name) of everything that the code imports from lsr."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lsr":
            yield from ((node.module, each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            yield from ((each.name, "__all__") for each in node.names if each.name.split(".")[0] == "lsr")


def test_documents_and_examples_import_public_names_alone() -> None:
    found = [(where, *each) for where, code in snippets() for each in imported(code)]
    assert len(found) > 10
    for where, module, name in found:
        if module.startswith("lsr.bridges."):  # whose names docs/bridges.md lists
            assert name in BRIDGES and hasattr(importlib.import_module(module), name), f"{where}: {module}.{name}"
            continue
        assert module in PUBLIC and name in {*PUBLIC[module], "__all__"}, f"{where}: {module}.{name}"


def test_documents_name_public_names_alone() -> None:
    """As `lsr.name` or `lsr.eval.name` in the text."""
    for path in DOCUMENTS:
        for dotted in re.findall(r"`(lsr(?:\.\w+)+)", path.read_text()):
            package, _, name = dotted.rpartition(".")
            if not dotted.startswith("lsr.bridges"):
                assert dotted in PUBLIC or name in PUBLIC.get(package, ()), f"{path.name}: {dotted}"


def test_documents_name_no_private_class() -> None:
    """In Python, its comments included, or in backticks. The glossary names code on purpose."""
    source = "\n".join(path.read_text() for path in (REPOSITORY / "lsr").rglob("*.py"))
    private = set(re.findall(r"^class ([A-Z]\w+)", source, re.MULTILINE)) - set().union(*PUBLIC.values(), BRIDGES)
    for path in (each for each in DOCUMENTS if each.stem != "glossary"):
        blocks = [re.sub(r'(?s)""".*?"""|"[^"\n]*"', "", code) for where, code in snippets() if where == path.name]
        prose = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        named = set(re.findall(r"\w+", " ".join(blocks + re.findall(r"`([^`\n]+)`", prose))))
        assert not named & private, f"{path.name}: {named & private}"


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import lsr; dir(lsr), lsr.eval, lsr.training", "numpy torch numba pyarrow scipy transformers faiss"),
        ("from lsr import SparseVectors, LsrError, load_collection", "torch numba pyarrow transformers faiss"),
        ("from lsr import load_encoder, BM25Encoder, Encoder", "torch numba transformers faiss"),
        ("from lsr import SeismicIndex, Searcher", "torch pyarrow transformers faiss"),
        ("from lsr.eval import evaluate, compare, plot_curves", "torch numba matplotlib ir_measures"),
    ],
)
def test_a_name_brings_only_what_it_needs(code: str, heavy: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not set(heavy.split()) & set(done.stdout.split())


def test_the_glossary_defines_each_word_once_and_names_code_that_exists() -> None:
    text = (REPOSITORY / "docs" / "glossary.md").read_text()
    words = [word.strip() for line in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for word in line.split("; ")]
    words = [word for word in words if word != "word" and not word.startswith("-")]
    assert sorted({word for word in words if words.count(word) > 1}) == []
    source = "\n".join(path.read_text() for path in (REPOSITORY / "lsr").rglob("*.py"))
    for name in re.findall(r"`(\w+)(?:\.(\w+))?`", text):
        for each in filter(None, name):
            assert re.search(rf"\b{each}\b", source), each


def test_the_architecture_names_files_that_exist_in_short_lines() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text()
    for name in re.findall(r"`([\w/]+(?:/|\.pyi?))`", text):
        found = [REPOSITORY / name, REPOSITORY / "lsr" / name, *(REPOSITORY / "lsr").rglob(name.strip("/"))]
        found += (REPOSITORY / "docs").rglob(name.strip("/"))
        assert any(path.exists() for path in found), name
    assert [line for line in text.splitlines() if len(line) > 100 and not line.startswith("|")] == []


_PROTOCOL = lsr.Encoder.__init__


def signatures() -> Iterator[tuple[str, inspect.Signature]]:
    """Of every public function, class and method, but for what Python itself gives some of them."""
    for package in (lsr, lsr.eval, lsr.training):
        for name in PUBLIC[package.__name__]:
            thing = getattr(package, name)
            if not callable(thing):
                continue
            of_python = isinstance(thing, type) and (issubclass(thing, Exception | list) or thing.__init__ is _PROTOCOL)
            if not of_python:
                yield f"{package.__name__}.{name}", inspect.signature(thing)
            for method, member in inspect.getmembers(thing) if isinstance(thing, type) else ():
                module = getattr(inspect.unwrap(getattr(member, "__func__", member)), "__module__", "")
                if callable(member) and not method.startswith("_") and str(module).startswith("lsr"):
                    yield f"{package.__name__}.{name}.{method}", inspect.signature(member)


def test_completion_shows_every_option_with_its_type() -> None:
    found = list(signatures())
    assert len(found) > 120
    for where, signature in found:
        for parameter in signature.parameters.values():
            if parameter.name not in ("self", "cls", "_cls"):
                assert parameter.kind is not parameter.VAR_KEYWORD, f"{where}: **{parameter.name}"
                assert parameter.annotation is not parameter.empty, f"{where}: {parameter.name} has no type"


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert (REPOSITORY / "lsr" / "py.typed").exists()
