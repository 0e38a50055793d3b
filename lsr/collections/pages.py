"""The text of one file: Markdown, HTML, plain text, PDF."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lsr.collections.written_types import typed
from lsr.errors import CollectionError, MissingExtraError
from lsr.extras import need
from lsr.storage.limits import MAX_LINE, longest_line
from lsr.storage.reading import open_regular

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_CHARSETS = re.compile(
    r"utf-?8|us-ascii|(iso-?8859|windows|cp)-?\w+|latin-?1|shift_jis|euc-\w+|gb\w+|big5|koi8-\w+", re.I
)

_HEADINGS = [f"h{level}" for level in range(1, 7)]
_UNREAD = ["script", "style", "noscript", "template", "svg", "iframe", "nav", "footer", "aside", "head"]
_PARAGRAPHS = [
    *_HEADINGS,
    *(
        "p",
        "div",
        "section",
        "article",
        "main",
        "header",
        "ul",
        "ol",
        "dl",
        "table",
        "pre",
        "blockquote",
        "figure",
        "hr",
    ),
]
_LINES = ["li", "dt", "dd", "tr", "br", "option", "caption", "figcaption"]
_PARAGRAPH, _LINE = "\x01", "\x02"  # marks of paragraphs and lines, until white space is normalized

_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"([A-Za-z_][\w-]*):[ \t]*(.*)")
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*)")


class Page(NamedTuple):
    """The content of a file. title: "" if there is none. metadata: the front matter of Markdown."""

    title: str
    text: str
    metadata: dict[str, Any]


def read_page(path: Path) -> Page:
    """The content of a file, by its suffix. Unknown suffixes are plain text.

    Text is UTF-8, UTF-16 with a byte order mark, or in the encoding that an HTML page declares. Raises CollectionError,
    which names the file, for a file that cannot be read, is not text, or is longer than lsr.storage.limits allows;
    MissingExtraError for a PDF without pypdf.
    """
    read = READERS.get(path.suffix.lower(), _read_text)
    try:
        with open_regular(path) as file:
            content = file.read(longest_line() + 1)
    except OSError as cause:
        raise CollectionError(f"{path}: cannot be read ({cause.strerror or cause}); check the file") from cause
    if len(content) > longest_line():
        raise CollectionError(
            f"{path}: has more than {longest_line()} bytes; split it, or set {MAX_LINE} to more bytes"
        )
    try:
        page = read(path, content)
    except (CollectionError, MissingExtraError):
        raise
    except Exception as cause:  # errors of parsers have no common class
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:200]
        raise CollectionError(
            f"{path}: cannot be read, or is damaged ({reason}); check the file, or leave it out"
        ) from cause
    return Page(_valid(" ".join(page.title.split())), _valid(page.text), page.metadata)


def _read_text(path: Path, content: bytes) -> Page:
    return Page("", _decoded(path, content).strip(), {})


def _read_html(path: Path, content: bytes) -> Page:
    declared = _CHARSET.search(content[:2048])
    charset = declared[1].decode() if declared else "utf-8"
    return _page_of_html(_decoded(path, content, charset if _CHARSETS.fullmatch(charset) else "utf-8"))


def _read_markdown(path: Path, content: bytes) -> Page:
    from markdown_it import MarkdownIt

    text = _decoded(path, content)
    front = _FRONT.match(text)
    metadata = {} if front is None else front_matter(front[1])
    html = MarkdownIt("commonmark").enable("table").render(text if front is None else text[front.end() :])
    title = metadata.pop("title", None)
    return _page_of_html(html, None if title is None else str(title))._replace(metadata=metadata)


def _read_pdf(path: Path, content: bytes) -> Page:
    need(f"{path}: a PDF", "pypdf")
    import io

    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its messages about damage are for developers
    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise CollectionError(f"{path}: is encrypted; save it without a password, or leave it out")
    text = "\n\n".join(page.extract_text().strip() for page in reader.pages)
    title = None if reader.metadata is None else reader.metadata.title
    return Page(title if isinstance(title, str) else "", text.strip(), {})


READERS: dict[str, Callable[[Path, bytes], Page]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".html": _read_html,
    ".htm": _read_html,
    ".txt": _read_text,
    ".pdf": _read_pdf,
}


def front_matter(text: str) -> dict[str, Any]:
    """A subset of YAML: lines of `name: value`, and lists, in brackets or as items below. Other lines are ignored."""
    found: dict[str, Any] = {}
    name = ""
    for line in text.splitlines():
        if field := _FIELD.fullmatch(line):
            name, value = field[1], field[2].strip()
            if value.startswith("[") and value.endswith("]"):
                found[name] = [_unquoted(each) for each in value[1:-1].split(",") if each.strip()]
            elif value and value[0] not in "{[&*!|>%@`#":
                found[name] = _value(value)
        elif (item := _ITEM.fullmatch(line)) and name and isinstance(found.setdefault(name, []), list):
            found[name].append(_unquoted(item[1]))
    return found


def _value(text: str) -> Any:
    if text[0] in "\"'":
        return _unquoted(text)
    text = re.sub(r"\s+#.*", "", text)
    return None if text in ("null", "~") else typed(text)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _page_of_html(html: str, title: str | None = None) -> Page:
    """Title and text, without scripts, styles and navigation; only the main part if the page marks it.

    title: if it is known; otherwise the title of the page, or its first heading.
    """
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html.translate({1: " ", 2: " "}), "html.parser")
    if title is None:
        titles = [_line_of(each) for each in (soup.title, soup.find(_HEADINGS)) if each is not None]
        title = next(filter(None, titles), "")
    for tag in soup.find_all(_UNREAD):
        tag.extract()
    main = soup.find("main") or soup
    text = _text_of(main)
    first, _, rest = text.partition("\n\n")
    if first == title:  # the title precedes the text anyway
        text = rest
    return Page(title, text, {})


def _text_of(tag: Tag | BeautifulSoup) -> str:
    from bs4.element import CData, NavigableString

    for pre in tag.find_all("pre"):
        for string in list(pre.find_all(string=True)):
            string.replace_with(NavigableString(string.replace("\n", _LINE)))
    for names, mark in ((_PARAGRAPHS, _PARAGRAPH), (_LINES, _LINE), (["td", "th"], " ")):
        for border in tag.find_all(names):
            border.insert_before(NavigableString(mark))
            border.insert_after(NavigableString(mark))
    text = "".join(tag._all_strings(types=(NavigableString, CData)))
    text = re.sub(r"\s+", " ", text)
    text = re.sub(f"[ {_LINE}]*{_PARAGRAPH}[ {_LINE}{_PARAGRAPH}]*", "\n\n", text)
    return re.sub(f" *{_LINE}[ {_LINE}]*", "\n", text).strip()


def _line_of(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _decoded(path: Path, content: bytes, charset: str = "utf-8") -> str:
    encoding = next((each for mark, each in _MARKS.items() if content.startswith(mark)), charset)
    try:
        text = content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as cause:
        at = f", byte {cause.start + 1}" if isinstance(cause, UnicodeDecodeError) else ""
        raise CollectionError(
            f"{path}: is not {encoding.upper()} text{at}; convert it to UTF-8, or leave it out"
        ) from cause
    if "\0" in text:
        raise CollectionError(f"{path}: has NUL characters, so it is not a text file; check the file, or leave it out")
    return text


def _valid(text: str) -> str:
    """The text without lone surrogates, which PDFs and HTML references can contain."""
    return text if text.isascii() else text.encode(errors="replace").decode()
