"""Sealed selection: whatever test says, the same epochs, cells, thresholds and temperatures are
chosen, to the bit."""

import hashlib
import json

import numpy as np
import pytest

from lib.analysis import calibration, decisions, findings, label_errors
from lib.analysis.predictions import Predictions, collect
from lib.many.pool import run_all
from lib.many.search import Sweep, sweep
from lib.runs.config import RunConfig
from lib.runs.keys import tokens_of
from lib.session import building
from notebooks import grid_search
from tests.conftest import WORDS, learnable


def documents(rows: int, seed: int, several: bool, poisoned: bool = False) -> list[str]:
    """JSON lines; a poisoned file has texts of other words, and the labels of other rows."""
    texts, labels = learnable(rows, seed)
    rng = np.random.default_rng(seed)
    if several:
        labels = [sorted({int(i) for i in rng.integers(4, size=2)}) for _ in texts]
        texts = [
            " ".join([text, *(WORDS[2 + i] for i in own)])
            for text, own in zip(texts, labels, strict=True)
        ]
        labels = [[f"c{i}" for i in own] for own in labels]
    if poisoned:
        texts = ["zzz " * (1 + i % 9) for i in range(rows)]
        labels = [labels[i] for i in rng.permutation(rows)]
    return [
        json.dumps({"text": text, "label": label})
        for text, label in zip(texts, labels, strict=True)
    ]


@pytest.fixture
def store_of(tmp_path, monkeypatch):
    """A folder of data, its test set poisoned or not, and a run store of its own."""

    def make(poisoned: bool, several: bool = False, name: str = "") -> str:
        store = tmp_path / f"{name}runs-{poisoned}"
        path = store / "data"
        path.mkdir(parents=True)
        monkeypatch.setenv("RUNS_DIR", str(store))
        for split, rows, seed in (("train", 90, 1), ("test", 40, 2)):
            lines = documents(rows, seed, several, poisoned and split == "test")
            (path / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
        return str(path)

    return make


def trained(done) -> dict[str, str]:
    """What a run chose, and from what."""
    weights = hashlib.sha256((done.folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    dev = done.history.filter(regex="^dev_|^train_loss").round(12).to_json()
    return {"epoch": str(done.status["chosen_epoch"]), "dev scores": dev, "weights": weights}


def chosen(data: str, backbone: str) -> dict[str, str]:
    """Every choice of a search with one label a document: by name."""
    base = {
        "dataset": data,
        "backbone": backbone,
        "max_length": 16,
        "epochs": 3,
        "precision": "fp32",
        "dev_rows": 30,
    }
    space = {"batch_size": [8, 16], "learning_rate": [3e-3, 1e-3]}
    found = sweep(Sweep(name="sealed", base=base | {"patience": 2}, space=space, tracker="none"))
    best, p = found[0], collect(found)
    one = p.where(batch_size=best.config.batch_size)
    told = {"cells": str([(r.config.batch_size, r.config.learning_rate) for r in found])}
    told |= {
        f"{what} {i}": value
        for i, done in enumerate(found)
        for what, value in trained(done).items()
    }
    told["group"] = findings.best_group(one, by="learning_rate")
    told["halving"] = grid_search.halving(p, metric="macro_f1").to_json()
    return told | fitted(one, str(best.config.learning_rate))


def fitted(p: Predictions, group: str) -> dict[str, str]:
    temperature = calibration.fit_temperature
    told = {"temperature": str([temperature(g, 0) for g in p.groups("learning_rate", split="dev")])}
    table = calibration.calibration(p, by="learning_rate", group=group)
    told["temperature told"] = str(table["temperature"].tolist())
    suspects = label_errors.label_errors(p, by="learning_rate", group=group)
    return told | {"label errors": suspects.to_json()}


def several(data: str, backbone: str) -> dict[str, str]:
    """The same with several labels a document."""
    config = RunConfig(
        dataset=data,
        backbone=backbone,
        head="first_token",
        dropout=0.0,
        max_length=16,
        batch_size=8,
        epochs=4,
        learning_rate=3e-3,
        precision="fp32",
        select_by="micro_f1",
        dev_rows=30,
    )
    done = run_all([config], "none")
    return trained(done[0]) | thresholds(collect(done))


def thresholds(p: Predictions) -> dict[str, str]:
    dev = decisions.group_of(p, "head", "first_token", "dev")
    tuned = {
        f"threshold: {way}": str(at)
        for way, at in decisions.tune(dev, 0, len(p.label_names)).items()
    }
    return tuned | {
        "thresholds told": decisions.label_thresholds(p, by="head", group="first_token").to_json()
    }


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return [name for name in one | other if one.get(name) != other.get(name)]


def test_a_poisoned_test_set_changes_no_choice(store_of, tiny):
    clean, poisoned = (chosen(store_of(poison), tiny["bert"]) for poison in (False, True))
    assert len(clean) > 15 and differing(clean, poisoned) == []


def test_a_poisoned_test_set_changes_no_threshold_and_one_tuned_on_test_is_named(
    store_of, tiny, monkeypatch
):
    clean, poisoned = (several(store_of(poison, True), tiny["bert"]) for poison in (False, True))
    assert differing(clean, poisoned) == []
    own = decisions.group_of
    monkeypatch.setattr(
        decisions, "group_of", lambda p, by, group, split="test": own(p, by, group, "test")
    )
    clean, poisoned = (
        several(store_of(poison, True, "planted-"), tiny["bert"]) for poison in (False, True)
    )
    assert {"threshold: one for all, from dev", "thresholds told"} <= set(
        differing(clean, poisoned)
    )
    assert not {"epoch", "weights"} & set(differing(clean, poisoned))


def test_an_epoch_and_a_temperature_that_read_test_are_named(store_of, tiny, monkeypatch):
    class Leaking:
        """Tokens whose dev set is the test set."""

        def __init__(self, tokens):
            self.train, self.dev, self.test, self.lengths = (
                tokens.train,
                tokens.test,
                tokens.test,
                tokens.lengths,
            )

    def one(data):
        config = RunConfig(
            dataset=data,
            backbone=tiny["bert"],
            max_length=16,
            batch_size=8,
            precision="fp32",
            dev_rows=40,
            learning_rate=3e-3,
        )
        done = run_all([config], "none")
        return trained(done[0]) | fitted(collect(done), "0.003")

    own = Predictions.groups
    with monkeypatch.context() as patch:
        patch.setattr(
            Predictions,
            "groups",
            lambda p, by, split="test", epoch="chosen": own(p, by, epoch=epoch),
        )
        found = set(differing(*(one(store_of(poison)) for poison in (False, True))))
    assert (
        "temperature" in found
        and "temperature told" in found
        and not {"epoch", "dev scores", "weights"} & found
    )
    monkeypatch.setattr(building, "tokens_of", lambda *named: Leaking(tokens_of(*named)))
    found = differing(*(one(store_of(poison, name="planted-")) for poison in (False, True)))
    assert "dev scores" in found
