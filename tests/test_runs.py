"""The store: what is trained once, what is shared, what survives a kill, what is left of a
divergence."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lib import HEADS, OPTIMIZERS, SCHEDULES
from lib.errors import InputError
from lib.runs import pool as runs
from lib.runs import store
from lib.runs.baselines import BASELINES
from lib.runs.config import RunConfig
from lib.runs.pool import run, run_all

FIXED = {
    "max_length": 16,
    "batch_size": 8,
    "dev_rows": 12,
    "learning_rate": 1e-3,
    "precision": "fp32",
}


@pytest.fixture
def base(tiny, folder):
    return RunConfig(dataset=str(folder), backbone=tiny["bert"], epochs=3, **FIXED)


def digests(run) -> dict:
    files = [run.folder / "predictions.parquet", *sorted((run.folder / "model").iterdir())]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_run_is_trained_once_and_keyed_by_content(base, capsys, tmp_path):
    first = run(base)
    assert "epoch 3/3" in capsys.readouterr().out
    copy = tmp_path / "elsewhere"
    (tmp_path / "data").rename(copy)
    again = run_all([base.with_(dataset=str(copy))])
    assert again[0].folder == first.folder and len(again.predictions.frame)
    assert "epoch" not in capsys.readouterr().out
    assert first.status["status"] == "finished" and len(first.history) == 3
    ours = {
        "config.json",
        "status.json",
        "history.jsonl",
        "predictions.parquet",
        "environment.json",
        "model",
        "tensorboard",
    }
    theirs = {f"{name}_results.json" for name in ("train", "eval", "test", "all")}
    left = {file.name for file in first.folder.iterdir()}
    assert left == ours | theirs | {"test_predictions.txt", "trainer_state.json"}
    with (copy / "train.csv").open("a") as file:
        file.write("kana lona mibe,no\n")
    store._load.cache_clear()
    assert run(base.with_(dataset=str(copy))).folder != first.folder


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"learning_rate": 2e-3}, {"head": "cls"}, {"precision": "bf16"}]
)
def test_what_changes_the_key(base, change):
    corpus = store.corpus_of(base)
    assert runs.run_key(base, corpus) != runs.run_key(base.with_(**change), corpus)


def test_auto_precision_is_resolved_before_the_key(base):
    corpus = store.corpus_of(base)
    resolved = runs.training.resolve_precision("auto")
    assert runs.run_key(base.with_(precision="auto"), corpus) == runs.run_key(
        base.with_(precision=resolved), corpus
    )


def test_shared_beginnings_are_trained_once_and_change_no_byte(base, monkeypatch, tmp_path, capsys):
    configs = [
        base,
        base.with_(schedule="multistep", schedule_args={"milestones": [2], "gamma": 0.1}),
        base.with_(schedule="exponential", schedule_args={"gamma": 0.5}),
        base.with_(epochs=2),
    ]
    together = run_all(configs)
    out = capsys.readouterr().out
    assert out.count("goes on after epoch") == 3 and out.count("epoch 1/") == 1
    assert not list((tmp_path / "runs" / "checkpoints").iterdir())
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "alone"))
    for config, shared in zip(configs, together, strict=True):
        alone = run(config)
        assert digests(alone) == digests(shared)
        timeless = [c for c in alone.history if "second" not in c]
        assert alone.history[timeless].equals(shared.history[timeless])
    capsys.readouterr()
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    changed = base.with_(schedule="exponential", schedule_args={"gamma": 0.4})
    run_all([*configs[:2], changed])
    assert "3 runs: 1 trained, 2 from the store" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_left_out(base, monkeypatch, tmp_path, capsys):
    wanted = digests(run(base.with_(epochs=3)))
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "other"))
    run(base.with_(epochs=2), keep=runs.beginnings(base)[:2])
    state = tmp_path / "other" / "checkpoints" / runs.beginnings(base)[1] / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    capsys.readouterr()
    assert digests(run(base)) == wanted
    out = capsys.readouterr().out
    assert "is damaged and is left out" in out and "goes on after epoch 1" in out


def test_chosen_and_last_epoch_are_scored_on_test(base):
    finished = run(base.with_(select_by="loss", learning_rate=3e-2, epochs=4))
    frame, status = finished.predictions, finished.status
    assert set(frame[frame.split == "test"].epoch) == {status["chosen_epoch"], 4}
    assert finished.history.dev_loss.idxmin() + 1 == status["chosen_epoch"] < 4
    assert set(frame[frame.split == "dev"].epoch) == {1, 2, 3, 4}
    assert frame.logit_0.dtype == np.float16
    every = run(base.with_(test_every_epoch=True)).predictions
    assert set(every[every.split == "test"].epoch) == {1, 2, 3}


def test_divergence_is_a_result(base, capsys):
    later = base.with_(optimizer="sgd", learning_rate=1e30)
    finished = run_all([later, base])
    assert finished[0].status["status"] == "diverged" and "at step" in finished[0].status["reason"]
    assert finished[1].status["status"] == "finished"
    assert finished.predictions.runs[finished[0].key[:16]]["status"] == "diverged"
    assert len(finished.predictions.groups("seed")[0].seeds) == 1


def test_a_study_with_a_diverged_seed_still_has_its_tables(base):
    from lib.analysis import findings, tables

    configs = [
        base.with_(seed=seed, schedule=name)
        for seed in (1, 2, 3)
        for name in ("constant", "linear")
    ]
    configs[3] = configs[3].with_(optimizer="sgd", learning_rate=1e30)
    runs = run_all([*configs, configs[0], base.baseline("tfidf_linear")])
    assert len(runs) == 7 and runs[3].status["status"] == "diverged"
    table = tables.differences(runs.predictions, by="schedule")
    assert table["seeds"].tolist() == [2, 3, 2]
    assert tables.by_group(runs.predictions, by="schedule", metrics=["accuracy"])[
        "seeds"
    ].tolist() == [3, 2, 1]
    assert tables.overshoot(runs.predictions, by="schedule")["schedule"].tolist() == [
        "constant",
        "linear",
    ]
    assert "has the highest mean test accuracy" in findings.leader(runs.predictions, by="schedule")
    with pytest.raises(InputError, match="several runs with seed"):
        tables.by_group(runs.predictions, by="head", metrics=["accuracy"])


def test_baselines_are_runs(base, folder):
    names = ["tfidf_linear", "majority"]
    finished = run_all([base.baseline(name) for name in names])
    scores = {g.name: (g.predicted == g.labels).mean() for g in finished.predictions.groups("seed")}
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


def test_configurations_are_strict():
    with pytest.raises(
        InputError, match="Unknown parameter 'lerning_rate'. Did you mean learning_rate"
    ):
        RunConfig(**{"lerning_rate": 1})
    with pytest.raises(InputError, match="epochs = 'many': input should be a valid integer"):
        RunConfig(**{"epochs": "many"})
    with pytest.raises(InputError, match="learning_rate = 0: input should be greater than 0"):
        RunConfig(**{"learning_rate": 0})
    assert RunConfig(**{"learning_rate": "1e-5"}).learning_rate == 1e-5


def test_load_run_by_folder_and_key(base):
    finished = run(base.with_(epochs=1))
    assert (
        store.load_run(finished.key[:8]).folder
        == store.load_run(finished.folder).folder
        == finished.folder
    )
    with pytest.raises(InputError, match="nonsense is the folder or key of no finished run"):
        store.load_run("nonsense")


def train_command(base, tmp_path, epochs=3):
    path = tmp_path / f"run{epochs}.yaml"
    values = base.model_dump(exclude_defaults=True) | {"epochs": epochs}
    path.write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
    return [sys.executable, "-u", "-m", "lib", "train", str(path)]


def test_two_processes_train_a_run_once(base, tmp_path):
    command = train_command(base, tmp_path)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("epoch 1/3" in out for out in outs) == [False, True]
    assert len({out.splitlines()[-1] for out in outs}) == 1


def test_killed_and_started_again_it_ends_with_the_same_bytes(base, tmp_path):
    command = train_command(base, tmp_path, epochs=40)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while "epoch 2/40" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGKILL)
    killed = [folder for folder in (tmp_path / "runs").iterdir() if len(folder.name) == 16]
    assert len(killed) == 1 and not (killed[0] / "status.json").exists()
    start = time.time()
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    resumed = store.load_run(again.stdout.splitlines()[-1])
    assert resumed.folder == killed[0] and time.time() - start < 100
    other = os.environ | {"RUNS_DIR": str(tmp_path / "straight")}
    straight = subprocess.run(command, capture_output=True, text=True, timeout=120, env=other)
    assert digests(resumed) == digests(store.load_run(straight.stdout.splitlines()[-1]))
