"""Long texts that are cut before they are tokenized, beside the same texts tokenized whole."""

from __future__ import annotations

import random

import pytest
from tokenizers import Encoding, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from lsr import load_dense_encoder, load_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.encoders.text_beginnings import TextBeginnings

WORDS = (
    *(
        "tides",
        "the",
        "Moon",
        "naïve",
        "re-use",
        "os.path",
        "e\u0301te",
        "x" * 150,
        "\u200b",
        "!!!",
        "1,500",
        "\u00ad",
    ),
    *("潮汐", "東京", "ﬁne", "</s>", "<mask>", "[MASK]", "Σ", "ผึ้ง", "\x00", "'s", "don't", "\U0001f30a"),
    *(
        '"word",',
        "...,",
        "“the”",
        "tides…",
        "(the",
        "[the]",
        "a.b,c;d",
        "x<\u0338",
        "\u0600",
        "´",
        "▁",
        "̈,",
        "Σ'",
        "<",
        "MASK]",
    ),
)
GAPS = (
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u3000",
    "\xa0",
    " \u0301",
    "\n\n",
    ",",
    '","',
    "\u200b ",
    "\x85",
    "\x1f",
)


def trained(normalizer, splits, model, trainer) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splits
    texts = [" ".join(WORDS), "".join(f"{word}{gap}" for word, gap in zip(WORDS, GAPS * 3, strict=False))]
    tokenizer.train_from_iterator(texts * 3, trainer)
    return tokenizer


def byte_level() -> Tokenizer:
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<mask>", "</s>"], show_progress=False)
    return trained(normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False), models.BPE(), trainer)


def unigram() -> Tokenizer:
    special = {"special_tokens": ["<unk>", "</s>"], "unk_token": "<unk>"}
    trainer = trainers.UnigramTrainer(vocab_size=120, show_progress=False, **special)
    tokenizer = trained(normalizers.NFKC(), pre_tokenizers.Metaspace(), models.Unigram(), trainer)
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def word_piece() -> Tokenizer:
    return Tokenizer.from_file(str(find_checkpoint("tiny").folder / "tokenizer.json"))


def unsplit() -> Tokenizer:
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    return trained(None, pre_tokenizers.Split("!!!", "isolated"), models.BPE(), trainer)


@pytest.mark.parametrize("make", [byte_level, unigram, word_piece, unsplit])
def test_the_first_tokens_are_those_of_the_whole(make) -> None:
    tokenizer, draw = make(), random.Random(5)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    beginnings, read = TextBeginnings(tokenizer), []

    def tokenize(texts: list[str]) -> list[list[int]]:
        read.append(sum(map(len, texts)))
        return [each.ids for each in tokenizer.encode_batch(texts, add_special_tokens=False)]

    texts = ["".join(draw.choice(WORDS) + draw.choice(GAPS) for _ in range(draw.randrange(400))) for _ in range(150)]
    texts += ["x" * 5000, "  " * 4000, "潮" * 5000, " ".join(["x" * 3000] * 3), ""]
    for wanted in (1, 4, 20):
        whole = [ids[:wanted] for ids in tokenize(texts)]
        read.clear()
        assert [ids[:wanted] for ids in beginnings.tokenize(texts, wanted, tokenize, len)] == whole
        assert make is unsplit or sum(read) < (0.35 if make is word_piece else 0.6) * sum(map(len, texts))


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("the tide rises\n" * 20_000, 5000),
        ("潮" * 300_000, 5000),
        ("x" * 300_000 + " tide", 1000),
        ("x" * 300_000 + "é" + " tide" * 30_000, 5000),
        ("dots..." * 40_000, 5000),
        ('"word", ' * 40_000, 5000),
        ("..., " * 40_000, 5000),
        ('{"a":1,"b":[2,3]}' * 20_000, 5000),
        ("[" * 200_000, 200_000),  # the beginning of [MASK], perhaps: no border that is known to be one
    ],
)
def test_little_is_read_of_a_long_text(monkeypatch: pytest.MonkeyPatch, text: str, most: int) -> None:
    read: list[int] = []
    encode = FolderTokenizer._encode
    tokens = FolderTokenizer(find_checkpoint("tiny").folder)
    expected = tokens._encode([text])[0].ids[:254]

    def counting(self: FolderTokenizer, texts: list[str]) -> list[Encoding]:
        read.extend(map(len, texts))
        return encode(self, texts)

    monkeypatch.setattr(FolderTokenizer, "_encode", counting)
    assert tokens.ids([text], 254) == [expected]
    assert sum(read) <= most


@pytest.mark.parametrize("load", [load_encoder, load_dense_encoder], ids=["sparse", "dense"])
def test_vectors_are_the_same(load) -> None:
    encoder = load("tiny" if load is load_encoder else "minilm", device="cpu")
    texts = ["tides and the moon\n" * 600, "tides", "bee " * 5000, ""]
    found = encoder.encode_documents(texts)
    network = encoder.document_side if isinstance(encoder, SparseEncoder) else encoder._network
    network._beginnings = TextBeginnings(None)
    whole = encoder.encode_documents(texts)
    if isinstance(encoder, SparseEncoder):
        found, whole = found.to_dense(), whole.to_dense()
    assert (found == whole).all()
