"""A hook of mkdocs: pages made of files outside docs/, and the API reference made of the public names.

Links between pages are those of the repository, so that they work where its files are read as they are.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from commands import commands

REPOSITORY = Path(__file__).resolve().parents[2]
# Files of the repository that are pages, and the names of these pages.
OUTSIDE = {f"{name}.md": f"{name.lower()}.md" for name in ("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "SECURITY")}
ELSEWHERE = OUTSIDE | {"README.md": "index.md", "lsr/recipes": "recipes.md"}
STUBS = {"lsr": "lsr", "lsr.eval": "lsr/eval", "lsr.training": "lsr/training"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put what the navigation does not name at the end of a section: guides of docs/, pages of the API reference."""
    sections = {name: pages for each in config.nav or [] for name, pages in each.items()}
    named = str(config.nav)
    for section, found in (
        ("Guides", [path.name for path in sorted(Path(config.docs_dir).glob("*.md"))]),
        ("Reference", list(reference_pages())),
    ):
        sections[section] += [page for page in found if f"'{page}'" not in named]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    made = {page: (REPOSITORY / path).read_text() for path, page in OUTSIDE.items()}
    made |= reference_pages() | {
        "commands.md": commands(),
        "examples.md": examples(),
        "recipes.md": recipes(),
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages, and public names into links to them."""
    here = page.file.src_uri
    source = {name: path for path, name in OUTSIDE.items()}.get(here, f"docs/{here}")

    def linked(found: re.Match[str]) -> str:
        text, target, heading = found[1], found[2], found[3] or ""
        shown = files.get_file_from_path(OUTSIDE.get(text, text)) if text == posixpath.basename(target) else None
        if shown is not None:  # readers of the site see no files, but pages with titles
            text = shown.content_string.partition("\n")[0].removeprefix("# ")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        name = path.removeprefix("docs/") if path.startswith("docs/") else ELSEWHERE.get(path)
        if name is None and re.fullmatch(r"examples/\w+\.py", path):
            name, heading = "examples.md", f"#{Path(path).stem}"
        if name is None:  # a file that no page shows
            return text
        return f"[{text}]({posixpath.relpath(name, posixpath.dirname(here) or '.')}{heading})"

    markdown = re.sub(r"(?<!!)\[([^\]\[]+)\]\((?!\w+:)([^)#\s]+)(#[^)\s]+)?\)", linked, markdown)
    if here == "api.md":
        package = ""
        lines = []
        for line in markdown.splitlines():
            package = line.removeprefix("## ") if line.startswith("## ") else package
            names = set(public_names(package)) if package else set()
            lines.append(re.sub(r"`(\w+)`", lambda found: link_to(found[1], package, names), line))  # noqa: B023
        markdown = "\n".join(lines)
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mark short names in sentences, which must not break."""
    return re.sub(r"<code>([^<\n]{1,30})</code>", r'<code class="name">\1</code>', html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that a browser would load something for from another host."""
    loaded = re.search(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="?(?:https?:)?//[^>]*>', output)
    if loaded and 'rel="canonical"' not in loaded[0]:
        raise PluginError(f"{page.file.src_uri}: {loaded[0]} comes from another host")
    return output


def link_to(name: str, package: str, names: set[str]) -> str:
    return f"[`{name}`][{package}.{name}]" if name in names else f"`{name}`"


def public_names(package: str) -> list[str]:
    stub = (REPOSITORY / STUBS[package] / "__init__.pyi").read_text()
    names = re.findall(r"^from \.\S+ import \w+ as (\w+)", stub, re.MULTILINE)
    return [name for name in names if name != "__version__"]


def reference_pages() -> dict[str, str]:
    """A page for each table of docs/api.md, in the order of its rows."""
    pages = dict[str, str]()
    for section in (REPOSITORY / "docs" / "api.md").read_text().split("\n## ")[1:]:
        package, _, text = section.partition("\n")
        names = public_names(package)
        for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
            title = re.sub(r" *\(?\[.*", "", table.split("|")[1]).strip()
            if package != "lsr":
                title = package
            rows = "\n".join(row.split("|")[1] for row in table.splitlines()[2:])
            chosen = [name for name in re.findall(r"`(\w+)`", rows) if name in names]
            pages[f"reference/{title.split()[0].removeprefix('lsr.')}.md"] = reference_page(title, package, chosen)
    return pages


def reference_page(title: str, package: str, names: list[str]) -> str:
    shown = "\n\n".join(f"::: {package}.{name}" for name in names)
    return f"# {title if '.' in title else title.capitalize()}\n\n{shown}\n"


def examples() -> str:
    pages = [
        "# Examples\n\nThe programs are in `examples/` of the repository, the notebooks in `examples/notebooks/`.\n"
    ]
    for path in sorted((REPOSITORY / "examples").glob("*.py")):
        pages.append(f'## {path.stem}\n\n```python title="examples/{path.name}"\n{path.read_text()}```\n')
    pages += [notebook(path) for path in sorted((REPOSITORY / "examples" / "notebooks").glob("*.ipynb"))]
    return "\n".join(pages)


def notebook(path: Path) -> str:
    """The cells of a notebook as a section, with its texts' links as those of a page in docs/."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            parts.append(f"```python\n{text}\n```\n")
        else:
            parts.append(re.sub(r"^#", "##", text, flags=re.MULTILINE).replace("](../../docs/", "](") + "\n")
    parts.insert(1, f"The notebook is `examples/notebooks/{path.name}`.\n")
    return "\n".join(parts)


def recipes() -> str:
    pages = [
        "# Recipes\n\n`lsr train NAME OUT` trains by a recipe. Those under `small/` take minutes on two cores; the "
        "others have the settings of their papers ([training](training.md)).\n"
    ]
    folder = REPOSITORY / "lsr" / "recipes"
    for path in sorted(folder.rglob("*.toml")):
        content = "".join(f"    {line}\n" if line else "\n" for line in path.read_text().splitlines())
        pages.append(f'??? note "{path.relative_to(folder).with_suffix("")}"\n\n    ```toml\n{content}    ```\n')
    return "\n".join(pages)
