"""The standard library's documentation as a collection."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lsr.demo.stdlib import StandardLibrary, title
from lsr.errors import CollectionError
from tests.processes import run_python

FAMILIAR = [
    *("json", "json.dumps", "os.path.join", "os.getcwd", "open", "sorted", "str.join", "random.randint"),
    *("asyncio.run", "sqlite3.connect", "collections.Counter.most_common", "datetime.datetime.strptime"),
    *("functools.lru_cache", "io.StringIO", "concurrent.futures.ThreadPoolExecutor", "pathlib.Path.read_text"),
]
OTHER_NAMES = [
    "posixpath.join",
    "posix.getcwd",
    "io.open",
    "_io.StringIO",
    "random.Random.randint",
    "shutil.namedtuple",
]


@pytest.fixture(scope="module")
def library() -> StandardLibrary:
    return StandardLibrary()


def test_a_few_thousand_documents_each_with_an_id_a_title_and_a_text(library: StandardLibrary) -> None:
    documents = list(library.documents())
    assert len(documents) == library.count
    assert 3000 < library.count < 10000
    assert all(document.doc_id and document.title and document.text.strip() for document in documents)
    assert all(library.docstring(document.doc_id).strip() for document in documents)
    ids = [document.doc_id for document in documents]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert not any(character.isspace() for doc_id in ids for character in doc_id)


def test_every_object_is_listed_once_under_its_best_known_name(library: StandardLibrary) -> None:
    ids = {document.doc_id for document in library.documents()}
    assert [name for name in FAMILIAR if name not in ids] == []
    assert [name for name in OTHER_NAMES if name in ids] == []


def test_private_and_playful_modules_are_left_out(library: StandardLibrary) -> None:
    ids = [document.doc_id for document in library.documents()]
    assert not [doc_id for doc_id in ids if any(part.startswith("_") for part in doc_id.split("."))]
    modules = {doc_id.split(".")[0] for doc_id in ids}
    assert not modules & {"this", "antigravity", "idlelib", "turtle", "tkinter", "test", "lib2to3"}


def test_a_document_shows_the_signature_and_the_docstring(library: StandardLibrary) -> None:
    document = next(document for document in library.documents() if document.doc_id == "json.dumps")
    assert document.text.startswith("dumps(obj, *, ")
    assert library.docstring("json.dumps") == json.dumps.__doc__.strip().replace("\n    ", "\n")
    assert document.text.endswith(library.docstring("json.dumps"))


def test_no_document_depends_on_or_tells_of_the_environment(
    library: StandardLibrary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LSR_SECRET", "do-not-tell")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.chdir(tmp_path)
    elsewhere = StandardLibrary()
    assert list(elsewhere.documents()) == list(library.documents())
    assert elsewhere.name == library.name
    texts = [document.text for document in elsewhere.documents()]
    assert not [text for text in texts if "do-not-tell" in text or "environ({" in text or " object at 0x" in text]


def test_titles_hold_the_name_and_its_words() -> None:
    assert title("json") == "json"
    assert title("os.path.join") == "os.path.join os path join"
    assert title("csv.DictReader") == "csv.DictReader csv Dict Reader"
    assert title("json.JSONEncoder.raw_decode") == "json.JSONEncoder.raw_decode json JSON Encoder raw decode"
    assert title("base64.b64encode") == "base64.b64encode base 64 b 64 encode"


def test_two_processes_find_the_same_documents_and_nothing_is_printed_or_imported() -> None:
    code = (
        "import sys; from lsr.demo.stdlib import StandardLibrary; library = StandardLibrary(); "
        "sys.stderr.write(library.name + str(library.count)); "
        "assert not {'imaplib', 'curses', 'xmlrpc.server'} & set(sys.modules)"
    )
    first, second = run_python(code), run_python(code)
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stdout == second.stdout == ""
    assert first.stderr == second.stderr


def test_an_interpreter_that_fails_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CollectionError, match="cannot be read"):
        StandardLibrary()
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no library >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(CollectionError, match="no library"):
        StandardLibrary()
