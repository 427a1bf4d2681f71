"""A frozen backbone: heads that train on vectors get what they would get from the texts."""

import pytest
import torch

from lib import RunConfig, evaluation, run
from lib.data import load_corpus
from lib.errors import InputError
from lib.fast.packing import pack
from lib.loaders import make_loader
from lib.models import build_model, load_model
from lib.session import frozen
from lib.session.frozen import freeze_backbone
from lib.tokenization import tokenize
from tests.conftest import save_learnable


@pytest.fixture(scope="module")
def tokens(tiny, tmp_path_factory):
    folder = save_learnable(tmp_path_factory.mktemp("frozen") / "data")
    return tokenize(load_corpus(str(folder), dev_rows=12), tiny["bert"], max_length=16)


def logits_of(model, dataset):
    loader = make_loader(dataset, batch_size=4)
    batches = [logits for logits, _ in evaluation.logits_of(model, loader, precision="fp32")]
    return torch.cat(batches)[evaluation.in_order(loader)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("head", ["cls", "first_token", "mean", "mean_linear"])
def test_vectors_give_the_logits_of_the_texts(tiny, tokens, tmp_path, head, packed):
    model = build_model(tiny["bert"], head=head, num_labels=2)
    model = pack(model) if packed else model
    wanted = logits_of(model, tokens.test)
    with torch.inference_mode():
        embeddings = model.embed(*tokens.test.tensors[:2])
    options = {"precision": "fp32", "cache": tmp_path / "cache"}
    for _ in range(2):  # computed, and from the cache
        classifier, vectors = freeze_backbone(model, tokens, tiny["bert"], **options)
        assert vectors.test.tensors[0].shape == (21, 1, 32)
        assert torch.allclose(logits_of(classifier, vectors.test), wanted, atol=1e-5)
        assert len(list((tmp_path / "cache").iterdir())) == 3
    with torch.inference_mode():
        assert torch.allclose(classifier.embed(*vectors.test.tensors[:2]), embeddings, atol=1e-5)
    assert [*classifier.state_dict()] == [*model.state_dict()]
    trained = [name for name, p in classifier.named_parameters() if p.requires_grad]
    assert trained == [name for name in classifier.state_dict() if name.startswith("head.")]


def test_a_unit_goes_with_the_head(tiny, tokens):
    model = build_model(tiny["bert"], head="mean", num_labels=1)
    model.unit = (200.0, 30.0)
    wanted = logits_of(model, tokens.test)
    classifier, vectors = freeze_backbone(model, tokens, tiny["bert"], precision="fp32")
    assert torch.allclose(logits_of(classifier, vectors.test), wanted, rtol=1e-5)


def test_cached_vectors_are_of_one_backbone_and_pool(tiny, tokens, tmp_path):
    cached = []
    for options in (
        {"head": "cls"},
        {"head": "first_token"},  # the same vectors
        {"head": "mean"},
        {"head": "cls", "layers": 1},
    ):
        model = build_model(tiny["bert"], num_labels=2, **options)
        freeze_backbone(model, tokens, tiny["bert"], precision="fp32", cache=tmp_path / "cache")
        cached.append(len(list((tmp_path / "cache").iterdir())))
    assert cached == [3, 3, 6, 9]


def test_a_run_with_a_frozen_backbone_leaves_it_as_it_was(tiny, folder, monkeypatch):
    options = {
        "dataset": str(folder),
        "dev_rows": 12,
        "backbone": tiny["bert"],
        "max_length": 16,
        "epochs": 2,
    }
    config = RunConfig(**options, head="mean", freeze="backbone")
    finished = run(config)
    assert finished.status["status"] == "finished"
    assert finished.history["dev_loss"].iloc[-1] < finished.history["dev_loss"][0]
    trained = load_model(finished.folder / "model")[0].state_dict()
    fresh = build_model(tiny["bert"], head="mean", num_labels=2, seed=1).state_dict()
    for name, weight in trained.items():
        assert torch.equal(weight, fresh[name]) == name.startswith("backbone."), name
    labels, _ = finished.predict(["kana nube lodo", "kabe mici"])
    assert set(labels) <= {"no", "yes"}
    monkeypatch.setattr(frozen, "embed", lambda *_: pytest.fail("embedded again"))
    run(config.with_(seed=2, head="mean_linear"))


@pytest.mark.parametrize("head", ["native", "lstm", "weighted_average", "transformer"])
def test_heads_that_read_more_are_refused(tiny, tokens, head):
    model = build_model(tiny["bert"], head=head, num_labels=2)
    with pytest.raises(
        InputError, match="one vector of a document: first_token, mean_linear, cls, mean$"
    ):
        freeze_backbone(model, tokens, tiny["bert"])
