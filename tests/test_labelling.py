"""Labelling gives the logits of the model itself, a text at a time, whatever is beside it; and in 8
bits those of ONNX Runtime."""

import io
import shutil

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib.fast import labelling
from lib.fast.labelling import batches_by_length, for_labelling, sorted_logits, twin
from lib.fast.prepared import PreparedLinear, prepare
from lib.models import build_model, reads_pairs
from lib.products import has_fast_products
from lib.runs.store import Run
from lib.tokenization import encode
from lib.use.export import onnx_runtime
from lib.use.int8 import Int8Run
from tests.conftest import WORDS, save_tiny
from tests.test_cli import cli

CPU = torch.device("cpu")
ODD = [
    "",
    " ",
    "kana",
    " ".join(WORDS * 9),
    "日本語の文章です",
    "😀 lona",
    "kana\nlona\tmici",
    "lona " * 14,
]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """Folders of tiny backbones of each family."""
    root = tmp_path_factory.mktemp("backbones")
    kinds = ("bert", "distilbert", "modernbert", "mpnet", "roberta")
    return {kind: str(save_tiny(root / kind, kind)) for kind in kinds}


def one_by_one(model, ids, mask) -> torch.Tensor:
    """The logits of a plain model for each row alone, without padding."""
    lengths = mask.sum(1).tolist()
    with torch.inference_mode():
        rows = [
            model(ids[i : i + 1, :length], mask[i : i + 1, :length])
            for i, length in enumerate(lengths)
        ]
    return torch.cat(rows).float()


@pytest.mark.parametrize("head", ["native", "cls", "mean", "lstm", "transformer"])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert", "mpnet", "roberta"])
def test_odd_texts_get_the_logits_of_the_plain_model(backbones, kind, head):
    model = build_model(backbones[kind], head=head, num_labels=3, seed=1).eval()
    ids, mask, _ = encode(ODD, backbones[kind], max_length=48)
    wanted = one_by_one(model, ids, mask)
    compute = for_labelling(model)
    for most in (1, 60, 5000):
        assert torch.allclose(sorted_logits(compute, ids, mask, most=most), wanted, atol=1e-5)
    assert torch.equal(one_by_one(model, ids, mask), wanted)  # the plain model is what it was


def test_pairs_windows_and_numbers(backbones):
    folder = backbones["bert"]
    model = build_model(folder, head="cls", num_labels=1, seed=1).eval()
    model.unit = (40.0, 12.0)
    reads_pairs(model, folder)
    pairs = [(text, other) for text, other in zip(ODD, reversed(ODD), strict=True)]
    ids, mask, _ = encode(pairs, folder, max_length=24)
    wanted = one_by_one(model, ids, mask)
    assert torch.allclose(
        sorted_logits(for_labelling(model), ids, mask, most=60), wanted, rtol=1e-5
    )
    model = build_model(folder, head="native", num_labels=2, seed=1).eval()
    model.window = 16
    ids, mask, _ = encode(ODD, folder, max_length=16, truncation="windows", windows=3)
    assert ids.shape[1] > 32
    wanted = one_by_one(model, ids, mask)
    assert torch.allclose(
        sorted_logits(for_labelling(model), ids, mask, most=60), wanted, atol=1e-5
    )


def test_weights_are_shared(backbones):
    model = build_model(backbones["bert"], head="cls", num_labels=3)
    places = {weight.data_ptr() for weight in model.parameters()}
    other = twin(model)
    assert {weight.data_ptr() for weight in other.parameters()} == places
    layers = [module for module in other.modules() if isinstance(module, nn.Linear)]
    assert all(isinstance(layer, PreparedLinear) for layer in layers) == has_fast_products(CPU)


def test_batches_are_of_like_lengths_and_no_more_tokens_than_said():
    batches = batches_by_length(torch.tensor([5, 1, 3, 9, 2]), 6)
    assert [(rows.tolist(), width) for rows, width in batches] == [
        ([1, 4], 2),
        ([2], 3),
        ([0], 5),
        ([3], 9),
    ]
    lengths = torch.randint(1, 40, (500,), generator=torch.Generator().manual_seed(1))
    batches = batches_by_length(lengths, 64)
    assert sorted(torch.cat([rows for rows, _ in batches]).tolist()) == list(range(500))
    for rows, width in batches:
        assert int(lengths[rows].max()) == width and len(rows) * width <= 64


@pytest.mark.skipif(not has_fast_products(CPU), reason="no such products on this processor")
def test_a_prepared_layer_computes_what_follows_it():
    class Block(nn.Module):
        def __init__(self, activation):
            super().__init__()
            self.lin1 = nn.Linear(6, 5)
            self.activation = activation

    states = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(1))
    for activation, is_fused in ((nn.GELU(), True), (nn.GELU("tanh"), False), (nn.ReLU(), False)):
        block = Block(activation)
        wanted = activation(block.lin1(states))
        prepare(block)
        fused = block.activation(block.lin1(states))
        assert torch.allclose(fused, wanted, atol=1e-6)
        assert isinstance(block.activation, nn.Identity) == is_fused
    first, second = (PreparedLinear(torch.randn(4, 6), torch.randn(4)) for _ in range(2))
    both = torch.cat([F.linear(states, layer.weight, layer.bias) for layer in (first, second)], -1)
    assert torch.allclose(first.join([second])(states), both, atol=1e-5)


def test_a_gpu_labels_with_the_model_itself(backbones, monkeypatch):
    model = build_model(backbones["bert"], head="cls", num_labels=3)
    monkeypatch.setattr(labelling, "default_device", lambda: torch.device("meta"))
    assert for_labelling(model).args[0] is model


@pytest.fixture
def exported(trained, tmp_path):
    """A copy of a finished run, and a file of texts."""
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    texts = ["kana lona mici", "", "kabe nuna", " ".join(WORDS * 3)]
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "in.csv", index=False)
    return Run(folder), tmp_path / "in.csv"


def test_labels_in_8_bits(exported, monkeypatch, capsys):
    run, source = exported
    words = ("predict", run.folder, source, "--as-trained", "--int8")
    assert cli(monkeypatch, *words) == 0
    printed = capsys.readouterr()
    assert f"Exports the model to {run.folder / 'onnx'}\n" in printed.err
    assert "8 bits: on 12 texts, " in printed.err
    assert "% of the labels are those in 32 bits" in printed.err
    rows = pd.read_csv(io.StringIO(printed.out), keep_default_na=False)
    small = Int8Run(run.folder)
    texts = [text for text in rows["text"] if text]
    runtime = onnx_runtime(run.folder / "onnx" / "model_int8.onnx")
    for text, label in zip(rows["text"], rows["label"], strict=True):
        if not text:
            assert label == ""
            continue
        ids, mask, _ = encode([text], run.folder / "model", max_length=run.config.max_length)
        assert label == run.model[1]["label_names"][runtime(ids, mask)[0].argmax()]
    logits, lengths = small.logits_of(texts)
    plain, plain_lengths = run.logits_of(texts)
    assert 0 < (logits - plain).abs().max() < 0.1 and lengths.tolist() == plain_lengths.tolist()
    assert small.key != run.key  # what one began, the other does not go on with

    monkeypatch.setattr("lib.use.int8.corpus_of", lambda config: pytest.fail("exported again"))
    assert cli(monkeypatch, *words) == 0
    assert capsys.readouterr().out == printed.out
