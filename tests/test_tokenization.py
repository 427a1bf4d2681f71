"""Tokens: the tokenizer's own, shortened where they should be, and kept by what they depend on."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from lib import tokenization
from lib.backbones import EMBEDDED, load_tokenizer, resolve_backbone
from lib.data import load_corpus
from lib.errors import InputError
from lib.models import build_model, reads_pairs
from lib.runs.config import RunConfig
from lib.runs.keys import tokens_of
from lib.runs.store import store
from lib.tokenization import encode, shorten, tokenize
from tests.conftest import WORDS

PAIRS = [(" ".join(WORDS[:n]), " ".join(WORDS[5 : 5 + m])) for n, m in ((3, 4), (9, 2), (1, 12))]


def test_encoding_is_the_tokenizers_own(tiny):
    texts = ["kana", "kana kabe nuna " * 20, "unknown words here"]
    for backbone in (EMBEDDED, tiny["roberta"]):
        ids, mask, lengths = encode(texts, backbone, max_length=12)
        tokenizer = AutoTokenizer.from_pretrained(resolve_backbone(backbone))
        wanted = tokenizer(texts, truncation=True, max_length=12)["input_ids"]
        assert [row[m.bool()].tolist() for row, m in zip(ids, mask, strict=True)] == wanted
        assert (ids[mask == 0] == tokenizer.pad_token_id).all()
        assert lengths.tolist() == [len(tokenizer(text)["input_ids"]) for text in texts]
        assert ids.dtype == mask.dtype == torch.int32 and ids.shape == (3, 12)


@pytest.mark.parametrize("texts", [["kana", "kabe " * 20, "", "nuna na"], PAIRS, []])
def test_documents_in_portions_have_the_same_tokens(tiny, monkeypatch, texts):
    how = {"max_length": 12, "truncation": "tail"}
    whole = encode(texts, tiny["bert"], **how)
    monkeypatch.setattr(tokenization, "CHUNK", 2)
    portions = encode(texts, tiny["bert"], **how)
    assert len(whole[0]) == len(texts) and all(map(np.array_equal, whole, portions))


def test_what_cannot_be_encoded_so(tiny):
    with pytest.raises(InputError, match="max_length is 100; the backbone .* reads 3 to 64 tokens"):
        encode(["kana"], tiny["bert"], max_length=100)
    with pytest.raises(InputError, match="Unknown truncation 'heads'. Did you mean head"):
        encode(["kana"], tiny["bert"], max_length=8, truncation="heads")
    with pytest.raises(InputError, match="'head_tail' is for single texts"):
        encode(PAIRS, tiny["bert"], max_length=12, truncation="head_tail")


@pytest.mark.parametrize(("kind", "longest"), [("bert", 70), ("roberta", 68), ("distilbert", 70)])
def test_the_table_of_positions_limits_a_tokenizer_that_names_no_limit(
    tiny, tmp_path, kind, longest
):
    backbone = shutil.copytree(tiny[kind], tmp_path / kind)
    settings = json.loads((backbone / "tokenizer_config.json").read_text(encoding="utf-8"))
    del settings["model_max_length"]
    (backbone / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    text = " ".join(WORDS) * 3
    ids, mask, _ = encode([text], backbone, max_length=longest)
    assert build_model(backbone, num_labels=2)(ids, mask).isfinite().all()
    with pytest.raises(InputError, match=f"is {longest + 1}; .* reads 3 to {longest} tokens$"):
        encode([text], backbone, max_length=longest + 1)


def test_truncation_keeps_the_right_end(tiny):
    body = list(range(20))
    assert shorten(body, 8, "head") == body[:8] and shorten(body, 8, "tail") == body[-8:]
    assert shorten(body, 12, "head_tail") == [0, 1, 2, *range(11, 20)]
    assert all(shorten(body, 30, way) == body for way in ("head", "tail", "head_tail"))
    text = " ".join(WORDS[:20])
    words = encode([text], tiny["bert"], max_length=22)[0][0].tolist()
    head = encode([text], tiny["bert"], max_length=8)[0][0].tolist()
    tail = encode([text], tiny["bert"], max_length=8, truncation="tail")[0][0].tolist()
    assert head == words[:7] + words[-1:] and tail == words[:1] + words[-7:]


def test_what_a_call_of_the_tokenizer_leaves_does_not_shorten(tiny):
    text = " ".join(WORDS[:20])
    before = encode([text], tiny["bert"], max_length=16)
    tokenizer = load_tokenizer(resolve_backbone(tiny["bert"]))
    tokenizer([text], truncation=True, max_length=5, padding="max_length")
    after = encode([text], tiny["bert"], max_length=16)
    assert torch.equal(after[0], before[0]) and after[2].tolist() == before[2].tolist() == [22]


def test_pairs_are_encoded_as_transformers_does(tiny):
    wanted = AutoTokenizer.from_pretrained(tiny["bert"])
    ids, mask, lengths = encode(PAIRS, tiny["bert"], max_length=12)
    for row, (a, b) in enumerate(PAIRS):
        alone = wanted(a, b, truncation="longest_first", max_length=12)["input_ids"]
        assert ids[row][mask[row].bool()].tolist() == alone
        assert lengths[row] == len(wanted(a, b)["input_ids"])
    ours = load_tokenizer(resolve_backbone(tiny["bert"])).backend_tokenizer
    assert ours.truncation is None  # as it was before
    tails = encode(PAIRS, tiny["bert"], max_length=12, truncation="tail")[0]
    assert [torch.equal(a, b) for a, b in zip(tails, ids, strict=True)] == [True, False, False]


def test_a_model_tells_a_pairs_texts_apart(tiny):
    ids, mask, _ = encode(PAIRS, tiny["bert"], max_length=12)
    model = build_model(tiny["bert"], head="cls", num_labels=2).eval()
    reads_pairs(model, tiny["bert"])
    assert model.separator is not None  # a BERT has two kinds of tokens
    kinds = model._segments(ids)["token_type_ids"]
    first_end = (ids == model.separator).int().argmax(1)
    for row, end in enumerate(first_end):
        assert (kinds[row, : end + 1] == 0).all() and (kinds[row, end + 1 :] == 1).all()
    swapped = encode([(b, a) for a, b in PAIRS], tiny["bert"], max_length=12)[:2]
    assert not torch.allclose(model(ids, mask), model(*swapped))


def test_a_corpus_as_tensors(tiny, folder):
    corpus = load_corpus(str(folder), dev_rows=12)
    tokens = tokenize(corpus, tiny["bert"], max_length=8, truncation="tail")
    for name in ("train", "dev", "test"):
        split = getattr(corpus, name)
        ids, mask, lengths = encode(split.texts, tiny["bert"], max_length=8, truncation="tail")
        tensors = getattr(tokens, name).tensors
        assert torch.equal(tensors[0], ids) and torch.equal(tensors[1], mask)
        assert tensors[2].dtype == torch.int32
        assert tensors[2].tolist() == split.labels.tolist()
        assert tokens.lengths[name].tolist() == lengths.tolist()
        longer = [len(text.split()) + 2 > 8 for text in split.texts]
        assert tokens.truncated(name) == pytest.approx(np.mean(longer)) and any(longer)


def test_a_cache_can_be_put_around_the_encoding(tiny, folder):
    corpus = load_corpus(str(folder), dev_rows=12)
    calls = []

    def recording(texts, backbone, **options):
        calls.append((len(texts), backbone, options))
        return encode(texts, backbone, **options)

    options = {"max_length": 8, "truncation": "head"}
    tokens = tokenize(corpus, tiny["bert"], **options, encode_texts=recording)
    assert calls == [(rows, tiny["bert"], options) for rows in (48, 12, 21)]
    plain = tokenize(corpus, tiny["bert"], max_length=8)
    assert torch.equal(tokens.train.tensors[0], plain.train.tensors[0])


def test_the_store_keeps_tokens_by_what_they_depend_on(tiny, folder):
    config = RunConfig(dataset=str(folder), dev_rows=12, backbone=tiny["bert"], max_length=16)

    def files():
        return {file: file.stat().st_mtime_ns for file in (store() / "tokens").iterdir()}

    first = tokens_of(config)
    before = files()
    second = tokens_of(config)
    assert files() == before and len(before) == 3
    assert all(
        torch.equal(a, b) for a, b in zip(first.train.tensors, second.train.tensors, strict=True)
    )
    assert first.lengths["test"].tolist() == second.lengths["test"].tolist()
    changes = [{"max_length": 8}, {"truncation": "tail"}, {"backbone": tiny["roberta"]}]
    for count, change in enumerate(changes, 2):
        tokens_of(config.with_(**change))
        assert len(files()) == 3 * count
