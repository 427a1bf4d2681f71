"""A frozen backbone: heads that train on cached features get what they would get from the texts."""

import pytest
import torch

from lib import RunConfig, run, training
from lib.data import load_corpus
from lib.errors import InputError
from lib.loaders import make_loader
from lib.models import build_model, load_model
from lib.runs.frozen import embed_tokens
from lib.tokenization import tokenize


@pytest.fixture
def tokens(tiny, folder):
    return tokenize(load_corpus(str(folder), dev_rows=12), tiny["bert"], max_length=16)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("head", ["cls", "first_token", "mean", "mean_linear"])
def test_vectors_give_the_logits_of_the_texts(tiny, tokens, tmp_path, head, packed):
    model = build_model(tiny["bert"], head=head, num_labels=2, packed=packed)
    wanted = training.evaluate(
        model, make_loader(tokens.test, batch_size=4), precision="fp32"
    ).logits
    for _ in range(2):  # computed, and from the cache
        features = embed_tokens(model, tokens, tiny["bert"], precision="fp32", cache=tmp_path / "f")
        assert features.test.tensors[0].shape == (21, 1, 32)
        found = training.evaluate(
            model, make_loader(features.test, batch_size=4), precision="fp32"
        ).logits
        assert (
            abs(found.astype("f4") - wanted.astype("f4")).max() <= 1e-3
        )  # they are rounded to 16 bits
        assert len(list((tmp_path / "f").iterdir())) == 3
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {
        "head"
    }


def test_cached_vectors_are_of_one_backbone_and_pool(tiny, tokens, tmp_path):
    other = {"head": "cls", "layers": 1}
    for i, options in enumerate(
        ({"head": "cls"}, {"head": "first_token"}, {"head": "mean"}, other)
    ):
        model = build_model(tiny["bert"], num_labels=2, **options)
        embed_tokens(model, tokens, tiny["bert"], precision="fp32", cache=tmp_path / "f")
        assert len(list((tmp_path / "f").iterdir())) == 3 * (1, 1, 2, 3)[i]


def test_a_run_with_a_frozen_backbone_leaves_it_as_it_was(tiny, folder, monkeypatch):
    options = {
        "dataset": str(folder),
        "dev_rows": 12,
        "backbone": tiny["bert"],
        "max_length": 16,
        "epochs": 2,
    }
    config = RunConfig(**options, head="mean", freeze="backbone")
    found = run(config)
    assert (
        found.status["status"] == "finished"
        and found.history["dev_loss"].iloc[-1] < found.history["dev_loss"][0]
    )
    trained, fresh = (
        load_model(found.folder / "model")[0],
        build_model(tiny["bert"], head="mean", num_labels=2, seed=1),
    )
    same = {
        name: torch.equal(value, fresh.state_dict()[name])
        for name, value in trained.state_dict().items()
    }
    assert all(equal == name.startswith("backbone.") for name, equal in same.items())
    labels, _ = found.predict(["kana nube lodo", "kabe mici"])
    assert set(labels) <= {"no", "yes"}
    monkeypatch.setattr(
        "lib.runs.frozen._embed", lambda *_: pytest.fail("the documents were embedded again")
    )
    run(config.with_(seed=2, head="mean_linear"))


@pytest.mark.parametrize("head", ["native", "lstm", "weighted_average", "transformer"])
def test_heads_that_read_more_are_refused(tiny, tokens, head):
    model = build_model(tiny["bert"], head=head, num_labels=2)
    with pytest.raises(
        InputError, match="one vector of a document: first_token, mean_linear, cls, mean$"
    ):
        embed_tokens(model, tokens, tiny["bert"])
