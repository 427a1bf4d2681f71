"""Many runs: shared beginnings, divergence among them, references."""

import pytest

from lib import collect
from lib.errors import InputError
from lib.many.pool import run_all
from lib.many.single import prepare, run
from lib.runs.keys import prefix_hashes
from tests.conftest import digests


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
    run(base.with_(epochs=2), keep=prefix_hashes(prepare(base))[:2])
    state = (
        tmp_path / "other" / "checkpoints" / prefix_hashes(prepare(base))[1] / "state.safetensors"
    )
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    capsys.readouterr()
    assert digests(run(base)) == wanted
    out = capsys.readouterr().out
    assert "is damaged and is left out" in out and "goes on after epoch 1" in out


def test_divergence_is_a_result(base, capsys):
    later = base.with_(optimizer="sgd", learning_rate=1e30)
    finished = run_all([later, base])
    assert finished[0].status["status"] == "diverged" and "at step" in finished[0].status["reason"]
    assert finished[1].status["status"] == "finished"
    assert collect(finished).runs[finished[0].key[:16]]["status"] == "diverged"
    assert len(collect(finished).groups("seed")[0].seeds) == 1


def test_a_study_with_a_diverged_seed_still_has_its_tables(base):
    from lib.analysis import tables
    from notebooks import ag_news

    configs = [
        base.with_(seed=seed, schedule=name)
        for seed in (1, 2, 3)
        for name in ("constant", "linear")
    ]
    configs[3] = configs[3].with_(optimizer="sgd", learning_rate=1e30)
    runs = run_all([*configs, configs[0], base.baseline("tfidf")])
    assert len(runs) == 7 and runs[3].status["status"] == "diverged"
    table = tables.differences(collect(runs), by="schedule")
    assert table["seeds"].tolist() == ["2 and 3", 3, 2]
    assert tables.by_group(collect(runs), by="schedule", metrics=["accuracy"])[
        "seeds"
    ].tolist() == [3, 2, 1]
    assert ag_news.overshoot(collect(runs), by="schedule")["schedule"].tolist() == [
        "constant",
        "linear",
    ]
    with pytest.raises(InputError, match="several runs with seed"):
        tables.by_group(collect(runs), by="head", metrics=["accuracy"])
