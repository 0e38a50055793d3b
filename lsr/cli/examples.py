"""The examples that --help shows for each command. tests/cli/test_help.py parses all of them."""

EXAMPLES = {
    "index": (
        "lsr index scifact scifact.index --encoder tiny",
        "lsr index 'news/**/*.md' news.index --encoder bm25",
        "lsr index faq.csv faq.index --encoder bm25 --text answer",
        "lsr index scifact scifact.index --dense minilm",
        "lsr index scifact deepct.index --encoder deepct/encoder --frequency-scale 100",
    ),
    "add": (
        "lsr add notes.index notes/new.md",
        "lsr add faq.index faq.csv --id number --text answer",
    ),
    "update": (
        "lsr update notes.index notes/sub/coffee.md",
        "lsr update notes.index notes/ --delete-missing --dry-run",
        "lsr update products.index products.parquet",
    ),
    "delete": (
        "lsr delete notes.index new.md old.md",
        "lsr delete products.index --from gone.txt",
    ),
    "search": (
        'lsr search scifact.index "vitamin D and bone density" -k 5 --explain',
        'lsr search scifact.index "bone density" --interpolate after --weight 0.3',
    ),
    "serve": (
        "lsr serve scifact.index",
        "lsr serve scifact.index notes.index --port 9000",
    ),
    "mcp": (
        "lsr mcp scifact.index",
        "lsr mcp notes.index --device cpu",
    ),
    "why": (
        'lsr why scifact.index "vitamin D and bone density" 4983',
        'lsr why scifact.index "bone density" 4983 --max-blocks 20',
    ),
    "info": (
        "lsr info scifact.index",
        "lsr info scifact.index --verify",
    ),
    "check": (
        "lsr check scifact.index",
        "lsr check scifact.index --json",
    ),
    "repair": (
        "lsr repair scifact.index --dry-run",
        "lsr repair scifact.index",
    ),
    "tune": (
        "lsr tune scifact.index --queries scifact --recall 0.97",
        "lsr tune scifact.index --queries queries.tsv --plot recall.svg",
    ),
    "merge": (
        "lsr merge scifact.index",
        "lsr merge scifact.index --all --memory 2GB",
    ),
    "upgrade": (
        "lsr upgrade scifact.index",
        "lsr upgrade scifact.index --json",
    ),
    "run": (
        "lsr run scifact.index scifact scifact.run",
        "lsr run scifact.index queries.tsv my.run.gz -k 100 --feedback rocchio",
    ),
    "evaluate": (
        "lsr evaluate scifact.index scifact",
        "lsr evaluate scifact.run scifact/qrels/test.tsv --measures nDCG@10,R@100",
    ),
    "compare": (
        "lsr compare bm25.run tiny.run --qrels scifact",
        "lsr compare bm25.run tiny.run --qrels scifact --plot differences.svg",
    ),
    "experiment": (
        "lsr experiment experiment.toml --plan",
        "lsr experiment experiment.toml --offline-data collections",
    ),
    "encoders": (
        "lsr encoders",
        "lsr encoders splade-v3",
    ),
    "inspect": (
        'lsr inspect tiny "what causes high blood pressure"',
        'lsr inspect tiny "salt raises blood pressure" --against "why is salt bad"',
    ),
    "verify": (
        "lsr verify tiny",
        "lsr verify ./my-copy --card naver/splade-v3",
    ),
    "encode": (
        "lsr encode scifact scifact.vectors --encoder tiny",
        "lsr encode scifact queries.npz --encoder tiny --queries --split test",
    ),
    "expand": (
        "lsr expand scifact scifact-expanded --by tiny",
        "lsr expand msmarco-passage msmarco-expanded --by tilde/encoder",
    ),
    "build": (
        "lsr build splade-max bert-base-uncased my-encoder",
        "lsr build opensearch-doc-v2-distill tiny my-encoder --idf scifact",
    ),
    "refit": (
        "lsr refit bm25.index",
        "lsr refit bm25.index --memory 4GB",
    ),
    "attach": (
        "lsr attach vectors.index --encoder tiny",
        "lsr attach vectors.index --texts scifact",
    ),
    "export": (
        "lsr export scifact.index scifact.ciff.gz --format ciff",
        "lsr export scifact.index scifact.jsonl --format anserini --scale 100",
    ),
    "import": (
        "lsr import robust04.ciff.gz robust04.vectors --format ciff",
        "lsr import docs.jsonl splade.vectors --format seismic --documents t.jsonl",
    ),
    "scores": (
        "lsr scores cross-encoder-ms-marco-MiniLM-L-6-v2-scores.pkl.gz ce-scores",
        "lsr scores scores.pkl ce-scores --json",
    ),
    "mine": (
        "lsr mine scifact.index scifact negatives.jsonl.gz",
        "lsr mine bm25.index scifact negatives.jsonl --depth 100 --skip-top 5",
    ),
    "train": (
        "lsr train small/splade-max out",
        "lsr train training.toml out --offline-data collections",
    ),
    "reproduce": (
        "lsr reproduce inference-free",
        "lsr reproduce teachers results --seeds 1 --steps 100",
    ),
    "demo": (
        "lsr demo",
        "lsr demo --encoder bm25 -k 5",
    ),
    "new": (
        "lsr new my-project",
        "lsr new .",
    ),
    "doctor": (
        "lsr doctor",
        "lsr doctor --json > machine.json",
    ),
    "warmup": (
        "lsr warmup",
        "NUMBA_CACHE_DIR=/var/cache/lsr lsr warmup",
    ),
}
