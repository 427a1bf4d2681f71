"""The verdict on a run: what is collapse, and what only looks like it."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib.config import RunConfig
from lib.health import AT_PRIOR, COLLAPSED, DIVERGED, LEARNED, embedding_health, outcome, prior_loss
from lib.optim import OPTIMIZERS
from lib.runs import run


def test_effective_rank_and_cosine_by_hand():
    spread = embedding_health(torch.eye(8))
    assert spread["embedding_rank"] == pytest.approx(8) and spread["embedding_cosine"] == pytest.approx(0)
    point = embedding_health(torch.ones(8, 5) * torch.arange(1, 9)[:, None])
    assert point["embedding_rank"] == pytest.approx(1, abs=1e-4) and point["embedding_cosine"] == pytest.approx(1)
    two = embedding_health(torch.eye(2).repeat(4, 1))
    assert two["embedding_rank"] == pytest.approx(2) and two["embedding_cosine"] == pytest.approx(3 / 7)


def test_prior_loss_is_that_of_constant_predictions():
    train, dev = np.array([0, 0, 0, 1]), np.array([0, 1])
    assert prior_loss(train, dev, 2) == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)
    lists, some = np.array([[0, 1], [0, -1]]), np.array([[1, -1], [0, -1]])
    logits = torch.tensor([[float("inf"), 0.0]]).clamp(max=27.631).repeat(2, 1)  # shares 1 and 1/2
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([[0.0, 1], [1, 0]]))
    assert prior_loss(lists, some, 2) == pytest.approx(float(wanted), rel=1e-3)


def history(losses, cosines, shares):
    return pd.DataFrame({"dev_loss": losses, "embedding_cosine": cosines, "top_label_share": shares})


def test_verdicts():
    assert outcome(history([0.9, 0.5], [0.5, 0.4], [1.0, 0.3]), 1.0, 2.0) == LEARNED
    assert outcome(history([1.01, 1.0, 1.0], [0.999] * 3, [1.0] * 3), 1.0, 2.0) == COLLAPSED
    slow = history([1.2, 1.05, 1.0], [0.999, 0.998, 0.995], [1.0] * 3)  # constant, but its loss still falls
    assert outcome(slow, 1.0, 2.0) == AT_PRIOR
    assert outcome(history([1.0, 1.0], [0.6, 0.6], [1.0, 1.0]), 1.0, 2.0) == AT_PRIOR
    assert outcome(history([1.0], [0.999], [1.0]), 1.0, 2.0) == AT_PRIOR  # one epoch tells nothing
    assert outcome(history([9.0, 4.1], [0.999] * 2, [1.0] * 2), 1.0, 2.0) == DIVERGED  # worse than untrained, and stuck
    assert outcome(history([9.0, 3.9], [0.999] * 2, [1.0] * 2), 1.0, 2.0) == AT_PRIOR  # on its way back
    assert outcome(history([], [], []), 1.0, 2.0) == AT_PRIOR


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "amsgrad", "adagrad", "adadelta", "sgd"])
def test_every_optimizer_runs_and_resumes(tiny, folder, optimizer, tmp_path, monkeypatch):
    from lib.runs import beginnings

    assert optimizer in OPTIMIZERS
    config = RunConfig(
        dataset=str(folder), backbone=tiny["bert"], optimizer=optimizer, learning_rate=1e-3, epochs=2, max_length=16,
        batch_size=8, dev_rows=12, precision="fp32", weight_decay=0.01, health=True,
    )  # fmt: skip
    straight = run(config)
    assert straight.status["outcome"] in (LEARNED, AT_PRIOR, COLLAPSED)
    assert {"embedding_cosine", "embedding_rank", "top_label_share"} <= set(straight.history)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "other"))
    run(config.with_(epochs=1), keep=beginnings(config)[:1])
    assert straight.predictions.equals(run(config).predictions)
