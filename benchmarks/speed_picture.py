"""Draw docs/speed.svg, the first picture of the README, from result files.

    python benchmarks/speed_picture.py [--collection packages] [--recall .95]

Times are of benchmarks/results/search-race.csv, megabytes of search-size.csv. Run it again after they have changed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS = Path(__file__).resolve().parent / "results"
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
    recall = f"0{given.recall}"
    times = numbers("search-race.csv", "microseconds", set=given.collection, recall=recall)
    sizes = numbers("search-size.csv", "MB", set=given.collection)
    sizes = {name: sizes[name] for name in times}
    what = f"{WHAT[given.collection]}, SPLADE vectors"
    picture = drawn(f"Query time in µs at recall@10 ≥ {given.recall}", times, "Index size on disk in MB", sizes, what)
    (DOCS / "speed.svg").write_text(picture)
    print(times, sizes)


def numbers(table: str, column: str, **chosen: str) -> dict[str, float]:
    """Engine -> number, of the lines of a result file that have the chosen values."""
    with (RESULTS / table).open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if chosen.items() <= line.items()]
    return {line["engine"]: float(line[column]) for line in lines if line[column].replace(".", "").isdigit()}


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
