"""The panels of --help: options by purpose."""

OUTPUT = "Output"

# Panel -> parameters. COMMAND.parameter is a parameter that has another purpose in that command.
_PANELS = {
    "Search": "k only where side query_cut heap_factor max_blocks knn exact recall budget_us search.queries "
    "why.queries",
    "Feedback": "feedback feedback_depth feedback_terms alpha beta gamma negatives",
    "Sparse and dense together": "interpolate fusion weight normalize missing fusion_depth",
    "Documents": "id text title passages overlap from_file delete_missing",
    "Collection": "queries split same_id offline_data index.id index.text index.title",
    "Encoder": "encoder by top_k dense query_backbone idf query frequency_scale k1 b tokenizer max_length "
    "long_documents stride prune_documents prune_queries dtype card build.seed",
    "Index": "dense_index metric block_size summary_energy layout index.knn index.shards",
    "Measures": "measures qrels test",
    "Negatives": "depth skip_top mine.negatives max_score_ratio relevant also mine.seed",
    "Teachers": "dense_teacher sparse_teacher cross_teacher mine.normalize scale",
    "Training": "seeds steps variants",
    "Server": "host port read_keys write_keys allow_anonymous cors deadline_ms most_requests most_bytes most_k "
    "most_characters most_documents cluster replicas",
    "Machine": "threads memory batch_size device",
    OUTPUT: "format export.scale import.documents json "
    "explain facet plot per_query run tag output plan index against inspect.k update.dry_run",
}
PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names.split()}


def panel(command: str | None, parameter: str | None) -> str | None:
    """The panel in which --help shows this option of a command; None for the default panel."""
    return PANEL_OF.get(f"{command}.{parameter}", PANEL_OF.get(parameter or ""))
