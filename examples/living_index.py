"""Index a folder of Markdown, edit a file, and search again; delete a document, and filter by metadata."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from lsr import Searcher, build_index

BACKUP = "---\nyear: 2023\ntopic: operations\n---\n# Backups\n\nDisks are copied every night.\n"
COFFEE = "---\nyear: 2021\ntopic: kitchen\n---\n# Coffee machine\n\nDescale it every month.\n"
PRINTER = "---\nyear: 2024\ntopic: operations\n---\n# Printer\n\nIt is on the second floor.\n"


def show(searcher: Searcher, query: str, where: str | None = None) -> None:
    print(f"\n{query}" + (f" ({where})" if where else ""))
    for hit in searcher.search(query, where=where):
        print(f"  {hit.score:.3f}  {hit.doc_id}  {hit.metadata['year']}  {hit.snippet(80).marked()!r}")


with TemporaryDirectory() as temporary:
    notes = Path(temporary, "notes")
    notes.mkdir()
    (notes / "backup.md").write_text(BACKUP)
    (notes / "coffee.md").write_text(COFFEE)

    searcher = build_index(notes, Path(temporary, "notes.index"), encoder="bm25")
    show(searcher, "when is the coffee machine descaled")

    reader = Searcher.open(Path(temporary, "notes.index"))  # like in another process
    (notes / "coffee.md").write_text(COFFEE.replace("month", "week"))
    (notes / "printer.md").write_text(PRINTER)
    searcher.update(notes)
    searcher.commit()
    show(searcher, "coffee every week")

    print("\nthe other searcher returns", reader.documents, "documents")
    reader.refresh()
    print("and after a refresh", reader.documents)

    searcher.delete("backup.md")
    searcher.commit()
    show(searcher, "every night on the second floor", where="year >= 2023 and topic = 'operations'")
    print("\ntopics:", searcher.facets("topic"))
    searcher.close()  # waits for running merges
