"""Draw docs/speed.svg, the first picture of the README, from the tables of docs/performance.md.

    python benchmarks/speed_picture.py [--collection packages] [--recall .95]

Times are of "Search at equal recall", megabytes of "Size". Run it again after these tables have changed.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
WHAT = {"packages": "300,000 package descriptions", "wiki": "100,000 Wikipedia passages"}
STYLE = """
    text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; font-size: 15px; }
    .small { font-size: 12.5px; fill: #57606a; }
    .ground { fill: #ffffff; stroke: #d0d7de; }
    .lsr { fill: #0072b2; } .peer { fill: #b3bbc4; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .small { fill: #a8b1bb; }
      .ground { fill: #161b22; stroke: #30363d; }
      .lsr { fill: #56b4e9; } .peer { fill: #57606a; }
    }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", choices=sorted(WHAT), default="packages")
    parser.add_argument("--recall", default=".95")
    given = parser.parse_args()
    text = (DOCS / "performance.md").read_text()
    times = numbers(text, "Search at equal recall", given.collection, given.recall)
    sizes = numbers(text, "Size", given.collection)
    sizes = {name: sizes[name.split()[0]] for name in times if name.split()[0] in sizes}  # sizes have no versions
    what = f"{WHAT[given.collection]}, SPLADE vectors"
    picture = drawn(f"Query time in µs at recall@10 ≥ {given.recall}", times, "Index size on disk in MB", sizes, what)
    (DOCS / "speed.svg").write_text(picture)
    print(times, sizes)


def numbers(text: str, section: str, collection: str, recall: str | None = None) -> dict[str, float]:
    """Engine -> number, from the first table of the section, by the names in its head."""
    table = re.search(r"(?:^\|.*\n)+", text.split(f"\n## {section}\n")[1], re.MULTILINE)
    assert table is not None, section
    head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[0].splitlines()]
    of = ""
    for row in rows:
        of = row[0] or of
        if of == collection and recall in (None, row[1]):
            named = zip(head, row, strict=True)
            found = {name: re.fullmatch(r"([\d,.]+)(?: MB)?", cell) for name, cell in named if name and "≥" not in name}
            return {name: float(match[1].replace(",", "")) for name, match in found.items() if match}
    raise LookupError(f"{section}: no row {collection} {recall or ''}")


def drawn(first: str, times: dict[str, float], second: str, sizes: dict[str, float], what: str) -> str:
    height = 92 + 34 * max(len(times), len(sizes))
    bars = panel(first, times, 24) + panel(second, sizes, 474)
    said = "; ".join(
        f"{title}: {', '.join(f'{n} {v:g}' for n, v in values.items())}"
        for title, values in ((first, times), (second, sizes))
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" role="img" aria-labelledby="t d">
  <title id="t">Query time and index size of lsr and other engines</title>
  <desc id="d">{what}. {said}.</desc>
  <style>{STYLE}  </style>
  <rect class="ground" x="1" y="1" width="898" height="{height - 2}" rx="10"/>
{bars}  <text class="small" x="24" y="{height - 16}">{what}; one thread. Lower is better.</text>
</svg>
"""


def panel(title: str, values: dict[str, float], left: int) -> str:
    lines = [f'  <text class="title" x="{left}" y="34">{title}</text>\n']
    for at, (name, value) in enumerate(values.items()):
        y, width = 52 + 34 * at, max(2.0, 200 * value / max(values.values()))
        kind = "lsr" if name == "lsr" else "peer"
        weight = ' font-weight="600"' if kind == "lsr" else ""
        lines.append(
            f'  <text x="{left}" y="{y + 16}"{weight}>{name}</text>'
            f'<rect class="{kind}" x="{left + 140}" y="{y}" width="{width:.0f}" height="22" rx="2"/>'
            f'<text x="{left + 150 + width:.0f}" y="{y + 16}"{weight}>{value:,.0f}</text>\n'
        )
    return "".join(lines)


if __name__ == "__main__":
    main()
