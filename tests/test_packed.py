"""Packed computing: the same outputs and gradients as with padding, and no more tokens than
there are."""

from types import SimpleNamespace

import pytest
import torch

from lib import RunConfig, attention, evaluate, fit, load_corpus, make_loader, run, tokenize
from lib.errors import InputError
from lib.heads import HEADS
from lib.loaders import resident
from lib.models import Classifier, build_model
from tests.test_models import batch

KINDS = ["bert", "roberta", "distilbert"]
LENGTHS = [[7, 1, 20, 2, 9], [5, 5, 5], [1], [13]]


def gradients(model: Classifier, ids, mask) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and what each weight gets from a loss that looks at all of them."""
    model.zero_grad()
    logits = model(ids, mask)
    torch.nn.functional.cross_entropy(logits, torch.arange(len(ids)) % 3).backward()
    return logits.detach(), {
        name: p.grad for name, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["native", *HEADS])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("dropping", [False, True])
def test_packed_is_padded(tiny, kind, head, pairs, dropping):
    """`dropping` takes the branches of training, at a dropout rate that drops nothing."""
    plain, packed = (
        build_model(tiny[kind], head=head, num_labels=3, seed=1, packed=p).eval()
        for p in (False, True)
    )
    pad = plain.backbone.config.pad_token_id
    for model in (plain, packed):
        model.separator = 9 if pairs and kind != "distilbert" else None
        model.train(dropping)
        for module in model.modules():
            if hasattr(module, "p"):
                module.p = 1e-9
            elif isinstance(module, torch.nn.TransformerEncoderLayer):
                module.eval()  # its attention's own dropout
    for seed, lengths in enumerate(LENGTHS):
        ids, mask = batch(lengths, pad=pad, width=max(lengths) + seed % 2, seed=seed)
        ids[:, 2:3] = torch.where(mask[:, 2:3] == 1, 9, pad)
        logits, wanted = gradients(plain, ids, mask)
        found, got = gradients(packed, ids, mask)
        assert found.shape == (len(lengths), 3)
        assert (found - logits).abs().max() <= 1e-5
        assert wanted.keys() == got.keys()
        for name in wanted:
            assert (wanted[name] - got[name]).abs().max() <= 1e-5, name
        with torch.inference_mode():
            assert (plain.embed(ids, mask) - packed.embed(ids, mask)).abs().max() <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["native", *HEADS])
def test_no_layer_sees_padding(tiny, kind, head):
    model = build_model(tiny[kind], head=head, num_labels=3, packed=True).eval()
    rows = {}
    for name, module in model.backbone.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, given, name=name: rows.update({name: given[0][..., 0].numel()})
            )
    model(*batch([3, 10, 5], pad=model.backbone.config.pad_token_id))
    seen = {rows[name] for name in rows if "layer.0." in name}
    assert seen == {18}
    last = {rows[name] for name in rows if "layer.1." in name}
    assert last == (
        {3} if head in ("native", "cls", "first_token") else {18}
    )  # projections are no modules here


def test_another_backbone_is_refused(tiny):
    model = build_model(tiny["bert"], num_labels=2)
    model.backbone.config.model_type = "mpnet"
    with pytest.raises(
        InputError,
        match="The backbone is a mpnet; packed batching is for bert, distilbert, roberta",
    ):
        model.pack()


def test_training_and_evaluation_are_those_of_the_padded_batches(tiny, folder):
    tokens = tokenize(load_corpus(str(folder), dev_rows=12), tiny["bert"], max_length=16)
    found = {}
    for batching in ("random", "packed", "grouped", "grouped_packed"):
        model = build_model(tiny["bert"], num_labels=2, packed=batching.endswith("packed"))
        for module in model.modules():
            if hasattr(module, "p"):
                module.p = 0.0
        train = make_loader(tokens.train, batch_size=8, batching=batching, seed=1)
        options = {"epochs": 2, "learning_rate": 1e-3, "precision": "fp32"}
        found[batching] = fit(model, train, make_loader(tokens.dev), **options)[
            ["train_loss", "dev_loss"]
        ].to_numpy()
    assert found["packed"] == pytest.approx(found["random"], rel=1e-4)
    assert found["grouped_packed"] == pytest.approx(found["grouped"], rel=1e-4)
    assert found["packed"] != pytest.approx(found["grouped_packed"], rel=1e-4)


def test_a_packed_run(tiny, folder):
    options = {
        "dataset": str(folder),
        "dev_rows": 12,
        "backbone": tiny["roberta"],
        "max_length": 16,
        "epochs": 1,
    }
    packed = run(RunConfig(**options, batching="grouped_packed", accumulation=2))
    assert packed.status["status"] == "finished"
    assert packed.key != run(RunConfig(**options, batching="grouped", accumulation=2)).key
    stored = packed.predictions.query("split == 'test'")["logit_0"]
    tokens = tokenize(load_corpus(str(folder), dev_rows=12), tiny["roberta"], max_length=16)
    again = evaluate(packed.model[0], make_loader(tokens.test)).logits[:, 0]
    assert stored.to_numpy() == pytest.approx(
        again, abs=2e-2
    )  # the stored model computes with padding


@pytest.mark.parametrize("kind", KINDS)
def test_words_that_do_not_occur_are_left_out_of_training_only(tiny, folder, kind):
    tokens = tokenize(load_corpus(str(folder), dev_rows=12), tiny[kind], max_length=16)
    used = (
        torch.cat([part.tensors[0].unique() for part in (tokens.train, tokens.dev)]).unique().long()
    )
    found = {}
    for compact in (False, True):
        model = build_model(tiny[kind], head="mean", num_labels=2, dropout=0.0, packed=True, seed=1)
        size = model.backbone.get_input_embeddings().num_embeddings
        if compact:
            model.compact(used[used != used.max()])
            with pytest.raises(IndexError):
                fit(
                    model,
                    make_loader(tokens.train, batch_size=64, seed=1),
                    make_loader(tokens.dev),
                    epochs=1,
                    learning_rate=1e-3,
                )
            model.expand()
            model = build_model(
                tiny[kind], head="mean", num_labels=2, dropout=0.0, packed=True, seed=1
            )
            model.compact(used)
            assert model.backbone.get_input_embeddings().num_embeddings == len(used) < size
        for module in model.modules():
            if hasattr(module, "p"):
                module.p = 0.0
        options = {"epochs": 2, "learning_rate": 1e-3, "precision": "fp32"}
        fit(
            model,
            make_loader(tokens.train, batch_size=8, seed=1),
            make_loader(tokens.dev),
            **options,
        )
        model.expand()
        assert model.backbone.get_input_embeddings().num_embeddings == size
        found[compact] = model.state_dict()
    assert found[True].keys() == found[False].keys()
    for name, weight in found[False].items():
        assert torch.allclose(found[True][name], weight, atol=1e-6), name


def reference_varlen(query, key, value, starts, key_starts, longest, key_longest):
    """What torch's kernel for documents of any lengths computes: (tokens, heads, size) each."""
    assert starts.dtype == torch.int32 and longest == int(starts.diff().max())
    parts = [slice(a, b) for a, b in zip(starts.tolist(), starts.tolist()[1:], strict=False)]
    attend = torch.nn.functional.scaled_dot_product_attention
    rows = [[t[part].transpose(0, 1) for t in (query, key, value)] for part in parts]
    return torch.cat([attend(*row).transpose(0, 1) for row in rows])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["native", "mean"])
def test_one_kernel_for_all_lengths_gives_the_same(tiny, kind, head, monkeypatch):
    model = build_model(tiny[kind], head=head, num_labels=3, packed=True).eval()
    ids, mask = batch([7, 1, 20, 2, 9], pad=model.backbone.config.pad_token_id)
    wanted, grads = gradients(model, ids, mask)
    used = []
    monkeypatch.setattr(attention, "any_length", lambda device: True)
    monkeypatch.setattr(attention, "HALVES", (torch.float32,))
    monkeypatch.setattr(
        attention, "varlen_attn", lambda *args: used.append(1) or reference_varlen(*args)
    )
    found, got = gradients(model, ids, mask)
    assert used
    assert (found - wanted).abs().max() <= 1e-5
    assert all((grads[name] - got[name]).abs().max() <= 1e-5 for name in grads)
    used.clear()
    assert model.train()(ids, mask).shape == (5, 3) and not used  # the kernel has no dropout


@pytest.mark.filterwarnings("ignore:.*\\.grad attribute")  # dynamo looks
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_compiled_layers_give_the_same_for_all_lengths(tiny, kind, packed):
    model = build_model(tiny[kind], head="mean", num_labels=3, packed=packed).eval()
    batches = [
        batch(lengths, pad=model.backbone.config.pad_token_id)
        for lengths in ([7, 3], [20, 2, 9], [5, 6], [8, 2, 3, 3])
    ]
    wanted = [gradients(model, *one)[0] for one in batches]
    torch._dynamo.reset()
    attention.compile_layers(model.backbone, backend="eager")
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for one, logits in zip(batches[:3], wanted, strict=False):
        assert (gradients(model, *one)[0] - logits).abs().max() <= 1e-5
    made = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert made > before
    assert (gradients(model, *batches[3])[0] - wanted[3]).abs().max() <= 1e-5
    assert (
        torch._dynamo.utils.counters["stats"]["unique_graphs"] == made
    )  # another length, no new graph


def test_rows_on_a_device_are_the_same_batches(monkeypatch):
    """The device is a CPU here, by the name of a GPU."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000, 10_000))
    ids, mask = batch([3, 1, 2], pad=0)
    loader = make_loader(
        torch.utils.data.TensorDataset(ids, mask, torch.arange(3)), batch_size=2, seed=1
    )
    gpu = SimpleNamespace(type="cuda")
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, where: self.clone() if where is gpu else self
    )
    there = resident(loader, gpu)
    assert there.dataset.tensors[0] is not ids and there.dataset.tensors[1] is mask
    assert all(
        torch.equal(a, b)
        for x, y in zip(loader, there, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 10_000))
    assert resident(loader, gpu) is loader
