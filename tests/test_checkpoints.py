"""When a checkpoint is due, and what is kept of it."""

import pytest
import torch

from lib.errors import InputError
from lib.session import checkpoints
from lib.session.checkpoints import CheckpointTimer, Record, TrainingState
from lib.training import Progress


@pytest.mark.parametrize(
    ("every", "due"),
    [("2 steps", [2, 4, 6, 8]), ("1 epoch", [3, 6]), ("2 epochs", [6]), ("never", []), (0, [])],
)
def test_due_by_steps_and_epochs(every, due):
    timer = CheckpointTimer.of(every)
    assert [step for step in range(1, 9) if timer.is_due(step, 3)] == due


@pytest.mark.parametrize("every", [5, "5", "5 minutes", "an epoch or 5 minutes"])
def test_due_by_minutes(every, monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: seconds[0])
    timer = CheckpointTimer.of(every)
    seconds[0] = 299.0
    assert not timer.is_due(3, 3)
    seconds[0] = 301.0
    assert timer.is_due(4, 3)
    timer.written()
    assert not timer.is_due(5, 3)


@pytest.mark.parametrize("every", ["often", -1, "5 hours", "nan", None])
def test_anything_else_is_refused(every):
    with pytest.raises(InputError, match="checkpoint_every is .*; it wants minutes, a number"):
        CheckpointTimer.of(every)


def state_at(step: int) -> TrainingState:
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(1)}
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.full((2, 3), 0.5)}}
    progress = Progress(step, torch.arange(9.0), torch.ones(9), seconds=1.5, pieces=2)
    best = {"a": torch.zeros(2, 3), "b": torch.zeros(1)}
    record = Record([{"epoch": 1}], [], 1, 0.75, best, {"threads": 1})
    return TrainingState(weights, {"state": moments}, progress, record)


def test_what_is_written_is_read_again(tmp_path):
    for step in (3, 4, 5):
        checkpoints.save_newest(tmp_path, state_at(step))
    assert [path.name for path in checkpoints.steps_in(tmp_path)] == [
        "step-000000004",
        "step-000000005",
    ]
    steps_by_folder = {path: checkpoints.step_of(path) for path in checkpoints.steps_in(tmp_path)}
    folder, state = checkpoints.load_furthest(steps_by_folder)
    assert folder.name == "step-000000005"
    assert state.progress.losses.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (state.progress.seconds, state.progress.pieces) == (1.5, 2)
    assert torch.equal(state.model["a"], torch.arange(6.0).view(2, 3))
    assert torch.equal(state.record.best_weights["a"], torch.zeros(2, 3))
    assert state.optimizer["state"][0]["exp_avg"].shape == (2, 3)
    assert state.record.chosen_epoch == 1 and state.record.history == [{"epoch": 1}]


@pytest.mark.parametrize("name", ["state.safetensors", "progress.json", "manifest.json"])
def test_a_flipped_bit_is_never_read(name, tmp_path, capsys):
    checkpoints.save_newest(tmp_path, state_at(3))
    checkpoints.save_newest(tmp_path, state_at(4))
    path = tmp_path / "step-000000004" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    steps_by_folder = {path: checkpoints.step_of(path) for path in checkpoints.steps_in(tmp_path)}
    folder, _ = checkpoints.load_furthest(steps_by_folder)
    assert folder.name == "step-000000003"
    assert "step-000000004 is damaged and is left out" in capsys.readouterr().out
    assert checkpoints.load_furthest({tmp_path / "nothing": 9}) is None
