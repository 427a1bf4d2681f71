"""Classifiers: what they are built from, what they give, and that they come back from disk."""

import pytest
import torch
from torch import nn

from lib.errors import InputError
from lib.models import build_model, load_model, reads_pairs, save_model


def batch(lengths, vocabulary=40, pad=0, width=None, seed=0):
    """Random token ids and their mask, (documents, width), for documents of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    ids = torch.randint(
        4, vocabulary, (len(lengths), width), generator=generator, dtype=torch.int32
    )
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).int()
    return torch.where(mask.bool(), ids, pad), mask


def test_build_is_seeded(tiny):
    one, same, other = (
        build_model(tiny["bert"], num_labels=2, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["backbone.classifier.weight"], other["backbone.classifier.weight"])
    assert torch.equal(
        one["backbone.bert.embeddings.word_embeddings.weight"],
        other["backbone.bert.embeddings.word_embeddings.weight"],
    )


@pytest.mark.parametrize("head", ["native", "cls"])
def test_fewer_layers_are_the_lowest(tiny, head):
    deep, shallow = (
        build_model(tiny["bert"], head=head, num_labels=2, layers=layers).state_dict()
        for layers in (None, 1)
    )
    assert shallow.keys() == {name for name in deep if "layer.1." not in name}
    assert all(torch.equal(shallow[name], deep[name]) for name in shallow if "layer.0." in name)
    with pytest.raises(InputError, match=r"^layers is 3; the backbone .*bert has 2$"):
        build_model(tiny["bert"], head=head, num_labels=2, layers=3)


def test_no_layer_is_there_that_nothing_reads(tiny):
    model = build_model(tiny["bert"], head="mean", num_labels=2)
    model(*batch([4, 2])).sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("head", ["native", "mean"])
def test_states_are_those_of_every_layer(tiny, head):
    model = build_model(tiny["bert"], head=head, num_labels=3).eval()
    ids, mask = batch([3, 9])
    with torch.inference_mode():
        logits, hidden, attentions = model(ids, mask, with_states=True)
        assert torch.equal(logits, model(ids, mask))
        encoder = model.backbone.base_model
        wanted = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    assert attentions is None or not any(torch.is_tensor(weights) for weights in attentions)
    assert len(hidden) == 3
    for states, wanted_states in zip(hidden, wanted.hidden_states, strict=True):
        assert torch.equal(states, wanted_states)
    with torch.inference_mode():
        embedding = model.embed(ids, mask)
    assert embedding.shape == (2, 32)
    if head == "native":
        assert torch.equal(embedding, hidden[-1][:, 0])


def test_the_output_layer_starts_where_it_is_told(tiny):
    model = build_model(tiny["bert"], head="cls", num_labels=3)
    model.start_at([1.0, -2.0, 0.5])
    assert model.head.out.bias.tolist() == [1.0, -2.0, 0.5]
    with pytest.raises(InputError, match="prior_bias needs a head of first_token, mean_linear"):
        build_model(tiny["bert"], num_labels=3).start_at([0.0, 0.0, 0.0])


@pytest.mark.parametrize("head", ["native", "cls"])
def test_a_saved_model_gives_the_same(tiny, tmp_path, head):
    labels = ["a", "ä", "c"]
    model = build_model(tiny["bert"], head=head, num_labels=3, label_names=labels, seed=4)
    reads_pairs(model, tiny["bert"])
    options = {"head": head, "dropout": 0.1, "label_names": labels, "backbone": tiny["bert"]}
    save_model(model, tmp_path / "m", **options, max_length=12, truncation="tail")
    stored, description = load_model(tmp_path / "m")
    ids, mask = batch([3, 9, 5])
    with torch.inference_mode():
        assert torch.equal(stored(ids, mask), model.eval()(ids, mask))
    assert not stored.training
    assert stored.separator == 3
    wanted = {"head": head, "dropout": 0.1, "task": "classification", "label_names": labels}
    assert description == wanted | {"max_length": 12, "truncation": "tail", "separator": 3}
    if head == "native":
        from transformers import pipeline

        classify = pipeline("text-classification", model=str(tmp_path / "m"))
        assert classify.tokenizer.model_max_length == 12
        (answer,) = classify("kana lobe " * 30, truncation=True)
        assert answer["label"] in labels


@pytest.mark.parametrize("head", ["native", "mean"])
def test_a_regressions_unit_is_beside_the_weights_until_they_are_saved(tiny, head):
    model = build_model(tiny["bert"], head=head, num_labels=1).eval()
    ids, mask = batch([3, 9])
    with torch.inference_mode():
        plain = model(ids, mask)
        model.unit = (200.0, 30.0)
        wanted = model(ids, mask)
        assert torch.equal(wanted, plain * 30 + 200)
        assert torch.equal(model(ids, mask, with_states=True)[0], wanted)
        model.finish()
        assert model.unit is None
        assert torch.allclose(model(ids, mask), wanted, rtol=1e-5)
        model.scale_output(-200 / 30, 1 / 30)
        assert torch.allclose(model(ids, mask), plain, atol=1e-5)


def test_dropout_is_the_fast_one_everywhere(tiny):
    model = build_model(tiny["bert"], head="cls", num_labels=2, dropout=0.25)
    assert not [m for m in model.modules() if isinstance(m, nn.Dropout)]
    assert model.head.dropout.p == 0.25


@pytest.mark.parametrize("head", ["native", "cls"])
@pytest.mark.parametrize("num_labels", [1, 3000])
def test_one_label_and_thousands_keep_their_names(tiny, tmp_path, capfd, head, num_labels):
    names = [f"class {number}" for number in range(num_labels)]
    options = {"head": head, "num_labels": num_labels, "label_names": names}
    model = build_model(tiny["bert"], **options).eval()
    about = {"head": head, "dropout": 0.1, "label_names": names, "backbone": tiny["bert"]}
    save_model(model, tmp_path, **about, max_length=12)
    stored, description = load_model(tmp_path)
    ids, mask = batch([3, 9])
    assert torch.allclose(stored(ids, mask), model(ids, mask), atol=1e-6)
    assert stored(ids, mask).shape == (2, num_labels)
    assert description["label_names"] == names
    if head == "native":
        assert stored.backbone.config.id2label == dict(enumerate(names))
    assert capfd.readouterr() == ("", "")
