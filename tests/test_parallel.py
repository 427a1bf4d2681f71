"""Two processes train what one does: losses, predictions, checkpoints; and what is said when one
fails."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from lib.errors import InputError
from lib.fast import launch, parallel
from lib.runs import store
from lib.runs.config import RunConfig
from lib.runs.pool import run, run_all
from tests.test_resume import killed_at

FIXED = {
    "max_length": 16,
    "batch_size": 7,
    "dev_rows": 13,
    "precision": "fp32",
    "dropout": 0.0,
    "head": "mean",
}


@pytest.fixture
def base(tiny_still, folder):
    return RunConfig(
        dataset=str(folder), backbone=tiny_still, learning_rate=1e-3, epochs=8, **FIXED
    )


@pytest.fixture(scope="session")
def tiny_still(tmp_path_factory):
    """A tiny backbone without dropout."""
    from tests.conftest import save_tiny

    path = save_tiny(tmp_path_factory.mktemp("still"))
    config = json.loads((path / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (path / "config.json").write_text(json.dumps(config))
    return str(path)


@pytest.mark.parametrize("backend", ["ddp", "fsdp"])
def test_two_processes_train_what_one_does(base, backend, monkeypatch, tmp_path, capfd):
    config = base.with_(
        schedule="exponential", schedule_args={"gamma": 0.8}, class_weight="balanced"
    )
    one = run(config, tracker="none")
    assert (
        one.history.step.iloc[-1] == 56 and 47 % 7 != 0
    )  # more than 50 steps; the last batch of an epoch is short
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "two"))
    two = run(config, tracker="none", backend=backend, processes=2)
    assert two.folder.name == one.folder.name and processes_of(two) == 2
    assert capfd.readouterr().out.count("epoch 8/8") == 2  # once a run, not once a process
    for name in ("train_loss", "gradient_norm", "dev_loss"):
        assert np.allclose(
            two.history[name], one.history[name], rtol=1e-6 if name == "train_loss" else 1e-4
        )
    assert (
        two.history.learning_rate.tolist() == one.history.learning_rate.tolist()
    )  # a step of the schedule an epoch
    for name in ("split", "row", "epoch", "label"):
        assert two.predictions[name].tolist() == one.predictions[name].tolist()  # each row once
    assert (
        np.abs(two.predictions.logit_0.astype(float) - one.predictions.logit_0.astype(float)).max()
        < 5e-3
    )  # 16 bits


@pytest.mark.parametrize(("first", "backend"), [(1, "ddp"), (2, "ddp"), (1, "fsdp"), (2, "fsdp")])
def test_checkpoints_move_between_one_and_two_processes(base, first, backend, monkeypatch, capfd):
    config = base.with_(epochs=2)
    whole = run(config, tracker="none")
    shutil_rename(whole)
    with monkeypatch.context() as patch:
        if first == 1:
            killed_at(patch, config, 9, checkpoint_every="1 step")
        else:
            stop_two_after(config, 9, patch, backend)
    capfd.readouterr()
    how = {"backend": backend, "processes": 2} if first == 1 else {}
    again = run(config, tracker="none", **how)
    assert "goes on after step 9 of 14" in capfd.readouterr().out
    kept = store.Run(whole.folder.with_name("kept"))
    assert np.allclose(again.history.train_loss, kept.history.train_loss, rtol=1e-6)


@pytest.mark.parametrize("backend", ["ddp", "fsdp"])
def test_two_processes_learn_from_a_teacher_as_one_does(base, backend, monkeypatch, tmp_path):
    teacher = run(base.with_(epochs=1), tracker="none")
    maps = {"hidden_map": [[0, 0], [1, 2]], "attention_map": [[0, 1]], "student_layers": [1]}
    weights = {"hard": 1.0, "soft": 1.0, "hidden": 1.0, "attentions": 1.0}
    distil = {"teacher": str(teacher.folder), "weights": weights, **maps}
    student = base.with_(epochs=2, accumulation=2, distil=distil)
    one = run(student, tracker="none").history
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "two"))
    two = run(student, tracker="none", backend=backend, processes=2).history
    for name in ("train_loss", "dev_soft", "dev_hidden", "dev_attentions"):
        assert np.allclose(two[name], one[name], rtol=1e-5), name


def shutil_rename(finished) -> None:
    finished.folder.rename(finished.folder.with_name("kept"))


def stop_two_after(config, step: int, patch, backend: str) -> None:
    """Train on two processes; kill them all after a step."""
    patch.setenv("DIE_AFTER", str(step))
    with pytest.raises(ChildProcessError):
        start(config, "killed", backend, checkpoint_every="1 step")


def start(config, how: str, backend: str = "ddp", **options):
    """Start two processes that misbehave by `how` (see tests/misbehave.py)."""
    original = subprocess.Popen

    def popen(command, **kwargs):
        place = len(command) - 2
        return original(
            [*command[:place], "tests.misbehave", *command[place + 1 :]], cwd=store.ROOT, **kwargs
        )

    os.environ["MISBEHAVE"] = how
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(launch.subprocess, "Popen", popen)
            return run(config, tracker="none", backend=backend, processes=2, **options)
    finally:
        del os.environ["MISBEHAVE"]


def test_a_killed_process_ends_the_run_with_its_checkpoint(base, capfd):
    with pytest.raises(ChildProcessError) as error:
        start(base, "killed", checkpoint_every="1 step")
    assert "Training on 2 processes failed" in str(
        error.value
    ) and "goes on from the last checkpoint" in str(error.value)
    assert list(store.store().glob("*/checkpoint/step-*"))
    assert not list(store.store().glob("*/status.json"))
    run(base, tracker="none")
    assert "goes on after step 9 of 56" in capfd.readouterr().out


def test_a_hung_process_ends_the_run_in_time(base, monkeypatch):
    monkeypatch.setenv("PROCESS_TIMEOUT", "12")
    began = time.monotonic()
    with pytest.raises(ChildProcessError, match="Training on 2 processes failed"):
        start(base, "hung", checkpoint_every="1 step")
    assert time.monotonic() - began < 100
    assert list(store.store().glob("*/checkpoint/step-000000009"))


def test_an_error_of_any_process_comes_back_whole(base):
    with pytest.raises(
        ChildProcessError, match=r"(?s)process 1: Traceback.*in misbehave.*ValueError: of process 1"
    ):
        start(base, "fails")
    with pytest.raises(InputError, match="^what process 1 has to say$"):
        start(base, "refuses")


def test_backends_are_names_for_precision_and_processes(base):
    assert launch.settle(base.with_(precision="bf16"), None, None) == (
        base.with_(precision="bf16"),
        1,
    )
    assert launch.settle(base, "sp-amp", None)[0].precision == "auto"
    assert launch.settle(base, "ddp", 3) == (base, 3)
    for backend, processes, told in (
        ("dpp", None, "Unknown backend 'dpp'. Did you mean ddp"),
        (None, 2, "processes = 2 needs a backend of several: ddp, ddp-amp, fsdp, fsdp-amp"),
        ("sp", 2, r"processes = 2 needs a backend of several \(ddp, .*\); sp has one"),
        ("ddp", 8, r"processes = 8 is more than the batch has documents \(7\)"),
    ):
        with pytest.raises(InputError, match=told):
            launch.settle(base, backend, processes)


def test_shares_of_a_batch_are_the_batch():
    batch = torch.arange(5), torch.arange(5) * 10
    shares = [parallel.Team(rank, 2).share(batch) for rank in (0, 1)]
    assert [rows[0].tolist() for rows, _ in shares] == [[0, 2, 4], [1, 3]]
    one = tuple(t[:1] for t in batch)
    assert [
        (rows[1].tolist(), counts)
        for rows, counts in (parallel.Team(r, 2).share(one) for r in (0, 1))
    ] == [
        ([0], 1.0),
        ([0], 0.0),
    ]


def torchrun(port: int, rank: int) -> list[str]:
    return [
        "torch.distributed.run",
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{port}",
        "--rdzv-id=study",
    ]


def accelerate(port: int, rank: int) -> list[str]:
    return [
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_machines=2",
        f"--machine_rank={rank}",
        "--main_process_ip=127.0.0.1",
        f"--main_process_port={port}",
        "--num_processes=2",
    ]


def accelerate_fsdp(port: int, rank: int) -> list[str]:
    command = accelerate(port, rank)
    command[1:2] = ["--use_fsdp", "--fsdp_version=2"]
    return command


@pytest.mark.parametrize("launcher", [torchrun, accelerate, accelerate_fsdp])
def test_two_nodes_share_a_run(base, launcher, tmp_path):
    """The commands of the README for two machines, on one."""
    spec, port = tmp_path / "run.yaml", free_port()
    spec.write_text(base.with_(epochs=1).model_dump_json(exclude={"reading", "schedule_args"}))
    commands = [
        [
            sys.executable,
            "-m",
            *launcher(port, rank),
            "-m",
            "lib",
            "train",
            str(spec),
            "tracker=none",
        ]
        for rank in (0, 1)
    ]
    options = {
        "cwd": store.ROOT,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    nodes = [subprocess.Popen(command, **options) for command in commands]
    told = [node.communicate(timeout=180)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], told
    assert sum("epoch 1/1" in text for text in told) == 1
    found = run_all([base.with_(epochs=1)])
    assert processes_of(found[0]) == 2


def processes_of(finished) -> int:
    return json.loads((finished.folder / "environment.json").read_text())["processes"]


def free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
