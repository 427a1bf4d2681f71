"""Low-rank adapters: what learns, what it becomes in the weights, and that the result is an
ordinary model."""

import sys

import pytest
import torch
from transformers import GPT2ForSequenceClassification, SqueezeBertModel

from lib.errors import InputError
from lib.many.pool import run
from lib.many.single import prepare
from lib.models import Classifier, build_model, load_model
from lib.session.adapters import add_adapter, merge_adapter
from tests.architectures import small_config
from tests.conftest import digests, save_learnable, save_tiny, tiny_run
from tests.test_models import batch
from tests.test_resume import killed_at


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_learnable(tmp_path_factory.mktemp("adapters") / "data")


@pytest.fixture(scope="module")
def config(tiny, data):
    return tiny_run(tiny, data, epochs=2, adapter="lora", lora_rank=2, learning_rate=1e-2)


def merged_after_a_change(model, before: dict, ids, mask) -> torch.Tensor:
    """The logits of a model whose matrices have changed, which merging them leaves as they are."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    moved = model(ids, mask)
    merge_adapter(model)
    assert [*model.state_dict()] == [*before]
    assert torch.allclose(model(ids, mask), moved, atol=1e-5)
    return moved


@pytest.mark.parametrize(
    ("kind", "head"), [("bert", "native"), ("bert", "mean"), ("xlm-roberta", "native")]
)
def test_only_low_rank_matrices_and_the_head_learn(tmp_path, config, kind, head):
    model = build_model(str(save_tiny(tmp_path / kind, kind)), head=head, num_labels=2)
    before = model.state_dict()
    ids, mask = batch([3, 7])
    wanted = model.eval()(ids, mask)
    add_adapter(model, config)
    assert torch.equal(model(ids, mask), wanted)  # the matrices begin with a product of zero
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    ours = {name for name in trained if ".lora_" in name}
    assert len(ours) == 2 * 2 * 6  # two matrices for each of six linear maps in two layers
    assert trained - ours == {name for name in before if "layer." not in name} - {
        name for name in before if "embeddings" in name
    }
    moved = merged_after_a_change(model, before, ids, mask)
    assert not torch.allclose(moved, wanted, atol=1e-3)


def test_transposed_linear_maps_have_matrices_too(config):
    """GPT-2's, whose weights are (inputs, outputs)."""
    model = Classifier(GPT2ForSequenceClassification(small_config("gpt2")), None, 2).eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    ids, mask = batch([3, 7])
    add_adapter(model, config)
    merged_after_a_change(model, before, ids, mask)
    changed = {n for n, weight in model.state_dict().items() if not weight.equal(before[n])}
    linear = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert changed == {f"backbone.transformer.h.0.{name}.weight" for name in linear}


def test_layers_without_linear_maps(config):
    model = Classifier(SqueezeBertModel(small_config("squeezebert")), None, 2)
    with pytest.raises(InputError, match="the layers of a squeezebert have none; leave it out"):
        add_adapter(model, config)


def test_a_run_gives_an_ordinary_model_and_resumes(tiny, config, monkeypatch, tmp_path):
    whole = run(config, tracker="none")
    weights = load_model(whole.folder / "model")[0].state_dict()
    fresh = build_model(tiny["bert"], num_labels=2, seed=1).state_dict()
    assert weights.keys() == fresh.keys()
    for name, weight in weights.items():
        change = weight - fresh[name]
        if "layer." in name and weight.ndim == 2:
            assert 1 <= torch.linalg.matrix_rank(change, rtol=1e-3) <= 2, name
        else:
            learns = "pooler" in name or "classifier" in name
            assert bool(change.abs().max() > 0) == learns, name
    texts = prepare(config).corpus.test.texts
    test = whole.predictions.query("split == 'test'")
    test = test[test["epoch"] == whole.status["chosen_epoch"]]
    wanted = torch.tensor(test[["logit_0", "logit_1"]].to_numpy()).float().softmax(1)
    assert torch.allclose(torch.tensor(whole.predict(texts)[1]).float(), wanted, atol=2e-3)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "again"))
    killed_at(monkeypatch, config, 7, checkpoint_every="1 step")
    assert digests(run(config, tracker="none")) == digests(whole)


def test_what_does_not_go_with_an_adapter(config, monkeypatch):
    with pytest.raises(InputError, match="batching = 'packed' computes linear maps together"):
        run(config.with_(batching="packed"))
    with pytest.raises(InputError, match="leave out one of freeze and adapter"):
        run(config.with_(freeze="backbone", head="mean"))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match="adapter = 'lora' needs peft: pip install peft"):
        run(config)


def test_settings_of_an_adapter_are_in_the_key_only_with_one(tiny, data, config):
    plain = tiny_run(tiny, data)
    assert prepare(plain).key == prepare(plain.with_(lora_rank=4, lora_alpha=1.0)).key
    others = ({}, {"lora_rank": 4}, {"lora_alpha": 1.0})
    assert len({prepare(config.with_(**change)).key for change in others}) == 3
