"""The originals' faults are what they are said to be, and the clean heads are blind to what
moves the faulty ones."""

import pytest
import torch
from torch.nn import functional as F

from lib import heads
from lib.errors import InputError
from lib.fast.packing import pack
from lib.models import build_model, load_model, save_model
from notebooks import audit, audit_heads
from tests.test_models import batch

CLEAN = ("weighted_average", "lstm")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name, head in audit_heads.padded_heads(24).items():
        monkeypatch.setitem(heads.HEADS, name, head)


def logits(backbone: str, head: str, ids, mask, **options) -> torch.Tensor:
    model = build_model(backbone, head=head, num_labels=3, seed=1, **options).eval()
    if head.startswith("weighted_average"):  # what it has learned: later tokens weigh more
        with torch.no_grad():
            model.head.position.copy_(torch.linspace(0, 20, len(model.head.position)))
    with torch.inference_mode():
        return model(ids, mask)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("head", CLEAN)
def test_only_an_unmasked_head_reads_how_far_and_with_what_documents_are_padded(
    tiny, kind, head, monkeypatch
):
    pad = build_model(tiny[kind], num_labels=3).backbone.config.pad_token_id
    ids, mask = batch([3, 9, 5], pad=pad)
    clean, unmasked, wrong, both = (
        logits(tiny[kind], head + end, ids, mask)
        for end in ("", "_unmasked", "_wrong_pad", "_unmasked_wrong_pad")
    )
    assert (clean - wrong).abs().max() <= 1e-5  # the mask hides what a document is padded with
    assert (clean - unmasked).abs().min(1).values.min() > 1e-5 and (
        unmasked - both
    ).abs().max() > 1e-4
    for name, wider in audit_heads.padded_heads(32).items():  # more padding
        monkeypatch.setitem(heads.HEADS, name, wider)
    assert torch.allclose(logits(tiny[kind], head + "_wrong_pad", ids, mask), wrong, atol=1e-5)
    assert (logits(tiny[kind], head + "_unmasked", ids, mask) - unmasked).abs().max() > 1e-4


@pytest.mark.parametrize("head", CLEAN)
def test_a_masked_head_gives_the_same_to_the_bit_whatever_the_pad_token(tiny, head, monkeypatch):
    ids, mask = batch([3, 9, 5])
    right = type("Right", (heads.HEADS[head + "_wrong_pad"],), {"wrong_pad": False})
    monkeypatch.setitem(heads.HEADS, "right", right)
    right, wrong = (
        build_model(tiny["bert"], head=name, num_labels=3, seed=1)
        for name in ("right", head + "_wrong_pad")
    )
    found = []
    for model in (right, wrong):  # gradients too, with dropout
        torch.manual_seed(0)
        model.train()(ids, mask).square().sum().backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(found[0]) > 10 and all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    read = type("Read", (heads.HEADS[head + "_unmasked"],), {})
    monkeypatch.setitem(heads.HEADS, "read", read)
    names = ("read", head + "_unmasked_wrong_pad")
    one, other = (
        build_model(tiny["bert"], head=name, num_labels=3, seed=1).eval() for name in names
    )
    assert not torch.equal(one(ids, mask), other(ids, mask))


def test_an_unmasked_lstm_ends_after_the_last_padding_step(tiny):
    model = build_model(tiny["bert"], head="lstm_unmasked", num_labels=3, seed=1).eval()
    ids, mask = batch([3, 9, 5])
    with torch.inference_mode():
        wide, kept = F.pad(ids, (0, 24 - 9)), F.pad(mask, (0, 24 - 9))
        hidden = model.backbone(input_ids=wide, attention_mask=kept).last_hidden_state
        assert hidden.shape[1] == 24
        state = model.head.lstm(hidden)[0][:, -1]
        assert torch.allclose(model.embed(ids, mask), state, atol=1e-6)


def test_what_the_original_pads_with_is_what_begins_every_document(tiny):
    from lib.backbones import load_tokenizer, resolve_backbone

    tokenizer = load_tokenizer(resolve_backbone(tiny["roberta"]))
    assert (
        tokenizer.cls_token_id == 0 != tokenizer.pad_token_id
    )  # RoBERTa's own vocabulary begins so, too
    model = build_model(tiny["roberta"], head="lstm_unmasked_wrong_pad", num_labels=3)
    ids, mask = torch.tensor([[0, 9, 2], [0, 2, 1]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    _, read = model.head._widen(model.backbone, (), {"input_ids": ids, "attention_mask": mask})
    assert read["input_ids"].tolist() == [[0, 9, 2] + [0] * 21, [0, 2] + [0] * 22]
    assert read["attention_mask"].sum(1).tolist() == [3, 2]


def test_a_faulty_head_starts_like_the_clean_one_is_saved_and_wants_padding(
    tiny, tmp_path, monkeypatch
):
    one, other = (
        build_model(tiny["bert"], head=h, num_labels=3, seed=4) for h in ("lstm", "lstm_unmasked")
    )
    state = other.state_dict()
    assert (
        all(torch.equal(weights, state[name]) for name, weights in one.state_dict().items())
        and len(state) > 10
    )
    about = {
        "head": "lstm_unmasked",
        "dropout": 0.1,
        "label_names": ["a", "b", "c"],
        "max_length": 24,
    }
    save_model(other, tmp_path, backbone=tiny["bert"], **about)
    ids, mask = batch([3, 9, 5])
    with torch.inference_mode():
        assert torch.equal(load_model(tmp_path)[0](ids, mask), other.eval()(ids, mask))
    with pytest.raises(InputError, match="leaves no padding to read; choose grouped or random"):
        pack(build_model(tiny["bert"], head="lstm_unmasked", num_labels=3))(ids, mask)
    monkeypatch.delitem(heads.HEADS, "lstm_unmasked")
    with pytest.raises(InputError, match="Unknown head 'lstm_unmasked'. Did you mean"):
        load_model(tmp_path)


def test_the_faults_are_known_where_the_study_registers_them(monkeypatch):
    monkeypatch.setattr("notebooks.audit.HEADS", {})
    monkeypatch.setattr("notebooks.audit.SPELLED", {})
    audit.register_heads(24)
    assert set(audit.HEADS) == set(audit_heads.padded_heads(24)) == set(audit.SPELLED)
    assert audit.SPELLED["lstm_unmasked_wrong_pad"] == "unmasked LSTM, wrong pad token"
    assert audit.SPELLED["weighted_average_wrong_pad"] == "weighted average, wrong pad token"
    assert audit_heads.head_name("lstm") == "LSTM"


def test_an_import_of_the_study_registers_nothing():
    import subprocess
    import sys

    told = "import lib.publish.page, notebooks.audit, lib.heads; print(*lib.heads.HEADS)"
    out = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True
    ).stdout
    assert "lstm" in out and "unmasked" not in out and "wrong_pad" not in out
