"""The benchmark: its equality gate, what it counts, its arithmetic, and its page, on a tiny
transformer."""

import copy
import io
import subprocess
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
import torch

from lib.errors import InputError
from lib.models import build_model
from tests import bench, bench_page


@pytest.fixture
def settings(tiny, tmp_path):
    sizes = {
        "max_length": 32,
        "batch_size": 4,
        "rounds": 1,
        "steps": 2,
        "pool": 96,
        "gate_steps": 4,
        "matmul": 256,
    }
    study = {
        "train_rows": 24,
        "dev_rows": 12,
        "test_rows": 20,
        "epochs": 2,
        "seeds": (1, 2),
        "every": 3,
    }
    options = (
        sizes
        | study
        | {"ours": ("random:fp32", bench.BATCHINGS[-1]), "token_rows": (60,), "threads": 1}
    )
    return bench.Settings(backbone=tiny["bert"], target=0.01, out=str(tmp_path / "page"), **options)


def test_the_gate_lets_equal_loops_pass_and_no_others(settings):
    dataset, start = bench.news_like(settings), bench.new_model(settings, 4)
    before = copy.deepcopy(start.state_dict())
    table = bench.gate(settings, start, dataset)
    assert (table.groupby("layout").size() == 4).all() and table["step"].nunique() == 4
    assert table["difference"].max() <= 1e-5 and table["trainer_loss"].nunique() == 4
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    with pytest.raises(
        bench.NotEqualError, match=r"the losses differ by up to .* nothing is measured"
    ):
        bench.gate(settings, start, dataset, clip_norm=1e-4)


def made_up() -> pd.DataFrame:
    """Five rounds of 10 documents; ours takes 1 s, Trainer 2 to 6 s; the machine was slow in
    round 4."""
    rows = []
    for number in range(1, 6):
        speed = 100.0 if number != 4 else 89.0
        for name, by, seconds in (
            ("ours, a", "ours", 1.0),
            *((n, "Trainer", 1.0 + number) for n in bench_page.REFERENCES),
        ):
            rows.append(
                {
                    "round": number,
                    "turn": 1,
                    "configuration": name,
                    "by": by,
                    "precision": "bf16",
                    "seconds": seconds,
                    "documents": 10,
                    "tokens": 60,
                    "computed_tokens": 80,
                    "gflop": 30.0,
                    "matmul_gflops": speed,
                }
            )
    return pd.DataFrame(rows)


def test_ratios_and_dropped_rounds():
    quiet, dropped = bench_page.quiet_rounds(made_up())
    assert dropped == [4] and sorted(quiet["round"].unique()) == [1, 2, 3, 5]
    assert bench_page.quiet_rounds(made_up().replace({"matmul_gflops": {89.0: 91.0}}))[1] == []
    with pytest.raises(InputError, match="too noisy"):
        bench_page.quiet_rounds(
            made_up().assign(matmul_gflops=lambda table: 50.0 + 50 * (table["round"] % 2))[6:]
        )
    table = bench_page.speeds(made_up()).set_index("configuration")
    ours = table.loc["ours, a"]
    middle, low, high = ours["× default script"]
    assert [middle, low, high] == pytest.approx([3.5, 2, 6])  # the median of 2, 3, 4 and 6
    assert ours["samples_per_second"] == 10 and ours["tokens_per_second"] == 60
    assert ours["padding"] == 0.25 and ours["share_of_peak"] == pytest.approx(0.3)
    assert list(table["by"]) == ["Trainer"] * 3 + ["ours"]


def test_time_to_a_target():
    curve = pd.DataFrame(
        [(n, s, t, t * (1 + (n == "b")) / 10) for n in "ab" for s in (1, 2) for t in (2, 4, 6, 8)],
        columns=["configuration", "seed", "seconds", "dev_accuracy"],
    )
    rows = [
        (n, s, i, i % 2, (i + (i < 2 and n == "a")) % 2)
        for n in "ab"
        for s in (1, 2)
        for i in range(8)
    ]
    predictions = pd.DataFrame(rows, columns=["configuration", "seed", "row", "label", "predicted"])
    (a, b), apart = bench_page.accuracy(curve, predictions, target=0.8)
    assert a["seconds"].tolist() == [8, 8] and b["seconds"].tolist() == [4, 4]
    assert a["accuracy"] == 0.75 and b["accuracy"] == 1 and apart["difference"] == 0.25
    (a, b), _ = bench_page.accuracy(curve, predictions, target=0.9)
    assert np.isnan(a["seconds"]).all() and b["seconds"].tolist() == [6, 6]


def test_only_the_models_own_steps_count():
    model, other, counts = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1), []
    with bench.after_each_step(model, counts.append) as steps:
        for one in (model, other, model):
            torch.optim.SGD(one.parameters(), lr=0.1).step()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert counts == [1, 2] and steps() == 2


def test_a_sample_of_an_epoch_has_every_size(settings):
    dataset = bench.news_like(settings)
    lengths = dataset.tensors[1].sum(1)
    assert lengths.min() >= 3 and lengths.max() == 32 and len(lengths) == 96
    for way in bench.ways(settings):
        epoch = bench.epoch_of(way, dataset, settings, seed=1)
        assert sorted(row for batch in epoch for row in batch) == list(range(96))
        chosen = bench.choose(epoch, np.array([0.0, 0.5, 0.999]))
        assert [epoch.index(batch) for batch in chosen] == [0, 12, 23]
        tokens = [int(lengths[batch].sum()) for batch in epoch]
        assert tokens == sorted(tokens)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_operations_are_those_that_torch_counts(tiny, kind):
    from torch.utils.flop_counter import FlopCounterMode

    model = build_model(tiny[kind], num_labels=3)
    model.backbone.set_attn_implementation("eager")
    lengths, total = torch.tensor([5, 17]), 0
    for length in lengths:
        ids = torch.ones(1, int(length), dtype=torch.int32)
        with FlopCounterMode(display=False) as counter:
            model.eval()(ids, torch.ones_like(ids))
        total += counter.get_total_flops()
    assert bench.flops(lengths, model.backbone.config, 3) == pytest.approx(3 * total)


def test_settings_are_checked_and_can_be_told_again(settings):
    with pytest.raises(InputError, match="batching = 'sideways': input should be 'random'"):
        bench.ways(settings.model_copy(update={"ours": ("sideways",)}))
    with pytest.raises(InputError, match="Unknown parameter 'round'. Did you mean rounds"):
        bench.Settings(round=3)
    with pytest.raises(InputError, match="rounds = '0': input should be greater"):
        bench.Settings(rounds="0")
    words = bench.arguments_of(settings.model_copy(update={"accuracy": False}))
    options = {k: v for k, v in vars(bench.parse(words)).items() if k not in ("page", "tokenize")}
    assert bench.Settings(**options) == settings.model_copy(update={"accuracy": False, "out": ""})


def test_a_whole_run_writes_its_page(settings, monkeypatch):
    start_process, commands = subprocess.run, []

    def start_one_process(command, **options):
        """The first of its commands as it is, the others here: most of it is imports."""
        if "tests.bench" in command:
            commands.append(command)
        if len(commands) == 1 or "tests.bench" not in command:
            return start_process(command, **options)
        with redirect_stdout(io.StringIO()) as out:
            bench.main(command[3:])
        return subprocess.CompletedProcess(command, 0, out.getvalue(), "")

    monkeypatch.setattr(bench.subprocess, "run", start_one_process)
    folder = bench.run(settings, "make bench")
    tables = ("accuracy", "gate", "predictions", "profile", "rounds", "tokenization")
    files = ["README.md", *(f"{name}.csv" for name in tables), "environment.json", "speed.png"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(files)
    assert len(commands) == len(bench.TOKENIZERS) == len(pd.read_csv(folder / "tokenization.csv"))
    rounds = pd.read_csv(folder / "rounds.csv")
    assert len(rounds) == 6 and (rounds["documents"] == 8).all() and (rounds["seconds"] > 0).all()
    assert (rounds["computed_tokens"] >= rounds["tokens"]).all()
    padded = rounds[rounds["configuration"] == "Trainer, default script"]
    assert (padded["computed_tokens"] == 8 * 32).all()
    curve = pd.read_csv(folder / "accuracy.csv")
    assert set(curve["step"]) == {3, 6, 9, 12} and len(curve) == 2 * 2 * 4
    assert (curve.groupby(["configuration", "seed"])["seconds"].diff().dropna() > 0).all()
    page = (folder / "README.md").read_text()
    quick = bench_page.speeds(rounds)
    best = quick[quick["by"] == "ours"]["samples_per_second"].max()
    assert (
        f"trains on {best:.0f} documents a second" in page
        and "nan" not in page
        and "None" not in page
    )
    picture = (folder / "speed.png").read_bytes()
    (folder / "README.md").unlink()
    bench.main(["--page", str(folder)])
    assert (folder / "README.md").read_text() == page and (
        folder / "speed.png"
    ).read_bytes() == picture
