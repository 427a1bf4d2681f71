"""The verdict on a run: what is collapse, and what only looks like it."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib.many.pool import run
from lib.many.single import prepare
from lib.optim import OPTIMIZERS
from lib.runs.config import RunConfig
from lib.runs.keys import prefix_hashes
from lib.runs.paths import ROOT
from lib.runs.verdict import (
    AT_PRIOR,
    COLLAPSED,
    DIVERGED,
    LEARNED,
    judge,
    outcome,
    prior_loss,
)
from lib.session.embedding_health import embedding_health


def test_effective_rank_and_cosine_by_hand():
    spread = embedding_health(torch.eye(8))
    assert spread["embedding_rank"] == pytest.approx(8) and spread[
        "embedding_cosine"
    ] == pytest.approx(0)
    point = embedding_health(torch.ones(8, 5) * torch.arange(1, 9)[:, None])
    assert point["embedding_rank"] == pytest.approx(1, abs=1e-4) and point[
        "embedding_cosine"
    ] == pytest.approx(1)
    two = embedding_health(torch.eye(2).repeat(4, 1))
    assert two["embedding_rank"] == pytest.approx(2) and two["embedding_cosine"] == pytest.approx(
        3 / 7
    )


def test_prior_loss_is_that_of_constant_predictions():
    train, dev = np.array([0, 0, 0, 1]), np.array([0, 1])
    assert prior_loss(train, dev, 2) == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)
    lists, some = np.array([[0, 1], [0, -1]]), np.array([[1, -1], [0, -1]])
    logits = torch.tensor([[float("inf"), 0.0]]).clamp(max=27.631).repeat(2, 1)  # shares 1 and 1/2
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.tensor([[0.0, 1], [1, 0]])
    )
    assert prior_loss(lists, some, 2) == pytest.approx(float(wanted), rel=1e-3)


def history(losses, cosines, shares, ranks=1.0):
    values = {
        "train_loss": losses,
        "dev_loss": losses,
        "embedding_cosine": cosines,
        "top_label_share": shares,
    }
    return pd.DataFrame(values).assign(embedding_rank=ranks)


def test_verdicts():
    assert outcome(history([0.9, 0.5], [0.5, 0.4], [1.0, 0.3]), 1.0, 2.0) == LEARNED
    assert outcome(history([1.01, 1.0, 1.0], [0.999] * 3, [1.0] * 3), 1.0, 2.0) == COLLAPSED
    slow = history(
        [1.2, 1.1, 1.05], [0.999, 0.998, 0.995], [1.0] * 3
    )  # one point, but its loss still falls
    assert outcome(slow, 1.0, 2.0) == AT_PRIOR
    assert (
        outcome(history([1.0, 1.0], [0.999] * 2, [1.0] * 2, 1.9), 1.0, 2.0) == AT_PRIOR
    )  # not quite one point
    assert (
        outcome(history([1.03, 1.01], [0.999] * 2, [1.0] * 2), 1.0, 2.0) == COLLAPSED
    )  # as low as a point can come
    assert outcome(history([1.0, 1.0], [0.6, 0.6], [1.0, 1.0]), 1.0, 2.0) == AT_PRIOR
    assert outcome(history([1.0], [0.999], [1.0]), 1.0, 2.0) == AT_PRIOR  # one epoch tells nothing
    assert (
        outcome(history([4.1, 1.2], [0.999] * 2, [1.0] * 2), 1.0, 2.0) == DIVERGED
    )  # once worse than untrained
    assert (
        outcome(history([4.1, 0.5], [0.5] * 2, [0.3] * 2), 1.0, 2.0) == LEARNED
    )  # but it came back
    assert outcome(history([], [], []), 1.0, 2.0) == AT_PRIOR
    assert judge(slow, {"status": "finished"}) == {}
    stopped = {"status": "diverged", "reason": "at step 3", "prior_loss": 1.0, "even_loss": 2.0}
    assert judge(slow, stopped) == {"outcome": DIVERGED, "reason": "at step 3"}


def test_published_slow_starters_are_not_called_collapsed():
    """The original's successful runs predict a constant for epochs; that their loss still falls
    tells them apart."""
    table = pd.read_csv(ROOT / "notebooks/reference/eurlex_optimizers.csv")
    prior = 0.00905  # where its collapsed runs end
    for _, run_ in table.query("epoch <= 25").groupby(
        ["optimizer", "learning_rate", "weight_decay"]
    ):
        if run_["P@1"].iloc[-1] > 0.7:
            for epoch in (2, 3, 4, 5):
                part = run_.head(epoch)
                worst_case = history(part["train_loss"].tolist(), [0.9999] * epoch, [1.0] * epoch)
                assert outcome(worst_case, prior, float(np.log(2))) == AT_PRIOR


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "amsgrad", "adagrad", "adadelta", "sgd"])
def test_every_optimizer_runs_and_resumes(tiny, folder, optimizer, tmp_path, monkeypatch):
    assert optimizer in OPTIMIZERS
    config = RunConfig(
        dataset=str(folder),
        backbone=tiny["bert"],
        optimizer=optimizer,
        learning_rate=1e-3,
        epochs=2,
        max_length=16,
        batch_size=8,
        dev_rows=12,
        precision="fp32",
        weight_decay=0.01,
        health=True,
    )
    straight = run(config)
    assert straight.verdict["outcome"] in (LEARNED, AT_PRIOR, COLLAPSED)
    assert {"embedding_cosine", "embedding_rank", "top_label_share"} <= set(straight.history)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "other"))
    run(config.with_(epochs=1), keep=prefix_hashes(prepare(config))[:1])
    assert straight.predictions.equals(run(config).predictions)
