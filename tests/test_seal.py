"""A finished run is read as it was written, or not at all."""

import json
import os
import random
import shutil

import pytest

from lib.errors import InputError
from lib.many.pool import run_all
from lib.many.single import run
from lib.publish.describe import describe
from lib.runs import seal
from lib.runs.store import Run, load_run, model_folder
from lib.use.results import write_results
from tests.conftest import digests

READ = {  # what reads each file of a run
    "status.json": lambda run: run.status,
    "config.json": lambda run: run.fields,
    "environment.json": lambda run: run.environment,
    "history.jsonl": lambda run: run.history,
    "predictions.parquet": lambda run: run.predictions,
    "model/config.json": lambda run: run.model,
    "model/classifier.json": lambda run: run.predict(["kana lobe"]),
    "model/tokenizer.json": lambda run: run.predict(["kana lobe"]),
    "model/model.safetensors": lambda run: run.predict(["kana lobe"]),
}


def flip(path, position: int | None = None, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 1 << bit
    path.write_bytes(content)


DAMAGE = {
    "flipped": flip,
    "torn": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "missing": os.remove,
}


@pytest.fixture
def copy(trained, tmp_path, monkeypatch):
    """The trained run in a store of the test's own."""
    folder = tmp_path / "store" / trained.folder.name
    shutil.copytree(trained.folder, folder)
    monkeypatch.setenv("RUNS_DIR", str(folder.parent))
    return Run(folder)


def test_the_status_holds_the_digests_of_all_that_is_read(trained):
    status = trained.status
    names = {"config.json", "environment.json", "history.jsonl", "predictions.parquet"}
    assert names | {f"model/{path.name}" for path in (trained.folder / "model").iterdir()} == set(
        status["files"]
    )
    assert seal.damage(trained.folder) is None
    assert seal.damage(trained.folder, weights=True) is None


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_never_read(copy, name, how):
    DAMAGE[how](copy.folder / name)
    assert seal.damage(copy.folder) == name
    what = "is missing" if how == "missing" else "is not what was written"
    sentence = f"The run .*{copy.folder.name} is damaged: its {name} {what}; the command that"
    readers = [READ[name], lambda run: run.model]
    if (name, how) != ("status.json", "missing"):  # a run that is not finished
        readers.append(lambda run: load_run(run.folder))
    for read in readers:
        with pytest.raises(InputError, match=sentence):
            read(Run(copy.folder))


@pytest.mark.parametrize("name", ["status.json", "predictions.parquet", "history.jsonl"])
def test_no_flipped_bit_is_read_as_other_data(copy, name):
    path = copy.folder / name
    whole = path.read_bytes()
    wanted = READ[name](copy)
    dice = random.Random(1)
    for _ in range(150):
        flip(path, dice.randrange(len(whole)), dice.randrange(8))
        try:
            assert str(READ[name](Run(copy.folder))) == str(wanted)  # of JSON: a blank
        except InputError:
            pass
        else:
            assert name == "status.json"
        path.write_bytes(whole)


def test_whoever_asks_for_a_damaged_run_is_told(copy):
    flip(copy.folder / "predictions.parquet")
    name = copy.folder.name
    for ask in (load_run, model_folder, describe):
        with pytest.raises(InputError, match="its predictions.parquet is not what was written"):
            ask(name)


def test_weights_are_checked_by_who_loads_them_and_then_by_who_looks_for_the_run(copy):
    """A bit that changes on the disk changes no time: the digest alone tells."""
    path = copy.folder / "model" / "model.safetensors"
    facts = path.stat()
    flip(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert not seal.damage(copy.folder)
    for ask in (lambda name: load_run(name).model, model_folder):
        with pytest.raises(InputError, match="its model/model.safetensors is not what was written"):
            ask(copy.folder.name)
        assert seal.damage(copy.folder) == "model/model.safetensors"
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with pytest.raises(InputError, match="is not what was written"):
        model_folder(copy.folder / "model")


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_run_is_trained_again_to_the_same_bytes(base, how, capsys):
    config = base.with_(epochs=1)
    first = run(config, tracker="none")
    before = digests(first)
    names = ["status.json", "config.json", "predictions.parquet", "model/model.safetensors"]
    for name in names:
        DAMAGE[how](first.folder / name)
        capsys.readouterr()
        (again,) = run_all([config], "none")
        out = capsys.readouterr().out
        if (name, how) != ("status.json", "missing"):  # which a killed run lacks, too
            assert f"the run {first.folder.name} is damaged (its {name} is" in out
        assert "epoch 1/1" in out and "1 trained, 0 from the store" in out
        assert digests(again) == before
    run_all([config], "none")
    assert "0 trained, 1 from the store" in capsys.readouterr().out


def test_a_baseline_is_sealed(base, capsys):
    config = base.baseline("majority")
    first = run(config)
    assert len(first.history) == 0
    flip(first.folder / "predictions.parquet")
    with pytest.raises(InputError, match=r"predictions\.parquet is not what was written"):
        _ = first.predictions
    assert len(run(config).predictions)


def test_what_is_made_from_a_run_later_leaves_its_seal_alone(copy):
    write_results(copy)
    flip(copy.folder / "trainer_state.json")
    assert seal.damage(copy.folder, weights=True) is None
    write_results(copy)
    json.loads((copy.folder / "trainer_state.json").read_text(encoding="utf-8"))


def test_a_run_without_a_seal_is_read(copy, base):
    status = copy.status
    for name in ("files", "seal", "unread"):
        del status[name]
    (copy.folder / "status.json").write_text(json.dumps(status), encoding="utf-8")
    assert seal.damage(copy.folder) is None
    assert len(copy.predictions) and len(copy.history) == 2 and copy.model
    os.truncate(copy.folder / "predictions.parquet", 99)
    assert seal.damage(copy.folder) == "predictions.parquet"
    with pytest.raises(InputError, match="its predictions.parquet is not what was written"):
        _ = copy.predictions


def test_a_kill_between_two_writes_of_another_name_leaves_the_run_whole(copy, monkeypatch):
    fields = copy.fields | {"dataset": "another name"}
    written = []
    write = seal.write_json

    def dies_after(path, value):
        if len(written) == last:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, value)

    for last in range(3):
        written.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(seal, "write_json", dies_after)
            seal.replace_sealed(copy.folder, "config.json", fields)
        assert seal.damage(copy.folder) is None
        assert copy.fields["dataset"] == ("another name" if last == 2 else fields_before(copy))
    seal.replace_sealed(copy.folder, "config.json", fields)
    assert seal.damage(copy.folder) is None and copy.fields == fields
    assert isinstance(copy.status["files"]["config.json"], str)


def fields_before(copy) -> str:
    return json.loads((copy.folder / "config.json").read_text(encoding="utf-8"))["dataset"]
