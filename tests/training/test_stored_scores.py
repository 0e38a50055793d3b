"""Teachers' scores on disk: looked up, killed and gone on with, damaged, of other teachers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lsr.errors import CollectionError, LsrError, ParameterError, StorageError, VectorsError
from lsr.training.distillation import Ensemble
from lsr.training.stored_scores import StoredScores, store_scores
from tests.processes import start_python
from tests.training.teachers import Letters, Texts, texts

GROUPS = [texts("abc"[i % 3] + str(i), *("abc" * (i % 4 + n) for n in range(1 + i % 3))) for i in range(50)]


def store(teachers: Sequence[Letters], groups: object, folder: Path) -> int:
    return store_scores(teachers, iter(groups), folder, groups_per_part=20)  # type: ignore[call-overload, no-any-return]


def test_every_pair_is_found_again(tmp_path: Path) -> None:
    teachers = (Letters(), Letters(-2.5))
    assert store(teachers, GROUPS, tmp_path) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"part-0000{part}.parquet" for part in range(3)]
    stored = StoredScores(tmp_path)
    assert [teacher.describe() for teacher in stored.teachers] == [teacher.describe() for teacher in teachers]
    for number, teacher in enumerate(teachers):
        for group in GROUPS:
            expected = dict(zip(group.document_ids, teacher.scores([group]).tolist(), strict=True))
            assert stored.of_query(group.query_id, number) == expected
    assert stored.of_query("nobody") == {}


def test_an_ensemble_of_stored_teachers_is_one_of_the_teachers(tmp_path: Path) -> None:
    teachers = (Letters(), Letters(-2.5))
    store(teachers, GROUPS, tmp_path)
    for group in GROUPS:
        drawn = Texts(*group[:2], group.document_ids[-2:][::-1], group.documents[-2:][::-1])
        found = Ensemble(StoredScores(tmp_path).teachers).scores([drawn])
        assert found.tolist() == Ensemble(teachers).scores([drawn]).tolist()


def test_a_query_may_have_several_groups(tmp_path: Path) -> None:
    store([Letters()], [texts("a", "a", "aa"), texts("b", "b"), texts("a", "aaa", "aa")], tmp_path)
    stored = StoredScores(tmp_path)
    assert stored.of_query("id of a") == {"id of a": 1, "id of aa": 2, "id of aaa": 3}
    assert stored.teachers[0].scores([texts("a", "aaa", "a")]).tolist() == [3, 1]


def test_pairs_that_were_not_scored_are_named(tmp_path: Path) -> None:
    store([Letters()], [texts("a", "a"), texts("b", "b")], tmp_path)
    (teacher,) = StoredScores(tmp_path).teachers
    assert teacher.scores([texts("a", "a"), texts("b", "b")]).tolist() == [1, 1]
    with pytest.raises(CollectionError, match="'id of b' has no score for query 'id of a'"):
        teacher.scores([texts("a", "a"), texts("b", "b")], whole_batch=True)
    with pytest.raises(CollectionError, match="has no score for query 'c'"):
        Ensemble((teacher,)).score(["c"], [["a"]])


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_goes_on_after_the_last_complete_part(tmp_path: Path, failure: type[BaseException]) -> None:
    def stopped() -> Iterator[Texts]:
        yield from GROUPS[:45]
        raise failure

    with pytest.raises(failure):
        store([Letters()], stopped(), tmp_path)
    teacher = Letters()
    assert store([teacher], GROUPS, tmp_path) == 50
    assert teacher.scored == sum(len(group.documents) for group in GROUPS[40:])
    assert StoredScores(tmp_path).of_query(GROUPS[49].query_id)


def test_a_killed_process_leaves_complete_parts(tmp_path: Path) -> None:
    process = start_python(
        """
import sys, time
from lsr.training.stored_scores import store_scores
from tests.training.test_stored_scores import GROUPS
from tests.training.teachers import Letters

def slowly():
    for number, group in enumerate(GROUPS):
        if number == 45:
            print("now", flush=True)
            time.sleep(60)
        yield group

store_scores([Letters()], slowly(), sys.argv[1], groups_per_part=20)
""",
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    with pytest.raises(StorageError, match="another process"):
        store([Letters()], GROUPS, tmp_path)
    process.kill()
    process.communicate()
    teacher = Letters()
    assert store([teacher], GROUPS, tmp_path) == 50
    assert teacher.scored == sum(len(group.documents) for group in GROUPS[40:])


def test_a_damaged_part_and_what_follows_is_scored_again(tmp_path: Path) -> None:
    store([Letters()], GROUPS, tmp_path)
    part = tmp_path / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:300])
    with pytest.raises(CollectionError, match="part-00001"):
        StoredScores(tmp_path)
    teacher = Letters()
    store([teacher], GROUPS, tmp_path)
    assert teacher.scored == sum(len(group.documents) for group in GROUPS[20:])
    assert StoredScores(tmp_path).of_query(GROUPS[25].query_id)


def test_no_damaged_byte_goes_unnoticed(tmp_path: Path) -> None:
    store([Letters()], GROUPS[:20], tmp_path)
    expected = [Letters().scores([group]).tolist() for group in GROUPS[:20]]
    part = tmp_path / "part-00000.parquet"
    content = part.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        part.write_bytes(damaged)
        try:
            stored = StoredScores(tmp_path)
            found = [list(stored.of_query(group.query_id).values()) for group in GROUPS[:20]]
        except LsrError:
            continue
        assert found == expected or stored.teachers[0].describe() != Letters().describe(), position


def test_parts_that_are_too_many_go(tmp_path: Path) -> None:
    store([Letters()], GROUPS, tmp_path)
    (tmp_path / "part-00000.parquet").write_bytes(b"")
    store([Letters()], GROUPS[:20], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["part-00000.parquet"]


@pytest.mark.parametrize(
    "changed",
    [
        GROUPS[:15],
        [GROUPS[1], GROUPS[0], *GROUPS[2:]],
        [Texts(GROUPS[0].query_id, "another", *GROUPS[0][2:]), *GROUPS[1:]],
        [Texts(*GROUPS[0][:3], ("another",)), *GROUPS[1:]],
        [Texts(*GROUPS[0][:2], ("another",), GROUPS[0].documents), *GROUPS[1:]],
    ],
)
def test_other_groups_are_refused(tmp_path: Path, changed: list[Texts]) -> None:
    store([Letters()], GROUPS, tmp_path)
    with pytest.raises(CollectionError, match="groups 1 to 20 differ from those"):
        store([Letters()], changed, tmp_path)


def test_other_teachers_are_refused(tmp_path: Path) -> None:
    store([Letters()], GROUPS, tmp_path)
    for others in ([Letters(2.0)], [Letters(), Letters()]):
        with pytest.raises(CollectionError, match="other teachers"):
            store(others, GROUPS, tmp_path)
    store([Letters(2.0)], GROUPS, tmp_path / "other")
    (tmp_path / "other" / "part-00001.parquet").rename(tmp_path / "part-00001.parquet")
    with pytest.raises(CollectionError, match="part-00001.*other teachers"):
        StoredScores(tmp_path)


def test_scores_in_british_spelling_are_read_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Letters, "describe", lambda self: {"normalise": True})
    store([Letters()], GROUPS[:40], tmp_path)
    assert StoredScores(tmp_path).teachers[0].describe() == {"normalize": True}
    monkeypatch.setattr(Letters, "describe", lambda self: {"normalize": True})
    teacher = Letters()
    assert store([teacher], GROUPS, tmp_path) == 50
    assert teacher.scored == sum(len(group.documents) for group in GROUPS[40:])
    assert StoredScores(tmp_path).of_query(GROUPS[49].query_id)


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"notes\.txt"):
        store([Letters()], GROUPS, tmp_path)
    with pytest.raises(CollectionError, match="part-00000"):
        StoredScores(tmp_path)
    file = tmp_path / "notes.txt"
    with pytest.raises(StorageError):
        store([Letters()], GROUPS, file)


def test_groups_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="group 2: query 'id of b' has no documents"):
        store([Letters()], [texts("a", "a"), texts("b")], tmp_path)
    with pytest.raises(VectorsError, match="1 ids for 2"):
        store([Letters()], [Texts("q", "q", ("one",), ("a", "b"))], tmp_path)
    with pytest.raises(VectorsError, match="surrogate"):
        store([Letters()], [Texts("\ud800", "q", ("one",), ("a",))], tmp_path)
    with pytest.raises(ParameterError, match="no teacher"):
        store([], GROUPS, tmp_path)
    with pytest.raises(ParameterError, match="rows of a part is 0"):
        store_scores([Letters()], GROUPS, tmp_path, groups_per_part=0)


def test_nothing_to_score(tmp_path: Path) -> None:
    assert store([Letters()], [], tmp_path) == 0
