"""The same few documents in every form that as_documents reads."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

DAY = dt.date(2024, 2, 29)
TIME = dt.datetime(2024, 2, 29, 12, 30, 5, 250_000)
TABLE = pa.table(
    {
        "id": pa.array(["a", "b", "c"]),
        "title": pa.array(["Tides", None, "Salt"]),
        "text": pa.array(['the "sea",\nat night', "über alles 海", "a\tb"]),
        "year": pa.array([2020, None, -3], pa.int64()),
        "price": pa.array([1.5, 2.0, None], pa.float64()),
        "sold": pa.array([True, False, None], pa.bool_()),
        "day": pa.array([DAY, None, DAY], pa.date32()),
        "seen": pa.array([TIME, TIME, None], pa.timestamp("us")),
        "zip": pa.array(["007", "12", "3"]),
    }
)
NESTED = TABLE.append_column("tags", pa.array([["x", "y"], [], None], pa.list_(pa.string()))).append_column(
    "of",
    pa.array([{"n": 1, "s": "x"}, None, {"n": None, "s": "y"}], pa.struct([("n", pa.int64()), ("s", pa.string())])),
)


def pdf(text: str, title: str | None = None) -> bytes:
    """A PDF of one page with one line of text."""
    stream = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Title (%s) >>" % (title or "").encode(),
    ]
    content, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    content += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    info = b"" if title is None else b" /Info 5 0 R"
    return content + b"trailer << /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        info,
        content.index(b"xref\n0"),
    )


def write_sources(folder: Path) -> list[Path]:
    """One file of every kind, valid."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.from_arrow(TABLE)
    assert isinstance(frame, pl.DataFrame)
    frame.write_csv(folder / "d.csv")
    frame.write_csv(folder / "d.tsv", separator="\t")
    (folder / "d.csv.gz").write_bytes(gzip.compress((folder / "d.csv").read_bytes()))
    lines = frame.select("id", "title", "text", "price", "zip").write_ndjson()
    (folder / "d.jsonl").write_text(lines)
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(NESTED, folder / "d.parquet")
    for name, new in (("d.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with new(str(folder / name), NESTED.schema) as writer:
            writer.write_table(NESTED)
    (folder / "p.md").write_text(
        "---\ntitle: T\nyear: 2020\ntags: [x, 'y z']\n---\n# H\n\nSome *text* here.\n\n- one\n"
    )
    (folder / "p.html").write_text("<title>T</title><nav>menu</nav><h1>T</h1><p>pa<b>ra</b><script>x</script><p>two")
    (folder / "p.txt").write_text("plain text of a page")
    (folder / "p.pdf").write_bytes(pdf("Hello tides", "Title"))
    return sorted(folder.iterdir())
