"""Heads: what must not matter to a logit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lib.errors import InputError
from lib.heads import HEADS
from lib.models import build_model
from tests.test_models import batch

COMBINATIONS = [("bert", head) for head in ("native", *HEADS)]
COMBINATIONS += [(kind, head) for kind in ("roberta", "distilbert") for head in ("native", "mean")]


@pytest.mark.parametrize("kind, head", COMBINATIONS)
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
            padded = model(F.pad(ids, (0, more), value=pad), F.pad(mask, (0, more)))
            turned = model(ids.flip(0), mask.flip(0)).flip(0)
            single = torch.cat(
                [model(ids[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(lengths)]
            )
        assert logits.shape == (len(lengths), 3)
        for other in (padded, turned, single):
            assert (logits - other).abs().max() <= 1e-5

    check()


def test_a_weighted_average_starts_as_the_mean_and_learns_its_weights():
    hidden = torch.randn(2, 5, 8)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    head, mean = HEADS["weighted_average"](8, 3, 0.0), HEADS["mean"](8, 3, 0.0)
    assert torch.allclose(head.pool(hidden, mask), mean.pool(hidden, mask), atol=1e-6)
    with torch.no_grad():
        head.position[0] = 50.0
    assert torch.allclose(head.pool(hidden, mask), hidden[:, 0])
    assert torch.allclose(head.weights(mask).sum(1), torch.ones(2))


def test_unknown_head(tiny):
    with pytest.raises(InputError, match="Unknown head 'cl'. Did you mean cls"):
        build_model(tiny["bert"], head="cl", num_labels=2)
