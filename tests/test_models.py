"""Classifiers: what must not matter to a logit, and what dropout must do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import backbones
from lib.attention import fast_dropout
from lib.errors import InputError
from lib.heads import HEADS
from lib.models import build_model


def batch(lengths, vocabulary=40, pad=0, width=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    ids = torch.randint(
        4, vocabulary, (len(lengths), width), generator=generator, dtype=torch.int32
    )
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).int()
    return torch.where(mask.bool(), ids, pad), mask


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("head", ["native", *HEADS])
def test_padding_order_and_batch_size_change_no_logit(tiny, kind, head):
    model = build_model(tiny[kind], head=head, num_labels=3, seed=1).eval()
    pad = model.backbone.config.pad_token_id

    @given(
        st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 12), st.integers(0, 99)
    )
    @settings(max_examples=8, deadline=None)
    def check(lengths, more, seed):
        ids, mask = batch(lengths, pad=pad, seed=seed)
        with torch.inference_mode():
            logits = model(ids, mask)
            padded = model(
                torch.nn.functional.pad(ids, (0, more), value=pad),
                torch.nn.functional.pad(mask, (0, more)),
            )
            turned = model(ids.flip(0), mask.flip(0)).flip(0)
            single = torch.cat(
                [model(ids[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(lengths)]
            )
        assert logits.shape == (len(lengths), 3)
        for other in (padded, turned, single):
            assert (logits - other).abs().max() <= 1e-5

    check()


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_our_attention_is_the_eager_one(tiny, kind):
    from transformers import AutoModelForSequenceClassification

    model = build_model(tiny[kind], num_labels=3, seed=1)
    eager = AutoModelForSequenceClassification.from_pretrained(
        tiny[kind], num_labels=3, attn_implementation="eager"
    )
    eager.load_state_dict(model.backbone.state_dict())
    ids, mask = batch([3, 9, 5], pad=model.backbone.config.pad_token_id)
    with torch.inference_mode():
        wanted = eager.eval()(input_ids=ids, attention_mask=mask).logits
        assert (model.eval()(ids, mask) - wanted).abs().max() <= 1e-5
        tiny_rate = model.train()
        for module in tiny_rate.modules():  # the branch with dropout, at a rate that drops nothing
            if hasattr(module, "p"):
                module.p = 1e-9
        assert (tiny_rate(ids, mask) - wanted).abs().max() <= 1e-5


def test_fast_dropout_has_its_rate_scale_and_seed():
    x = torch.ones(1000, 1003)
    torch.manual_seed(5)
    first = fast_dropout(x, 0.1)
    share = float((first == 0).double().mean())
    assert abs(share - 0.1) < 5 * (0.09 / x.numel()) ** 0.5
    assert first.unique().tolist() == pytest.approx([0, 1 / (1 - round(0.1 * 65536) / 65536)])
    second = fast_dropout(x, 0.1)
    torch.manual_seed(5)
    assert torch.equal(first, fast_dropout(x, 0.1)) and not torch.equal(first, second)
    both = float(
        ((first == 0) & (second == 0)).double().mean()
    )  # independent draws meet with probability 0.01
    assert abs(both - share * float((second == 0).double().mean())) < 5 * (0.01 / x.numel()) ** 0.5
    beside = (first[:, 1:] == 0) & (
        first[:, :-1] == 0
    )  # so do neighbours, which share a 64-bit integer
    assert abs(float(beside.double().mean()) - 0.01) < 5 * (0.01 / x.numel()) ** 0.5
    assert torch.equal(fast_dropout(x, 0.1, training=False), x)


def test_build_is_seeded(tiny):
    one, same, other = (
        build_model(tiny["bert"], num_labels=2, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["backbone.classifier.weight"], other["backbone.classifier.weight"])
    assert torch.equal(
        one["backbone.bert.embeddings.word_embeddings.weight"],
        other["backbone.bert.embeddings.word_embeddings.weight"],
    )


def test_embedded_backbone_is_the_published_one(monkeypatch):
    assert (backbones.resolve_backbone(backbones.EMBEDDED) / "config.json").is_file()
    monkeypatch.setattr(backbones, "EMBEDDED_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the published ones; reinstall"):
        backbones.resolve_backbone.__wrapped__(backbones.EMBEDDED)


def test_backbone_from_the_hub_cache_and_without_a_hub(tiny, tmp_path, monkeypatch):
    import shutil

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match="The backbone nobody/nothing is not a folder.*Go online once, or"
    ):
        backbones.resolve_backbone("nobody/nothing")
    repository = tmp_path / "models--nobody--tiny"
    shutil.copytree(tiny["bert"], repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert backbones.fingerprint(
        backbones.resolve_backbone("nobody/tiny")
    ) == backbones.fingerprint(backbones.resolve_backbone(tiny["bert"]))


def test_pickled_weights_are_refused(tiny, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"has no model.safetensors"):
        backbones.resolve_backbone(str(tmp_path))


def test_unknown_head(tiny):
    with pytest.raises(InputError, match="Unknown head 'cl'. Did you mean cls"):
        build_model(tiny["bert"], head="cl", num_labels=2)


def test_fast_dropout_is_independent_within_and_between_steps():
    """Any two lanes of a 64-bit integer, and the same place at neighbouring steps and seeds,
    meet with p²."""
    from lib.training import seed_step

    drawn = {}
    for seed, step in ((3, 7), (3, 8), (4, 7)):
        seed_step(seed, step)
        drawn[seed, step] = fast_dropout(torch.ones(1_000_000), 0.1) == 0
    first = drawn.pop((3, 7))
    pairs = [(first[distance:], first[:-distance]) for distance in (1, 2, 3, 4)]
    lanes = first.view(-1, 4)
    assert (
        (lanes.double().mean(0) - 0.1).abs() < 5 * (0.09 / len(lanes)) ** 0.5
    ).all()  # no lane drops more
    for one, other in [*pairs, *((first, other) for other in drawn.values())]:
        assert (
            abs(float((one & other).double().mean()) - 0.01) < 5 * (0.01 * 0.99 / len(one)) ** 0.5
        )
