"""Export: other runtimes give PyTorch's logits for any batch and length, and what does not is
not written."""

import numpy as np
import pytest
import torch

from lib.errors import InputError
from lib.many.pool import run_all
from lib.runs.config import RunConfig
from lib.runs.files import read_json
from lib.use import export, timing
from lib.use.export import TOLERANCE, agreement
from tests.conftest import save_learnable
from tests.test_cli import cli

TEXTS = ["kana lona mici", "kabe", "peci soso rido kana kana lona nuna", "lona lona"]


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run, another one whose head cannot be exported, and the store they are in."""
    root = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        data = str(save_learnable(root / "data"))
        sizes = {"max_length": 16, "batch_size": 8, "dev_rows": 12, "precision": "fp32"}
        base = RunConfig(dataset=data, backbone=tiny["bert"], learning_rate=3e-3, **sizes)
        runs = run_all([base.with_(epochs=2), base.with_(head="lstm", epochs=1)], "none")
    return *runs, root / "runs"


@pytest.fixture
def done(trained, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(trained[-1]))
    return trained[0]


def test_export_from_the_command_line_any_batch_any_length(done, monkeypatch, capsys, tmp_path):
    assert cli(monkeypatch, "export", done.folder, "--format", "onnx", "--quantize", "int8") == 0
    first, second, last = capsys.readouterr().out.splitlines()[-3:]
    assert "On 12 texts, logits are PyTorch's within" in first
    assert "int8: agreement" in second
    out = done.folder / "onnx"
    assert last == str(out)
    names = {file.name for file in out.iterdir()}
    assert names >= {"model.onnx", "model_int8.onnx", "export.json", "tokenizer.json"}
    assert read_json(out / "decisions.json")["temperature"] > 0
    plain, exported = export.pytorch(done.model[0]), export.onnx_runtime(out / "model.onnx")
    for rows, tokens in ((1, 3), (2, 8), (5, 16), (1, 16)):
        ids = torch.randint(4, 40, (rows, tokens))
        mask = torch.ones(rows, tokens, dtype=torch.int64)
        mask[0, tokens // 2 + 1 :] = 0
        assert np.abs(exported(ids, mask) - plain(ids, mask)).max() < TOLERANCE
    comparison = read_json(out / "export.json")
    assert comparison["int8"]["agreement"] >= 0.9
    assert comparison["largest_difference"] < TOLERANCE
    before = (out / "model.onnx").stat().st_mtime_ns
    assert cli(monkeypatch, "export", done.key, "--quantize", "int8") == 0
    assert (out / "model.onnx").stat().st_mtime_ns == before
    own = tmp_path / "own.txt"
    own.write_text("a text of my own\n")
    assert cli(monkeypatch, "export", done.key, "--quantize", "int8", "--texts", own) == 0
    assert "On 1 texts, " in capsys.readouterr().out

    models, options = {"tiny": done.folder / "model"}, {"counts": (1, 3), "rounds": 2}
    table = timing.benchmark(models, TEXTS, cache=tmp_path / "kept", **options)
    assert table["runtime"].tolist() == ["PyTorch", "ONNX Runtime", "ONNX Runtime, int8"] * 2
    assert table["texts at once"].tolist() == [1] * 3 + [3] * 3
    texts = table["texts per second"] * table["milliseconds"] / 1000
    assert np.allclose(texts, table["texts at once"])
    assert table["MB"].iloc[2] < table["MB"].iloc[1]
    monkeypatch.setattr(timing, "time_rounds", lambda *_: pytest.fail("timed again"))
    again = timing.benchmark(models, TEXTS, cache=tmp_path / "kept", **options)
    assert np.allclose(table.select_dtypes("number"), again.select_dtypes("number"))


def test_what_differs_is_not_written(done, monkeypatch, tmp_path):
    monkeypatch.setattr(export, "write_onnx", lambda model, path: path.write_bytes(b""))
    wrong = np.full((1, 2), 9.0)
    monkeypatch.setattr(export, "onnx_runtime", lambda path: lambda ids, mask: wrong)
    message = "differ from PyTorch's by up to .*, more than 0.0001; nothing was written"
    with pytest.raises(InputError, match=message):
        export.export(done.folder / "model", TEXTS, tmp_path / "onnx")
    assert not list(tmp_path.glob("onnx*"))


def test_wrong_requests(done, monkeypatch, capsys, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    for words, message in [
        (("--format", "onxn"), "Unknown format 'onxn'. Did you mean onnx?"),
        (("--quantize", "int4"), "Unknown quantize 'int4'. Did you mean int8?"),
        (("--texts", tmp_path / "none.txt"), "There is no file"),
        (("--texts", tmp_path / "empty.txt", "--out", tmp_path / "onnx"), "there are none: name"),
    ]:
        assert cli(monkeypatch, "export", done.folder, *words) == 1
        assert message in capsys.readouterr().err
    assert cli(monkeypatch, "export", "nothing") == 1


def test_a_head_that_torch_cannot_export(trained, tmp_path):
    lstm = trained[1]
    with pytest.raises(InputError, match="torch cannot export this model .*LstmHead.* to ONNX"):
        export.export(lstm.folder / "model", TEXTS, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_agreement():
    logits, other = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    assert agreement(logits, other, "classification") == 0.5
    assert agreement(logits, other, "multilabel") == 0.75
    assert agreement(logits, 2 * logits + 1, "regression") == pytest.approx(1.0)


@pytest.mark.parametrize("damaged", ["model.onnx", "export.json", "missing"])
def test_a_damaged_export_is_made_again(done, damaged, monkeypatch, tmp_path, capsys):
    out, made = tmp_path / "onnx", []

    def write_checked(folder, texts, part, quantize):
        made.append(1)
        (part / "model.onnx").write_bytes(bytes(100))
        return {"texts": 1}

    monkeypatch.setattr(export, "write_checked", write_checked)
    for _ in range(2):
        export.export(done.folder / "model", TEXTS, out)
    assert made == [1]
    path = out / ("model.onnx" if damaged == "missing" else damaged)
    if damaged == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    export.export(done.folder / "model", TEXTS, out)
    assert made == [1, 1] and f"The export {out} is damaged: made again" in capsys.readouterr().out
