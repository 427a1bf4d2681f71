"""Attention and dropout: the scores are those of transformers' own attention, and dropout has its
rate, its scale and its independence."""

import pytest
import torch

from lib.attention import RECORDED, fast_dropout, layers_of, recorded_attention
from lib.models import build_model
from lib.training import seed_step
from tests.test_models import batch

KINDS = ("bert", "roberta", "distilbert")


def meet(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two masks that drop a tenth each drop the same places by chance alone."""
    together = float((one & other).double().mean())
    return abs(together - 0.01) < 5 * (0.01 * 0.99 / one.numel()) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_our_attention_is_the_eager_one(tiny, kind):
    from transformers import AutoModelForSequenceClassification

    model = build_model(tiny[kind], num_labels=3, seed=1)
    eager = AutoModelForSequenceClassification.from_pretrained(
        tiny[kind], num_labels=3, attn_implementation="eager"
    ).eval()
    eager.load_state_dict(model.backbone.state_dict())
    ids, mask = batch([3, 9, 5], pad=model.backbone.config.pad_token_id)
    with torch.inference_mode():
        wanted = eager(input_ids=ids, attention_mask=mask, output_attentions=True)
        assert (model.eval()(ids, mask) - wanted.logits).abs().max() <= 1e-5
        model.backbone.set_attn_implementation(RECORDED)
        logits, _, attentions = model(ids, mask, with_states=True)
        assert (logits - wanted.logits).abs().max() <= 1e-5
        assert len(attentions) == 2
        for weights, wanted_weights in zip(attentions, wanted.attentions, strict=True):
            assert (weights - wanted_weights).abs().max() <= 1e-5
        model.backbone.set_attn_implementation("fast")
        for module in model.train().modules():  # the branch with dropout, at a rate that drops none
            if hasattr(module, "p"):
                module.p = 1e-9
        assert (model(ids, mask) - wanted.logits).abs().max() <= 1e-5


def test_recorded_weights_are_those_before_dropout():
    states = torch.randn(2, 4, 5, 8)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None]
    attended, weights = recorded_attention(None, states, states, states, mask, dropout=0.5)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, 5))
    assert weights[1, ..., 3:].abs().max() < 1e-6
    assert not torch.allclose(attended, (weights @ states).transpose(1, 2))


def test_fast_dropout_has_its_rate_scale_and_seed():
    x = torch.ones(1000, 1003)
    torch.manual_seed(5)
    first = fast_dropout(x, 0.1)
    share = float((first == 0).double().mean())
    assert abs(share - 0.1) < 5 * (0.09 / x.numel()) ** 0.5
    assert first.unique().tolist() == pytest.approx([0, 1 / (1 - round(0.1 * 65536) / 65536)])
    second = fast_dropout(x, 0.1)
    torch.manual_seed(5)
    assert torch.equal(first, fast_dropout(x, 0.1))
    assert not torch.equal(first, second)
    assert meet(first == 0, second == 0)
    assert torch.equal(fast_dropout(x, 0.1, training=False), x)


def test_fast_dropout_is_independent_within_and_between_steps():
    """Any two of the four lanes of a 64-bit integer, and the same place at neighbouring steps and
    seeds, are dropped together by chance alone."""
    dropped = {}
    for seed, step in ((3, 7), (3, 8), (4, 7)):
        seed_step(seed, step)
        dropped[seed, step] = fast_dropout(torch.ones(1_000_000), 0.1) == 0
    first = dropped.pop((3, 7))
    for distance in (1, 2, 3, 4):
        assert meet(first[distance:], first[:-distance])
    for other in dropped.values():
        assert meet(first, other)
    lanes = first.view(-1, 4).double().mean(0)
    assert ((lanes - 0.1).abs() < 5 * (0.09 / 250_000) ** 0.5).all()  # no lane drops more


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["native", "mean"])
def test_layers_are_the_backbones(tiny, kind, head):
    layers = layers_of(build_model(tiny[kind], head=head, num_labels=2, layers=1).backbone)
    assert len(layers) == 1
    assert any("ffn" in name or "intermediate" in name for name, _ in layers[0].named_modules())
