"""References are runs, too."""

import pytest

from lib import HEADS, OPTIMIZERS, SCHEDULES, collect
from lib.errors import InputError
from lib.runs.baselines import BASELINES
from lib.runs.config import RunConfig
from lib.runs.pool import run_all
from lib.runs.single import run


def test_baselines_are_runs(base, folder):
    names = ["tfidf_linear", "majority"]
    finished = run_all([base.baseline(name) for name in names])
    scores = {g.name: (g.predicted == g.labels).mean() for g in collect(finished).groups("seed")}
    assert scores["tfidf_linear"] > 0.9 and scores["majority"] == pytest.approx(0.5, abs=0.03)
    with pytest.raises(InputError, match="no known label noise"):
        run(base.baseline("noise_ceiling"))
    demo = RunConfig(dataset="demo_news", train_rows=40, dev_rows=20).baseline("noise_ceiling")
    ceiling = run(demo).predictions.query("split == 'test'")
    predicted = ceiling[[f"logit_{i}" for i in range(4)]].to_numpy().argmax(1)
    assert (predicted == ceiling.label).mean() == pytest.approx(0.97, abs=0.001)


def test_no_baseline_is_named_like_what_runs_are_compared_by():
    assert not BASELINES.keys() & {
        *HEADS,
        *OPTIMIZERS,
        *SCHEDULES,
        "native",
    }  # groups of a table go by their names
