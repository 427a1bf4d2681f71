"""Two processes compute what one does: steps, evaluations, states, runs."""

import importlib
import json
import os
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.fast.launch import launch
from lib.fast.parallel import Processes, processes
from lib.many import single
from lib.many.pool import run, run_all
from lib.runs import store
from lib.runs.config import RunConfig
from lib.runs.paths import ROOT
from tests import parallel_workers
from tests.conftest import exit_code, start_child
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


@pytest.fixture(scope="session")
def one(tiny_still):
    """What `parallel_workers.study` finds in one process."""
    return parallel_workers.study(tiny_still)


@pytest.fixture(scope="session", params=["ddp", "fsdp"])
def two(one, tiny_still, request, tmp_path_factory):
    """What both of two processes find, started once for all that is asked of them below."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.save(one, folder / "one")
    arguments = {"backbone": tiny_still, "start": f"{folder / 'one'}", "out": f"{folder / 'two'}"}
    sharded = request.param == "fsdp"
    launch(parallel_workers.study_together, arguments, processes=2, sharded=sharded)
    return request.param, [torch.load(folder / f"two-{rank}") for rank in (0, 1)]


@pytest.fixture
def copies(monkeypatch):
    """Meanwhile, processes are copies of this one; `two` has new ones, as tests/test_launch.py."""
    monkeypatch.setattr("lib.fast.launch.start_processes", parallel_workers.start_copies)


def close(value: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(value, other, rtol=1e-6, atol=1e-6)


def test_steps_and_evaluations_are_those_of_one_process(one, two):
    for found in two[1]:
        for name in ("steps", "middle", "logits"):
            assert close(found[name], one[name]), name
        assert found["names"] == one["names"]
        assert found["threads"] == 1


def test_states_are_those_of_one_process(one, two, tiny_still):
    backend, (leader, other) = two
    assert list(leader["weights"]) == list(one["weights"])
    for name, tensor in one["weights"].items():
        assert close(leader["weights"][name], tensor), name
        assert close(leader["saved"][name], tensor), name
    assert list(leader["moments"]) == list(one["moments"])
    for number, state in one["moments"].items():
        for field, tensor in state.items():
            assert close(leader["moments"][number][field], tensor), (number, field)
    assert bool(other["weights"]) == bool(other["moments"]) == (backend == "ddp")
    assert close(parallel_workers.go_on(tiny_still, leader)["steps"], one["steps"][6:])


def test_two_processes_go_on_from_a_state(one, two):
    for found in two[1]:
        assert close(found["again"], one["middle"])  # the leading process's weights, put back
        assert close(found["went_on"]["steps"], one["steps"][6:])


def test_fsdp_leaves_each_process_half_of_weights_and_moments(one, two):
    backend, results = two
    share = 0.51 if backend == "fsdp" else 1.0  # a row more where they are odd
    for found in results:
        assert share - 0.02 < found["held"] / one["held"] <= share
        assert share - 0.02 < found["went_on"]["held"] / one["held"] <= share


def test_the_leading_process_decides(two):
    assert [found["agreed"] for found in two[1]] == [[True, False]] * 2


@pytest.mark.parametrize("backend", ["ddp", "fsdp"])
def test_two_processes_train_what_one_does(base, backend, copies, monkeypatch, tmp_path, capfd):
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
def test_checkpoints_move_between_one_and_two_processes(
    base, first, backend, copies, monkeypatch, capfd
):
    config = base.with_(epochs=2)
    whole = run(config, tracker="none")
    shutil_rename(whole)
    with monkeypatch.context() as patch:
        if first == 1:
            killed_at(patch, config, 9, checkpoint_every="1 step")
        else:
            killed_at_nine(patch, config, backend)
    capfd.readouterr()
    how = {"backend": backend, "processes": 2} if first == 1 else {}
    again = run(config, tracker="none", **how)
    assert "goes on after step 9 of 14" in capfd.readouterr().out
    kept = store.Run(whole.folder.with_name("kept"))
    assert np.allclose(again.history.train_loss, kept.history.train_loss, rtol=1e-6)


@pytest.mark.parametrize("backend", ["ddp", "fsdp"])
def test_two_processes_learn_from_a_teacher_as_one_does(
    base, backend, copies, monkeypatch, tmp_path
):
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


def killed_at_nine(patch, config, backend: str) -> None:
    """Train on two processes, of which one is killed after nine steps."""

    def launch_dying(function, arguments, **options):
        name = f"{function.__module__}:{function.__qualname__}"
        launch(parallel_workers.die_at_nine, {"name": name, "arguments": arguments}, **options)

    patch.setattr(single, "launch", launch_dying)
    with pytest.raises(ChildProcessError, match="goes on from the last checkpoint"):
        run(config, tracker="none", backend=backend, processes=2, checkpoint_every="1 step")
    checkpoints = list(store.store().glob("*/checkpoint"))
    assert [bool(list(folder.glob("step-*"))) for folder in checkpoints] == [True]
    assert not (checkpoints[0].parent / "status.json").exists()


def test_alone_there_are_no_processes():
    assert processes() is None


def test_shares_of_a_batch_are_the_batch():
    batch = torch.arange(5), torch.arange(5) * 10
    shares = [Processes(rank, 2).share(batch) for rank in (0, 1)]
    assert [rows[0].tolist() for rows, _ in shares] == [[0, 2, 4], [1, 3]]
    assert [counts for _, counts in shares] == [1.0, 1.0]
    single = tuple(tensor[:1] for tensor in batch)
    shares = [Processes(rank, 2).share(single) for rank in (0, 1)]
    assert [(rows[1].tolist(), counts) for rows, counts in shares] == [([0], 1.0), ([0], 0.0)]


def test_evaluation_batches_are_shared_and_sharded_ones_equally_many():
    batches = ["a", "b", "c"]
    assert [Processes(rank, 2).evaluation_batches(batches) for rank in (0, 1)] == [
        ["a", "c"],
        ["b"],
    ]
    assert [Processes(rank, 2, True).evaluation_batches(batches) for rank in (0, 1)] == [
        ["a", "c"],
        ["b", "c"],
    ]
    assert Processes(2, 4, True).evaluation_batches(["a"]) == ["a"]
    assert Processes(2, 4).evaluation_batches(["a"]) == []


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
    """For one machine with two processes."""
    command = accelerate(port, rank)
    command[1:3] = ["--use_fsdp", "--fsdp_version=2", "--num_machines=1"]
    return command


def start_node(command: list[str], log: Path) -> None:
    """What `python -m` does with a launcher's module and arguments, without a start of its own; the
    process that trains is a new one."""
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    warnings.simplefilter("ignore")
    sys.argv = command
    importlib.import_module(command[0]).main()


@pytest.mark.parametrize("launcher", [torchrun, accelerate, accelerate_fsdp])
def test_two_nodes_share_a_run(base, launcher, tmp_path):
    """The commands of docs/scaling.md for two machines, on one; with fsdp, two processes of one."""
    spec, port = tmp_path / "run.yaml", free_port()
    spec.write_text(base.with_(epochs=1).model_dump_json(exclude={"reading", "schedule_args"}))
    logs = [tmp_path / f"node-{rank}" for rank in (0, 1)]
    train = ["-m", "lib", "train", str(spec), "tracker=none"]
    nodes = [
        start_child(partial(start_node, [*launcher(port, rank), *train], logs[rank]))
        for rank in range(1 if launcher is accelerate_fsdp else 2)
    ]
    ends = [exit_code(node) for node in nodes]
    outputs = [log.read_text() for log in logs[: len(nodes)]]
    assert not any(ends), outputs
    assert sum("epoch 1/1" in output for output in outputs) == 1
    found = run_all([base.with_(epochs=1)])
    assert processes_of(found[0]) == 2


def processes_of(finished) -> int:
    return json.loads((finished.folder / "environment.json").read_text())["processes"]


def free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
