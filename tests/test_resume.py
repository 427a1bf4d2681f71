"""A run that is killed anywhere ends with the bytes of one that is not."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lib import evaluation, training
from lib.errors import InputError, StoppedError
from lib.many.pool import run
from lib.many.single import prepare
from lib.runs import store
from lib.runs.config import RunConfig
from lib.runs.machine import environment
from lib.runs.paths import ROOT
from lib.session import artifacts, checkpoints, session
from lib.session.building import build
from tests.conftest import digests, exit_code, save_learnable, start_child

FIXED = {
    "max_length": 16,
    "batch_size": 16,
    "dev_rows": 12,
    "learning_rate": 3e-3,
    "precision": "fp32",
    "epochs": 2,
}
STEPS = 6  # 48 rows, batches of 16, two epochs


@pytest.fixture(scope="module")
def base(tiny, tmp_path_factory):
    data = save_learnable(tmp_path_factory.mktemp("resume") / "data")
    return RunConfig(dataset=str(data), backbone=tiny["bert"], accumulation=2, **FIXED)


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """The run of `base` that nothing disturbed, in a store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(tmp_path_factory.mktemp("whole")))
        return run(base, tracker="none")


def killed_at(monkeypatch, config, step: int, when: str = "after", **options) -> None:
    """Train in a child that kills itself when it has done (or, `when` is at, is about to do) a
    step."""
    seed_step, save = training.seed_step, checkpoints.save_file

    def dies(seed, number, rank=0):
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)
        seed_step(seed, number, rank)

    def dies_writing(tensors, path):
        save(tensors, path)
        if f"step-{step:09d}" in str(path):
            with open(path, "r+b") as file:
                file.truncate(os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def train():
        run(config, tracker="none", **options)

    with monkeypatch.context() as patch:
        if when == "writing":
            patch.setattr(checkpoints, "save_file", dies_writing)
        else:
            patch.setattr(training, "seed_step", dies)
        assert exit_code(start_child(train)) == -signal.SIGKILL


def same(one, other) -> None:
    assert digests(one) == digests(other)
    timeless = [name for name in one.history if "second" not in name]
    assert one.history[timeless].equals(other.history[timeless])


@pytest.mark.parametrize("batching", ["grouped", "random"])
def test_killed_at_every_step_it_ends_with_the_same_bytes(
    base, batching, monkeypatch, tmp_path, capfd
):
    config = base.with_(batching=batching)
    whole = run(config)
    assert whole.history["step"].iloc[-1] == STEPS
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "killed once"))
    for step in range(STEPS):  # once, and then to the end
        killed_at(monkeypatch, config, step, checkpoint_every="1 step")
        again = run(config, tracker="none", checkpoint_every="1 step")
        same(again, whole)
        assert not (again.folder / "checkpoint").exists()
        shutil.rmtree(again.folder)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "killed at each step"))
    for step in range(STEPS):  # each time one step further
        killed_at(monkeypatch, config, step, checkpoint_every="1 step")
    capfd.readouterr()
    same(run(config, tracker="none"), whole)
    assert f"goes on after step {STEPS - 1} of {STEPS}" in capfd.readouterr().out


def test_killed_while_a_checkpoint_is_written(base, whole, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "ein Ort mit Leerzeichen und Ümläuten"))
    for step in range(1, STEPS):
        killed_at(monkeypatch, base, step, "writing", checkpoint_every="1 step")
        left = sorted(path.name for path in next(store.store().glob("*/checkpoint")).iterdir())
        assert len([name for name in left if name.endswith(".part")]) == 1  # earlier ones are swept
        assert [name for name in left if not name.endswith(".part")] == [
            f"step-{s:09d}" for s in (step - 2, step - 1) if s > 0
        ]
    same(run(base, tracker="none", checkpoint_every="1 step"), whole)


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped bit": flip,
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "missing": os.remove,
}


@pytest.mark.parametrize("file", ["state.safetensors", "progress.json", "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    base, whole, file, damage, monkeypatch, capfd
):
    killed_at(monkeypatch, base, 4, checkpoint_every="1 step")
    newest = sorted(next(store.store().glob("*/checkpoint")).iterdir())[-1]
    DAMAGE[damage](newest / file)
    capfd.readouterr()
    same(run(base, tracker="none"), whole)
    out = capfd.readouterr().out
    assert (
        f"The checkpoint {newest} is damaged and is left out" in out
        and "goes on after step 3 of 6" in out
    )


def test_another_machine_or_version_is_said(base, monkeypatch, capfd):
    killed_at(monkeypatch, base, 2, checkpoint_every="1 step")
    here = environment()
    monkeypatch.setattr(session, "environment", lambda _: here | {"threads": 7, "torch": "3.0"})
    capfd.readouterr()
    run(base, tracker="none")
    threads = f"threads {here['threads']} (now 7)"
    versions = f"{threads}, torch {here['torch']} (now 3.0)"
    message = f"the checkpoint was made with {versions}: the result may differ"
    assert message in capfd.readouterr().out


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
def test_a_state_goes_on_where_the_model_does(base, optimizer, monkeypatch):
    """A checkpoint is read on the CPU; training brings what it holds to its device, as to a GPU."""
    # packed: nothing on the way to a step looks at a number on the device
    config = base.with_(optimizer=optimizer, batching="packed")
    killed_at(monkeypatch, config, 1, checkpoint_every="1 step")
    meta = torch.device("meta")  # computes shapes alone, and refuses two devices as a GPU does
    devices_by_field = {}

    def look(optimizer, *_):
        learning = [p for p in optimizer.param_groups[0]["params"] if p.grad is not None]
        for parameter in learning:
            assert parameter.device == parameter.grad.device == meta
            state = optimizer.state[parameter]
            devices_by_field.update({name: tensor.device for name, tensor in state.items()})
        if learning:  # else a plan of learning rates is made
            raise InputError("seen")

    # parameters stay the same objects, as they do on the way to a GPU
    monkeypatch.setattr(torch.__future__, "_swap_module_params_on_conversion", True)
    monkeypatch.setattr(training, "default_device", lambda: meta)
    monkeypatch.setattr(training, "autocast", lambda *_: nullcontext())
    hook = register_optimizer_step_pre_hook(look)
    try:
        with pytest.raises(InputError, match="seen"):
            run(config, tracker="none")
    finally:
        hook.remove()
    if optimizer == "adamw":
        assert devices_by_field == dict.fromkeys(["step", "exp_avg", "exp_avg_sq"], meta)
    else:
        assert devices_by_field == {"step": torch.device("cpu"), "sum": meta}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step(base, whole, number, monkeypatch, capfd):
    seed_step, handler = training.seed_step, signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(
            training,
            "seed_step",
            lambda *key: (key[1] == 3 and os.kill(os.getpid(), number)) or seed_step(*key),
        )
        with pytest.raises(
            StoppedError, match="after step 4; the same command goes on from step 4 of 6"
        ):
            run(base, tracker="none")
    assert signal.getsignal(number) == handler
    same(run(base, tracker="none"), whole)
    assert "goes on after step 4 of 6" in capfd.readouterr().out


def test_memory_that_is_too_small_halves_the_pieces_and_is_recorded(
    base, monkeypatch, capfd, tmp_path
):
    config = base.with_(accumulation=1)
    forward, sizes = training.backward, []

    def small(model, batch, parts, how):
        sizes.append((len(batch[0]), parts))
        if len(batch[0]) / parts > 4:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 9 bytes"
            )
        return forward(model, batch, parts, how)

    monkeypatch.setattr(training, "backward", small)
    finished = run(config, tracker="none", checkpoint_every="1 step")
    assert sizes == [(16, 1), (16, 2), *[(16, 4)] * STEPS]
    assert finished.status["halved"] == [[1, 2], [1, 4]]
    assert (
        "from step 1 on, a batch of 16 documents is computed in 4 parts" in capfd.readouterr().out
    )
    monkeypatch.setattr(training, "backward", forward)
    never = RuntimeError("can't allocate memory")
    monkeypatch.setattr(training, "backward", lambda *a: (_ for _ in ()).throw(never))
    with pytest.raises(
        InputError, match="Memory is too small for step 1; choose a smaller max_length"
    ):
        run(config.with_(seed=2), tracker="none")


@pytest.mark.parametrize(
    "options", [{}, {"class_weight": "balanced"}, {"focal_gamma": 1.0, "class_weight": "balanced"}]
)
def test_pieces_give_the_gradient_of_the_whole_batch(tiny, folder, options):
    from lib.losses import Objective, make_loss
    from lib.models import build_model

    model = build_model(tiny["bert"], head="mean", num_labels=3, dropout=0.0).eval()
    torch.manual_seed(0)
    ids, mask = (
        torch.randint(4, 40, (7, 12), dtype=torch.int32),
        torch.ones(7, 12, dtype=torch.int32),
    )
    mask[2:4, 5:] = 0
    batch = ids, mask, torch.tensor([0, 1, 2, 0, 0, 1, 0], dtype=torch.int32)
    objective = Objective(make_loss(batch[2].numpy(), 3, **options))
    how = training.Computation(torch.device("cpu"), objective, "fp32", seed=1)
    found = {}
    for parts in (1, 2, 3, 7):
        model.zero_grad()
        loss = training.backward(model, batch, parts, how)
        found[parts] = (
            loss,
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]),
        )
        assert torch.allclose(found[parts][0], found[1][0], rtol=1e-6)
        assert torch.allclose(found[parts][1], found[1][1], atol=1e-6)


def test_a_loss_that_is_not_finite_stops_before_it_changes_a_weight(base, monkeypatch, capfd):
    forward, calls = training.backward, []

    def bad(*args):
        calls.append(1)
        return forward(*args) * (float("nan") if len(calls) == 4 else 1.0)

    monkeypatch.setattr(training, "backward", bad)
    diverged = run(base, tracker="none", checkpoint_every="1 step")
    assert len(calls) == 4 and diverged.status["status"] == "diverged"
    assert diverged.status["reason"] == "the loss was not finite at step 4 (learning rate 0.003)"
    assert diverged.status["checkpoint"] == "step-000000003"
    assert (diverged.folder / "checkpoint" / "step-000000003" / "state.safetensors").exists()
    assert "the last good checkpoint is" in capfd.readouterr().out


def test_a_disk_that_is_full_does_not_end_a_run(base, whole, monkeypatch, capfd):
    monkeypatch.setattr(
        checkpoints,
        "save_file",
        lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    again = run(base, tracker="none", checkpoint_every="3 steps")
    out = capfd.readouterr().out
    assert (
        out.count("the checkpoint could not be written to") == 1
        and "no space left on device" in out
    )
    same(again, whole)


def test_a_disk_that_is_full_at_the_end_keeps_the_checkpoint(base, monkeypatch, capfd):
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "save_model", lambda *a, **k: (_ for _ in ()).throw(full))
        message = (
            r"could not be kept in .* \(no space left on device\)"
            ".*same command goes on from its last checkpoint"
        )
        with pytest.raises(InputError, match=message):
            run(base, tracker="none", checkpoint_every="5 steps")
    run(base, tracker="none")
    assert "goes on after step 5 of 6" in capfd.readouterr().out


def test_a_store_that_cannot_be_written_is_one_sentence(base, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "file" / "runs"))
    with pytest.raises(InputError, match=r"file/runs.*\(not a directory\)"):
        run(base, tracker="none")


def test_evaluation_computes_in_halves_what_does_not_fit(base, monkeypatch):
    trained = build(prepare(base))
    model = trained.model
    dev = trained.dev
    whole = evaluation.evaluate(model, dev, precision="fp32")
    forward = type(model).forward
    sizes = []

    def small(self, ids, mask):
        sizes.append(len(ids))
        if len(ids) > 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(self, ids, mask)

    monkeypatch.setattr(type(model), "forward", small)
    halves = evaluation.evaluate(model, dev, precision="fp32")
    assert sizes == [12, 6, 3, 3, 6, 3, 3]
    assert abs(halves.logits.astype(float) - whole.logits.astype(float)).max() < 2e-3


def test_ctrl_c_at_a_terminal_goes_on_with_the_same_command(base, monkeypatch, capfd, tmp_path):
    """The command says where it stopped, and the same run ends with the same bytes."""
    spec = tmp_path / "run.yaml"
    long = base.with_(epochs=40)
    spec.write_text(long.model_dump_json(exclude={"reading", "schedule_args"}))
    command = [sys.executable, "-u", "-m", "lib", "train", str(spec), "tracker=none"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "epoch 2/40" in line:
            break
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in errors
    assert "Stopped: after step" in errors and "the same command goes on from step" in errors
    stopped = run(long, tracker="none")
    assert "goes on after step" in capfd.readouterr().out
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "other"))
    same(stopped, run(long, tracker="none"))
