"""A run: trained once, whoever asks; what it leaves (killed: see test_resume.py)."""

import gc
from contextlib import redirect_stdout
from functools import partial

import numpy as np
from transformers.models.bert.modeling_bert import BertSelfAttention

from lib import garbage
from lib.many.pool import run_all
from lib.many.single import run
from lib.runs import keys
from tests.conftest import exit_code, start_child


def test_a_run_is_trained_once_and_keyed_by_content(base, capsys, tmp_path):
    first = run(base)
    assert "epoch 3/3" in capsys.readouterr().out
    copy = tmp_path / "elsewhere"
    (tmp_path / "data").rename(copy)
    again = run_all([base.with_(dataset=str(copy))])
    assert again[0].folder == first.folder and len(again[0].predictions)
    assert again[0].config.dataset == str(copy)
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
    left = {file.name for file in first.folder.iterdir()}
    assert left == ours
    with (copy / "train.csv").open("a") as file:
        file.write("kana lona mibe,no\n")
    keys._load_corpus.cache_clear()
    assert run(base.with_(dataset=str(copy))).folder != first.folder


def test_a_field_without_an_effect_is_recorded_as_its_default(base):
    one_epoch = base.with_(epochs=1)
    first = run(one_epoch.with_(lora_rank=16))
    assert first.config == one_epoch
    record = (first.folder / "config.json").read_bytes()
    again = run(one_epoch.with_(lora_rank=4, windows=2))
    assert again.folder == first.folder
    assert (first.folder / "config.json").read_bytes() == record


def test_chosen_and_last_epoch_are_scored_on_test(base):
    finished = run(base.with_(select_by="loss", learning_rate=3e-2, epochs=4))
    frame, status = finished.predictions, finished.status
    assert set(frame[frame.split == "test"].epoch) == {status["chosen_epoch"], 4}
    assert finished.history.dev_loss.idxmin() + 1 == status["chosen_epoch"] < 4
    assert set(frame[frame.split == "dev"].epoch) == {1, 2, 3, 4}
    assert frame.logit_0.dtype == np.float16
    every = run(base.with_(test_every_epoch=True)).predictions
    assert set(every[every.split == "test"].epoch) == {1, 2, 3}


def test_the_memory_of_a_model_is_free_after_its_run(base, monkeypatch):
    """Where nobody else looks for garbage, which a model without padding is."""

    def parts() -> int:
        return sum(type(each) is BertSelfAttention for each in gc.get_objects())

    gc.collect()
    before = parts()  # of models that other tests share
    gc.disable()
    try:
        left = []
        for least in (garbage.LARGE, 0):
            monkeypatch.setattr(garbage, "LARGE", least)
            run(base.with_(batching="packed", seed=len(left) + 1))
            left.append(parts())
    finally:
        gc.enable()
        gc.collect()
    assert left[0] > left[1] == before


def test_two_processes_train_a_run_once(base, tmp_path):
    def train(output):
        with output.open("w") as file, redirect_stdout(file):
            print(run(base, tracker="none").key)

    outputs = [tmp_path / f"process-{number}" for number in range(2)]
    children = [start_child(partial(train, output)) for output in outputs]
    assert [exit_code(child) for child in children] == [0, 0]
    outs = [output.read_text() for output in outputs]
    assert sorted("epoch 1/3" in out for out in outs) == [False, True]
    assert len({out.splitlines()[-1] for out in outs}) == 1
