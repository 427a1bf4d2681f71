"""The loop: batches, clipping, learning, seeds, evaluation."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from lib import devices, evaluation, optim, progress, training
from lib.data import load_corpus
from lib.errors import InputError
from lib.loaders import make_loader
from lib.models import build_model
from lib.tokenization import tokenize


@pytest.fixture
def tokens(tiny, folder):
    return tokenize(load_corpus(str(folder), dev_rows=12), tiny["bert"], max_length=16)


class Recording(torch.optim.SGD):
    """Keeps the norm of the gradients it is given."""

    norms: ClassVar[list] = []

    def step(self, closure=None):
        grads = [
            p.grad for group in self.param_groups for p in group["params"] if p.grad is not None
        ]
        if grads:
            self.norms.append(float(torch.stack([g.norm() for g in grads]).norm()))
        return super().step(closure)


@pytest.mark.parametrize("clip_norm", [0.05, None])
def test_clipping_bounds_the_norm(tiny, tokens, monkeypatch, clip_norm):
    monkeypatch.setitem(optim.OPTIMIZERS, "recording", Recording)
    monkeypatch.setattr(Recording, "norms", [])
    model = build_model(tiny["bert"], num_labels=2)
    loader, options = (
        make_loader(tokens.train, batch_size=8, seed=1),
        {"optimizer": "recording", "clip_norm": clip_norm},
    )
    history = training.fit(
        model, loader, make_loader(tokens.dev), epochs=1, learning_rate=0.1, **options
    )
    assert len(Recording.norms) == 6
    if clip_norm:
        assert max(Recording.norms) <= clip_norm * (1 + 1e-4) < history["gradient_norm"][0]
    else:
        assert np.mean(Recording.norms) == pytest.approx(history["gradient_norm"][0], rel=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("head", ["native", "cls"])
def test_a_model_overfits_eight_examples(tiny, tokens, kind, head):
    eight = TensorDataset(*(tensor[:8] for tensor in tokens.train.tensors))
    model = build_model(tiny[kind], head=head, num_labels=2, dropout=0.0)
    loader = make_loader(eight, batch_size=8, seed=1)
    history = training.fit(
        model, loader, make_loader(eight), epochs=60, learning_rate=3e-3, precision="fp32"
    )
    assert history["dev_accuracy"].iloc[-1] == 1 and history["dev_loss"].iloc[-1] < 0.1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_same_weights_to_the_bit(tiny, tokens, precision):
    def weights(seed):
        model = build_model(tiny["bert"], num_labels=2, seed=seed)
        loader = make_loader(tokens.train, batch_size=8, batching="grouped", seed=seed)
        options = {"learning_rate": 1e-3, "seed": seed, "precision": precision}
        training.fit(model, loader, make_loader(tokens.dev), epochs=2, **options)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_evaluation_keeps_the_order_of_rows(tiny, tokens):
    model = build_model(tiny["bert"], num_labels=2)
    sorted_ = evaluation.evaluate(model, make_loader(tokens.test, batch_size=4), precision="fp32")
    single = evaluation.evaluate(model, make_loader(tokens.test, batch_size=1), precision="fp32")
    assert (
        np.abs(sorted_.logits.astype(float) - single.logits.astype(float)).max() < 2e-3
    )  # 16 bits
    assert sorted_.labels.tolist() == tokens.test.tensors[2].tolist()


def test_every_batch_is_evaluated_in_the_precision_asked_for(tiny, tokens):
    model = build_model(tiny["bert"], head="cls", num_labels=2).eval()
    ids, mask, _ = tokens.test.tensors
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        wanted = (
            torch.cat([model(ids[i : i + 1], mask[i : i + 1]) for i in range(len(ids))])
            .float()
            .half()
        )
    found = evaluation.evaluate(
        model, make_loader(tokens.test, batch_size=1), precision="bf16"
    ).logits
    exact = evaluation.evaluate(
        model, make_loader(tokens.test, batch_size=1), precision="fp32"
    ).logits
    near = np.abs(found.astype(float) - wanted.numpy().astype(float)).max(1)
    assert (near <= np.abs(exact.astype(float) - wanted.numpy().astype(float)).max(1)).all()
    assert (
        torch.from_numpy(found).float().bfloat16().half() == torch.from_numpy(found)
    ).all()  # none in fp32


def test_history_has_its_columns_and_divergence_its_step(tiny, tokens):
    model, loader = (
        build_model(tiny["bert"], num_labels=2),
        make_loader(tokens.train, batch_size=8, seed=1),
    )
    steps = []
    for _ in range(2):
        row, _ = next(
            training.train_epochs(
                model,
                optim.make_optimizer("adam", model, learning_rate=1e-3),
                optim.plan_steps(
                    "constant", "adam", learning_rate=1e-3, steps_per_epoch=6, epochs=1
                ),
                loader,
                make_loader(tokens.dev),
            )
        )
        steps.append(row)
    wanted = {
        "train_loss",
        "learning_rate",
        "gradient_norm",
        "dev_loss",
        "dev_accuracy",
        "dev_macro_f1",
        "dev_micro_f1",
    }
    assert wanted | {"seconds", "samples_per_second", "tokens_per_second"} <= set(steps[0])
    with pytest.raises(
        training.DivergedError, match=r"was not finite at step [2-6] \(learning rate 1e\+30\)"
    ):
        training.fit(
            model, loader, make_loader(tokens.dev), epochs=1, learning_rate=1e30, optimizer="sgd"
        )


def test_a_log_has_plain_lines_within_an_epoch(monkeypatch, capsys):
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.progress_bar(range(8), "epoch 1/2", 2)) == [*range(8)]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "    epoch 1/2: step 5 of 8, about 1.2 min to go",
        "    epoch 1/2: step 8 of 8, about 0.0 min to go",
    ]


def test_precision():
    assert devices.resolve_precision("auto") in ("fp32", "bf16")
    with pytest.raises(InputError, match="Unknown precision 'bf61'. Did you mean bf16"):
        devices.resolve_precision("bf61")
