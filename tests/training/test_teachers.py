"""Teachers with networks against plain transformers code and the encoders that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from lsr.encoders.load import load_encoder
from lsr.errors import EncoderError, ParameterError
from lsr.training.distillation import SCALE
from lsr.training.start import OpenTeachers, open_teachers
from lsr.training.teachers import CrossEncoder, DenseTeacher, RowCache, SparseTeacher
from lsr.training.training_config import TeacherConfig
from tests.encoders.models import write_model
from tests.training.teachers import texts, write_cross_encoder

GROUPS = [
    texts("alpha beta", "the sea of gamma", "run", "alpha alphas"),
    texts("sea", "alpha", "the sea of gamma", ""),
    texts("alpha beta", "run", "running " * 60, "é"),
]


class Vectors:
    """A dense encoder of two components: the numbers of letters and of spaces, queries with one more of each."""

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self.asked: list[str] = []

    def encode_documents(self, documents: Sequence[str]) -> np.ndarray:
        self.encoded += documents
        return np.array([self._row(text, 0) for text in documents], np.float32)

    def encode_queries(self, queries: Sequence[str]) -> np.ndarray:
        self.asked += queries
        return np.array([self._row(text, 1) for text in queries], np.float32)

    def describe(self) -> dict[str, Any]:
        return {"kind": "vectors"}

    @staticmethod
    def _row(text: str, more: int) -> list[float]:
        return [len(text) - text.count(" ") + more, text.count(" ") + more]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("cross"))


@pytest.fixture(scope="module")
def sparse_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("sparse"))


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    # What load_file gives is mapped from the file, which is about to change.
    weights = {**{key: each.clone() for key, each in load_file(path).items()}, **changes}
    save_file({key: each for key, each in weights.items() if each is not None}, path, {"format": "pt"})


def pairs(whole_batch: bool) -> list[tuple[str, str]]:
    everything = [document for group in GROUPS for document in group.documents]
    return [(each.query, document) for each in GROUPS for document in (everything if whole_batch else each.documents)]


@pytest.mark.parametrize("whole_batch", [False, True])
@pytest.mark.parametrize("cosine", [False, True])
def test_dense_scores_are_products_of_vectors(whole_batch: bool, cosine: bool) -> None:
    encoder: Any = Vectors()
    found = DenseTeacher(encoder, cosine).scores(GROUPS, whole_batch)
    expected = []
    for query, document in pairs(whole_batch):
        q, d = encoder.encode_queries([query])[0], encoder.encode_documents([document])[0]
        lengths = np.linalg.norm(q) * np.linalg.norm(d)
        expected.append((q @ d) / (lengths or 1) if cosine else q @ d)
    assert found == pytest.approx(np.array(expected), rel=1e-5)


@pytest.mark.parametrize("whole_batch", [False, True])
def test_sparse_scores_are_products_of_vectors(sparse_encoder: Path, whole_batch: bool) -> None:
    encoder = load_encoder(sparse_encoder)
    teacher = SparseTeacher(encoder)
    expected = [
        (encoder.encode_queries([query]).to_dense() * encoder.encode_documents([document]).to_dense()).sum()
        for query, document in pairs(whole_batch)
    ]
    for _ in range(2):  # the second time from kept vectors
        assert teacher.scores(GROUPS, whole_batch) == pytest.approx(np.array(expected), rel=1e-4, abs=1e-5)
    assert teacher.describe() == encoder.describe()


def test_texts_are_encoded_once() -> None:
    encoder: Any = Vectors()
    teacher = DenseTeacher(encoder)
    teacher.scores(GROUPS)
    distinct = {document for group in GROUPS for document in group.documents}
    assert sorted(encoder.encoded) == sorted(distinct)
    teacher.scores([*GROUPS[:1], texts("x", "new", "run", "newer")])
    assert encoder.encoded[len(distinct) :] == ["new", "newer"]
    assert encoder.asked == ["alpha beta", "sea", "x"]


def test_trainings_share_the_teachers_that_are_open(sparse_encoder: Path, cross_encoder: Path) -> None:
    opened: OpenTeachers = {}
    both = TeacherConfig(sparse=(str(sparse_encoder),), cross=(str(cross_encoder),), scale=2.0)
    first = open_teachers(both, "cpu", opened)
    second = open_teachers(TeacherConfig(cross=both.cross), "cpu", opened)
    assert [id(each) for each in opened.values()] == [id(each) for each in first.teachers]
    assert second.teachers == first.teachers[1:]
    assert (first.scale, second.scale) == (2.0, SCALE)


def test_rows_that_were_used_last_are_kept() -> None:
    encoded: list[list[str]] = []

    def encode(some: list[str]) -> list[tuple[np.ndarray, ...]]:
        encoded.append(some)
        return [(np.full(8, ord(text), np.uint8),) for text in some]

    cache = RowCache(encode, most_bytes=27)  # three rows of 8 bytes, each with a letter
    for wanted in (["a", "b", "c"], ["a"], ["d", "a"], ["b"], ["a", "b", "c", "d"], []):
        assert [row[0].tolist() for row in cache.rows(wanted)] == [[ord(text)] * 8 for text in wanted]
    assert encoded == [["a", "b", "c"], ["d"], ["b"], ["c"]]
    for _ in range(2):
        assert len(RowCache(encode, 0).rows(["a", "b"])) == 2


@pytest.mark.parametrize("whole_batch", [False, True])
def test_cross_encoders_equal_transformers(cross_encoder: Path, whole_batch: bool) -> None:
    found = CrossEncoder(str(cross_encoder)).scores(GROUPS, whole_batch)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(cross_encoder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(cross_encoder)
    expected = []
    for query, document in pairs(whole_batch):
        inputs = tokenizer([query], [document], truncation=True, max_length=48, return_tensors="pt")
        with torch.no_grad():
            expected.append(model(**inputs).logits.item())
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array(expected), rel=1e-4, abs=1e-5)
    assert len({*found.round(4).tolist()}) > 5  # that the texts are read at all


def test_cross_encoders_equal_sentence_transformers(cross_encoder: Path) -> None:
    import sentence_transformers

    found = CrossEncoder(str(cross_encoder), max_length=20).scores(GROUPS)
    theirs = sentence_transformers.CrossEncoder(
        str(cross_encoder), max_length=20, device="cpu", activation_fn=torch.nn.Identity()
    )
    assert found == pytest.approx(theirs.predict(pairs(False)), rel=1e-4, abs=1e-5)


def test_types_of_tokens_tell_query_and_document_apart(cross_encoder: Path) -> None:
    teacher = CrossEncoder(str(cross_encoder))
    one, other = teacher.scores([texts("sea", "run"), texts("run", "sea")])
    assert abs(one - other) > 1e-3
    tokens = teacher._network.tokenize(["sea"], ["run"])
    assert tokens[0][1].tolist() == [0, 0, 0, 1, 1]


def test_lengths_are_bounded(cross_encoder: Path) -> None:
    assert CrossEncoder(str(cross_encoder)).max_length == 48
    assert CrossEncoder(str(cross_encoder), max_length=99).max_length == 48
    short = CrossEncoder(str(cross_encoder), max_length=9)
    assert short.describe() == {
        "kind": "cross-encoder",
        "name": str(cross_encoder),
        "dtype": "float32",
        "max_length": 9,
    }
    assert short.scores([texts("run " * 99, "sea " * 99)]).shape == (1,)
    with pytest.raises(ParameterError, match="at least 5"):
        CrossEncoder(str(cross_encoder), max_length=4)
    with pytest.raises(ParameterError, match="max_length"):
        CrossEncoder(str(cross_encoder), max_length=0)


def test_bfloat16_is_close(cross_encoder: Path) -> None:
    exact = CrossEncoder(str(cross_encoder)).scores(GROUPS)
    short = CrossEncoder(str(cross_encoder), dtype="bfloat16").scores(GROUPS)
    assert short == pytest.approx(exact, abs=0.3)
    assert short.tolist() != exact.tolist()


def test_models_other_than_cross_encoders_are_refused(tmp_path: Path, sparse_encoder: Path) -> None:
    with pytest.raises(EncoderError, match="it has 3 labels"):
        CrossEncoder(str(write_cross_encoder(tmp_path / "three", labels=3)))
    with pytest.raises(EncoderError, match="lacks 4 weights .*one label"):
        CrossEncoder(str(sparse_encoder))
    with pytest.raises(EncoderError, match="no such encoder"):
        CrossEncoder(str(tmp_path / "nowhere"))
    damaged = write_cross_encoder(tmp_path / "damaged")
    change_weights(damaged, **{"classifier.weight": None})
    with pytest.raises(EncoderError, match="lacks 1 weights .*classifier.weight"):
        CrossEncoder(str(damaged))
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EncoderError, match="cannot be loaded"):
        CrossEncoder(str(damaged))


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="a pickle"):
        CrossEncoder(str(folder))


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path)
    change_weights(folder, **{"classifier.bias": torch.tensor([float("nan")])})
    with pytest.raises(EncoderError, match="NaN or infinite"):
        CrossEncoder(str(folder)).scores(GROUPS)
