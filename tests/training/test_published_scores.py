"""Published scores, converted: what is stored is what was published, and trainings learn from it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from lsr.errors import CollectionError, ParameterError
from lsr.training.published_scores import convert_score_pickle
from lsr.training.stored_scores import StoredScores
from lsr.training.training_config import read_training
from tests.training.trained import log_of, train_here, write_config
from tests.training.written import write_lines

SCORES = {f"q{query}": {f"d{query * 7 + number}": query - number / 4 for number in range(5)} for query in range(9)}


def test_stored_scores_equal_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "scores.pkl", tmp_path / "out"
    source.write_bytes(pickle.dumps(SCORES))
    monkeypatch.setattr("lsr.training.published_scores.GROUPS_PER_PART", 2)
    assert convert_score_pickle(source, out) == (9, 45)
    stored = StoredScores(out)
    [teacher] = stored.teachers
    assert teacher.describe() == {"kind": "published scores", "file": "scores.pkl"}
    for query, scores in SCORES.items():
        assert stored.of_query(query) == scores
    parts = sorted(out.glob("part-*.parquet"))
    assert len(parts) == 5
    first, times = parts[0].read_bytes(), parts[0].stat().st_mtime_ns
    for part in parts[2:]:
        part.unlink()  # as a kill may leave it
    assert convert_score_pickle(source, out) == (9, 45)
    assert parts[0].read_bytes() == first and parts[0].stat().st_mtime_ns == times
    assert StoredScores(out).of_query("q8") == SCORES["q8"]
    source.write_bytes(pickle.dumps({"other": {"d9": 1.0}, **SCORES}))
    with pytest.raises(CollectionError):
        convert_score_pickle(source, out)
    with pytest.raises(ParameterError, match="read and written at the same time"):
        convert_score_pickle(source, source)


def test_a_training_learns_from_them(tmp_path: Path) -> None:
    write_config(tmp_path)
    judged = [line.split("\t") for line in (tmp_path / "data" / "qrels" / "train.tsv").read_text().splitlines()[1:]]
    published, records = {}, []
    for number, (query, positive, _) in enumerate(judged):
        negatives = [f"d{(int(positive[1:]) + step) % 56}" for step in (1, 2, 3)]
        published[query] = {each: (number * 7 + at * 3) % 11 - 4.5 for at, each in enumerate((positive, *negatives))}
        records.append({"query_id": query, "positive_ids": [positive], "negative_ids": negatives})
    (tmp_path / "ce.pkl").write_bytes(pickle.dumps(published))
    convert_score_pickle(tmp_path / "ce.pkl", tmp_path / "ce")
    plain = write_lines(tmp_path / "plain.jsonl", records)
    scored = write_lines(
        tmp_path / "scored.jsonl",
        [
            {
                **each,
                "scores": [published[each["query_id"]][of] for of in (*each["positive_ids"], *each["negative_ids"])],
            }
            for each in records
        ],
    )
    data = f'collection = "{tmp_path / "data"}"\ngroup = 3\nnegatives = '
    losses = 'name = "margin-mse"'
    teacher = f'[teacher]\nscores = ["{tmp_path / "ce"}"]\nnormalize = "none"\nscale = 1'
    train_here(write_config(tmp_path, "steps = 5", data=f'{data}"{scored}"', losses=losses), "records")
    path = write_config(tmp_path, "steps = 5", teacher, data=f'{data}"{plain}"', losses=losses)
    train_here(path, "folder")
    assert log_of(tmp_path / "folder") == log_of(tmp_path / "records")

    path.write_text(path.read_text().replace("scale = 1", "scale = 1\nwhole_batch = true"))
    with pytest.raises(ParameterError, match="so whole_batch cannot be used; remove whole_batch"):
        read_training(path)
    with pytest.raises(ParameterError, match="random negatives have no scores"):
        read_training(write_config(tmp_path, more=teacher, losses=losses))
    records.append({"query_id": judged[0][0], "positive_ids": [judged[0][1]], "negative_ids": ["d50", "d51"]})
    write_lines(plain, records)
    with pytest.raises(CollectionError, match="has no score for query"):
        train_here(write_config(tmp_path, "epochs = 1", teacher, data=f'{data}"{plain}"', losses=losses), "lacking")
