"""Export: other runtimes give PyTorch's logits for any batch and length, and what does not is
not written."""

import json

import numpy as np
import pytest
import torch

from lib.errors import InputError
from lib.runs.config import RunConfig
from lib.runs.pool import run
from lib.use import export
from tests.test_cli import cli

TEXTS = ["kana lona mici", "kabe", "peci soso rido kana kana lona nuna", "lona lona"]


@pytest.fixture
def done(tiny, folder):
    sizes = {"max_length": 16, "batch_size": 8, "dev_rows": 12, "epochs": 2, "learning_rate": 3e-3}
    return run(RunConfig(dataset=str(folder), backbone=tiny["bert"], precision="fp32", **sizes))


def test_export_from_the_command_line_any_batch_any_length(done, monkeypatch, capsys, tmp_path):
    assert cli(monkeypatch, "export", done.folder, "--format", "onnx", "--quantize", "int8") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "On 12 texts, logits are PyTorch's within" in lines[-3] and "int8: agreement" in lines[-2]
    )
    out = done.folder / "onnx"
    assert lines[-1] == str(out)
    assert {file.name for file in out.iterdir()} >= {
        "model.onnx",
        "model_int8.onnx",
        "export.json",
        "tokenizer.json",
    }
    plain, exported = export.pytorch(done.model[0]), export.runtime(out / "model.onnx")
    for rows, tokens in ((1, 3), (2, 8), (5, 16), (1, 16)):
        ids, mask = (
            torch.randint(4, 40, (rows, tokens)),
            torch.ones(rows, tokens, dtype=torch.int64),
        )
        mask[0, tokens // 2 + 1 :] = 0
        assert np.abs(exported(ids, mask) - plain(ids, mask)).max() < export.TOLERANCE
    about = json.loads((out / "export.json").read_text())
    assert about["int8"]["agreement"] >= 0.9 and about["largest_difference"] < export.TOLERANCE
    before = (out / "model.onnx").stat().st_mtime_ns
    assert cli(monkeypatch, "export", done.key, "--quantize", "int8") == 0
    assert (out / "model.onnx").stat().st_mtime_ns == before

    table = export.benchmark(
        {"tiny": done.folder / "model"}, TEXTS, counts=(1, 3), rounds=2, cache=tmp_path / "kept"
    )
    assert table["runtime"].tolist() == ["PyTorch", "ONNX Runtime", "ONNX Runtime, int8"] * 2
    assert (
        (table["texts per second"] * table["milliseconds"] / 1000 / table["texts at once"])
        .round(6)
        .eq(1)
        .all()
    )
    assert table["MB"].iloc[2] < table["MB"].iloc[1]
    again = export.benchmark(
        {"tiny": done.folder / "model"}, TEXTS, counts=(1, 3), rounds=2, cache=tmp_path / "kept"
    )
    assert np.allclose(table.select_dtypes("number"), again.select_dtypes("number"))


def test_what_differs_is_not_written(done, monkeypatch):
    monkeypatch.setattr(export, "write_onnx", lambda model, path: path.write_bytes(b""))
    monkeypatch.setattr(
        export, "runtime", lambda path: lambda ids, mask: np.full((len(ids), 2), 9.0)
    )
    with pytest.raises(
        InputError, match="differ from PyTorch's by up to .*, more than 0.0001; nothing was written"
    ):
        export.export(done.folder / "model", TEXTS, done.folder / "onnx")
    assert not list(done.folder.glob("onnx*"))


def test_wrong_requests(done, monkeypatch, capsys, tmp_path):
    for words, message in [
        (("--format", "onxn"), "Unknown format 'onxn'. Did you mean onnx?"),
        (("--quantize", "int4"), "Unknown quantize 'int4'. Did you mean int8?"),
        (("--texts", tmp_path / "none.txt"), "There is no file"),
    ]:
        assert cli(monkeypatch, "export", done.folder, *words) == 1
        assert message in capsys.readouterr().err
    assert cli(monkeypatch, "export", "nothing") == 1
    lstm = run(done.config.with_(head="lstm", epochs=1))
    with pytest.raises(InputError, match="torch cannot export this model .*LstmHead.* to ONNX"):
        export.export(lstm.folder / "model", TEXTS, lstm.folder / "onnx")
    assert not (lstm.folder / "onnx").exists()
