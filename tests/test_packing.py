"""Packed computing: the same outputs and gradients as with padding, and no more tokens than
there are."""

import json
import re

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification

from lib import RunConfig, evaluate, fit, load_corpus, make_loader, run, tokenize
from lib.attention import layers_of
from lib.errors import InputError
from lib.fast import layout, self_attention
from lib.fast.families import FAMILIES
from lib.fast.layout import Packing, rounded, similar_lengths
from lib.fast.packing import compile_layers, pack
from lib.heads import HEADS
from lib.models import Classifier, build_model
from tests.architectures import save_architecture
from tests.conftest import save_learnable, save_tiny
from tests.test_models import batch

KINDS = list(FAMILIES)
COMBINATIONS = [("bert", head) for head in ("native", *HEADS)]
COMBINATIONS += [(kind, head) for kind in KINDS[1:] for head in ("native", "cls", "mean")]
COMBINATIONS += [("sliding", "cls"), ("averaging", "native")]
VARIANTS = {  # of ModernBERT: its last layer reads a window; its native head reads all tokens
    "sliding": {"layer_types": ["full_attention", "sliding_attention"]},
    "averaging": {"classifier_pooling": "mean"},
}
STRUCTURES = ("bert", "distilbert", "modernbert", "mpnet")  # whose code is not the same
LENGTHS = [[7, 1, 20, 2, 9, 16, 10], [5, 5, 5], [1], [13]]
FIRST_TOKEN = ("native", "cls", "first_token")  # heads that read nothing else


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folders of tiny backbones of every family, and of variants of ModernBERT."""
    root = tmp_path_factory.mktemp("backbones")
    folders = {kind: str(save_tiny(root / kind, kind)) for kind in KINDS}
    for name, settings in VARIANTS.items():
        folder = save_tiny(root / name, "modernbert")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | settings))
        folders[name] = str(folder)
    return folders


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = save_learnable(tmp_path_factory.mktemp("packing") / "data")
    return load_corpus(str(folder), dev_rows=12)


def set_dropout(model: Classifier, rate: float) -> None:
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = rate


def two_models(folder: str, head: str) -> tuple[Classifier, Classifier]:
    """A plain and a packed model with equal weights; a bias of attention is large enough to
    show."""
    models = []
    for _ in range(2):
        model = build_model(folder, head=head, num_labels=3, seed=1)
        for name, weight in model.named_parameters():
            if "relative_attention_bias" in name:
                weight.data.normal_(0, 2)
        models.append(model)
    return models[0], pack(models[1])


def gradients(model: Classifier, ids, mask) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and what each weight gets from a loss that looks at all of them."""
    model.zero_grad()
    logits = model(ids, mask)
    F.cross_entropy(logits, torch.arange(len(ids)) % 3).backward()
    weights = model.named_parameters()
    return logits.detach(), {name: p.grad for name, p in weights if p.grad is not None}


def assert_same(model: Classifier, other: Classifier, ids, mask) -> None:
    """Embeddings, logits and gradients of two models are equal but for rounding."""
    with torch.inference_mode():
        assert (model.embed(ids, mask) - other.embed(ids, mask)).abs().max() <= 1e-5
    logits, grads = gradients(model, ids, mask)
    other_logits, other_grads = gradients(other, ids, mask)
    assert logits.shape == (len(ids), 3)
    assert (other_logits - logits).abs().max() <= 1e-5
    assert grads.keys() == other_grads.keys()
    for name in grads:
        assert (grads[name] - other_grads[name]).abs().max() <= 1e-5, name


@pytest.mark.parametrize("kind, head", COMBINATIONS)
def test_packed_is_padded(tiny, kind, head, monkeypatch):
    """In evaluation, and in the branches of training at a dropout rate that drops nothing."""
    monkeypatch.setattr(layout, "prepares_sizes", lambda device: True)  # rows have a surplus
    plain, packed = two_models(tiny[kind], head)
    assert [*plain.state_dict()] == [*packed.state_dict()]
    pad = plain.backbone.config.pad_token_id
    for training in (False, True):
        for model in (plain, packed):
            model.train(training)
            set_dropout(model, 1e-9)
            for module in model.modules():
                if isinstance(module, torch.nn.TransformerEncoderLayer):
                    module.eval()  # its attention has a dropout of its own
        for seed, lengths in enumerate(LENGTHS):
            ids, mask = batch(lengths, pad=pad, width=max(lengths) + seed % 2, seed=seed)
            assert_same(plain, packed, ids, mask)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_pairs_and_units_are_packed_as_they_are(tiny, kind):
    plain = build_model(tiny[kind], num_labels=3, seed=1).eval()
    model = build_model(tiny[kind], num_labels=3, seed=1).eval()
    pad = plain.backbone.config.pad_token_id
    for classifier in (plain, model):
        classifier.unit = (0.5, 2.0)
        classifier.separator = 9 if kind == "bert" else None
    packed = pack(model)
    for seed, lengths in enumerate(LENGTHS):
        ids, mask = batch(lengths, pad=pad, seed=seed)
        ids[:, 2:3] = torch.where(mask[:, 2:3] == 1, 9, pad)
        assert_same(plain, packed, ids, mask)


class Doubling(torch.nn.Linear):
    """A layer that does more than its weights say, as one with an adapter."""

    def forward(self, states):
        return 2 * super().forward(states)


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_a_projection_that_was_replaced_is_called(tiny, kind):
    plain, packed = (model.eval() for model in two_models(tiny[kind], "cls"))
    for model in (plain, packed):
        for module in model.modules():
            if type(module) is torch.nn.Linear:
                module.__class__ = Doubling
    assert_same(plain, packed, *batch([7, 1, 4], pad=plain.backbone.config.pad_token_id))


@pytest.mark.parametrize("kind, head", COMBINATIONS)
def test_no_layer_sees_padding(tiny, kind, head):
    model = pack(build_model(tiny[kind], head=head, num_labels=3)).eval()
    tokens = {}
    for name, module in model.backbone.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, given, name=name: tokens.update({name: given[0][..., 0].numel()})
            )
    model(*batch([3, 10, 5], pad=model.backbone.config.pad_token_id))
    first_layer, last_layer = (
        {name for name in tokens if re.search(rf"layers?\.{number}\.", name)} for number in (0, 1)
    )
    assert {tokens[name] for name in first_layer} == {18}
    keys = {name for name in last_layer if "Wqkv" in name}  # other projections are no calls here
    assert {tokens[name] for name in keys} <= {18}
    first_only = head in FIRST_TOKEN and kind != "averaging"
    assert {tokens[name] for name in last_layer - keys} == ({3} if first_only else {18})


def test_rows_have_few_sizes():
    sizes = [rounded(tokens) for tokens in range(1, 5000)]
    assert sizes == sorted(sizes)
    assert all(0 <= size - tokens <= tokens / 32 for tokens, size in enumerate(sizes, 1))
    assert len({size for size in sizes if 1024 < size <= 2048}) == 32
    _, mask = batch([80, 1])
    assert Packing(mask, torch.device("meta")).surplus == 0
    with torch.autocast("cpu"):
        packing = Packing(mask, torch.device("cpu"))
    assert (packing.tokens, packing.surplus) == (81, 1)
    assert packing.pad(packing.pack(mask)).equal(mask)


def test_blocks_are_of_similar_lengths():
    cpu = torch.device("cpu")
    lengths = [1, 3, 4, 6, 7, 8, 8]
    assert similar_lengths(lengths) == [slice(0, 1), slice(1, 3), slice(3, 7)]
    _, mask = batch([8, 3, 1, 7, 4])
    blocks = Packing(mask, cpu).blocks
    assert [tokens for tokens, _ in blocks] == [slice(0, 1), slice(1, 8), slice(8, 23)]
    assert [tuple(layout.mask.shape) for _, layout in blocks] == [(1, 1), (2, 4), (2, 8)]
    assert [layout.full for _, layout in blocks] == [True, False, False]
    assert Packing(mask, cpu).first_tokens.tolist() == [15, 1, 0, 8, 4]


@pytest.mark.parametrize("kind", ["deberta-v2", "eurobert"])
def test_another_backbone_trains_grouped_and_is_refused_packed(kind, folder, tmp_path):
    """deberta-v2 is what DeBERTa-v3 is called."""
    backbone = save_architecture(tmp_path / kind, kind, AutoModelForSequenceClassification)
    options = {"dataset": str(folder), "dev_rows": 12, "backbone": backbone, "max_length": 16}
    options |= {"epochs": 1, "precision": "fp32"}
    assert run(RunConfig(**options, batching="grouped")).status["status"] == "finished"
    with pytest.raises(
        InputError,
        match=f"is a {kind}; packed batching is for bert, .*modernbert.*roberta: take grouped$",
    ):
        run(RunConfig(**options, batching="packed"))


def test_training_and_evaluation_are_those_of_the_padded_batches(tiny, corpus):
    tokens = tokenize(corpus, tiny["bert"], max_length=16)
    histories = {}
    for batching in ("random", "packed", "grouped", "grouped_packed"):
        model = build_model(tiny["bert"], num_labels=2)
        if batching.endswith("packed"):
            model = pack(model)
        set_dropout(model, 0.0)
        train = make_loader(tokens.train, batch_size=8, batching=batching, seed=1)
        options = {"epochs": 2, "learning_rate": 1e-3, "precision": "fp32"}
        history = fit(model, train, make_loader(tokens.dev), **options)
        histories[batching] = history[["train_loss", "dev_loss"]].to_numpy()
    assert histories["packed"] == pytest.approx(histories["random"], rel=1e-4)
    assert histories["grouped_packed"] == pytest.approx(histories["grouped"], rel=1e-4)
    assert histories["packed"] != pytest.approx(histories["grouped_packed"], rel=1e-4)


def test_a_packed_run(tiny, folder):
    options = {
        "dataset": str(folder),
        "dev_rows": 12,
        "backbone": tiny["roberta"],
        "max_length": 16,
        "epochs": 1,
        "accumulation": 2,
    }
    packed = run(RunConfig(**options, batching="grouped_packed"))
    assert packed.status["status"] == "finished"
    assert packed.key != run(RunConfig(**options, batching="grouped")).key
    stored = packed.predictions.query("split == 'test'")["logit_0"].to_numpy()
    tokens = tokenize(load_corpus(str(folder), dev_rows=12), tiny["roberta"], max_length=16)
    padded = evaluate(packed.model[0], make_loader(tokens.test)).logits[:, 0]
    assert stored == pytest.approx(padded, abs=2e-2)  # the stored model computes with padding


@pytest.mark.parametrize("kind", KINDS)
def test_words_that_do_not_occur_are_left_out_of_training_only(tiny, corpus, tmp_path, kind):
    tokens = tokenize(corpus, tiny[kind], max_length=16)
    used = torch.cat([part.tensors[0] for part in (tokens.train, tokens.dev)]).unique().long()
    states = {}
    for compact in (False, True):
        model = pack(build_model(tiny[kind], head="mean", num_labels=2, dropout=0.0, seed=1))
        size = model.backbone.get_input_embeddings().num_embeddings
        if compact:
            model.compact(used)
            assert model.backbone.get_input_embeddings().num_embeddings == len(used) < size
        set_dropout(model, 0.0)
        train = make_loader(tokens.train, batch_size=8, seed=1)
        options = {"epochs": 2, "learning_rate": 1e-3, "precision": "fp32"}
        fit(model, train, make_loader(tokens.dev), **options)
        model.finish()  # as saving does
        assert model.backbone.get_input_embeddings().num_embeddings == size
        states[compact] = model.state_dict()
    assert states[True].keys() == states[False].keys()
    for name, weight in states[False].items():
        assert torch.allclose(states[True][name], weight, atol=1e-6), name


def test_a_word_that_was_left_out_is_not_read_as_another(tiny):
    model = pack(build_model(tiny["bert"], head="mean", num_labels=2))
    model.compact(torch.arange(10))
    model(torch.tensor([[2, 9, 3]]), torch.ones(1, 3))
    with pytest.raises(IndexError):
        model(torch.tensor([[2, 10, 3]]), torch.ones(1, 3))


def reference_flash(query, key, value, bounds, dropout, window):
    """What torch's kernel for documents of any lengths computes, but for dropout: (tokens, heads,
    size) each."""
    starts, key_starts, _, _ = bounds
    document = torch.bucketize(torch.arange(len(query)), starts, right=True)
    key_document = torch.bucketize(torch.arange(len(key)), key_starts, right=True)
    mask = document[:, None] == key_document
    if window is not None:
        mask = mask & ((torch.arange(len(query))[:, None] - torch.arange(len(key))).abs() <= window)
    states = [each.transpose(0, 1)[None] for each in (query, key, value)]
    return F.scaled_dot_product_attention(*states, mask)[0].transpose(0, 1)


@pytest.fixture
def flash(monkeypatch):
    """Meanwhile, there is such a kernel; the list has each of its calls' dropout and window."""
    calls = []

    def kernel(query, key, value, bounds, dropout, window):
        calls.append((dropout, window))
        return reference_flash(query, key, value, bounds, dropout, window)

    monkeypatch.setattr(layout, "any_length", lambda device: True)
    monkeypatch.setattr(self_attention, "HALVES", (torch.float32,))
    monkeypatch.setattr(self_attention, "flash_attention", kernel)
    return calls


@pytest.mark.parametrize("kind", [*KINDS, "sliding"])
@pytest.mark.parametrize("head", ["native", "mean"])
def test_one_kernel_for_all_lengths_gives_the_same(tiny, kind, head, flash):
    plain, packed = (model.eval() for model in two_models(tiny[kind], head))
    ids, mask = batch([7, 1, 20, 2, 20], pad=plain.backbone.config.pad_token_id, width=21)
    assert_same(plain, packed, ids, mask)
    wanted = {"mpnet": set(), "modernbert": {None, 4}}  # the kernel adds no bias
    wanted["sliding"] = {None, 4} if head == "mean" else {None}
    assert {window for _, window in flash} == wanted.get(kind, {None})
    flash.clear()
    set_dropout(packed, 0.1)
    assert packed.train()(ids, mask).shape == (5, 3)
    rate = 0.0 if kind in ("modernbert", "sliding") else 0.1
    assert {dropout for dropout, _ in flash} == (set() if kind == "mpnet" else {rate})


@pytest.mark.filterwarnings("ignore:.*\\.grad attribute")  # dynamo looks
@pytest.mark.parametrize("kind, packed", [("bert", False), *((kind, True) for kind in STRUCTURES)])
def test_compiled_layers_give_the_same_for_all_lengths(tiny, kind, packed):
    model = build_model(tiny[kind], head="mean", num_labels=3)
    model = (pack(model) if packed else model).eval()
    pad = model.backbone.config.pad_token_id
    lengths = ([7, 3], [20, 2, 9], [5, 6], [8, 2, 3, 3])
    batches = [batch(each, pad=pad) for each in lengths]
    wanted = [gradients(model, *each)[0] for each in batches]
    torch._dynamo.reset()
    compile_layers(model.backbone, backend="eager")
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    for each, logits in zip(batches[:3], wanted, strict=False):
        assert (gradients(model, *each)[0] - logits).abs().max() <= 1e-5
    made = graphs["unique_graphs"]
    assert made > before
    assert (gradients(model, *batches[3])[0] - wanted[3]).abs().max() <= 1e-5
    assert graphs["unique_graphs"] == made  # another length, no new graph


@pytest.mark.filterwarnings("ignore:.*\\.grad attribute")  # dynamo looks
@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert"])
def test_attention_is_compiled_where_one_kernel_reads_all(tiny, kind, monkeypatch, flash):
    monkeypatch.setattr(self_attention, "flash_attention", reference_flash)
    model = pack(build_model(tiny[kind], head="mean", num_labels=3)).eval()
    pad = model.backbone.config.pad_token_id
    batches = [batch(each, pad=pad) for each in ([7, 3], [20, 2, 9], [5, 6], [8, 2, 3, 3])]
    wanted = [gradients(model, *each)[0] for each in batches]
    torch._dynamo.reset()
    compile_layers(model.backbone, attention=True, backend="eager", fullgraph=True)
    graphs = torch._dynamo.utils.counters["stats"]
    for each, logits in zip(batches, wanted, strict=True):
        made = graphs["unique_graphs"]
        assert (gradients(model, *each)[0] - logits).abs().max() <= 1e-5
    assert graphs["unique_graphs"] == made  # another length, no new graph


def test_a_layer_of_first_tokens_is_not_compiled(tiny):
    model = pack(build_model(tiny["bert"], head="cls", num_labels=3))
    compile_layers(model.backbone, backend="eager")
    first, last = layers_of(model.backbone)
    assert first._compiled_call_impl is not None
    assert last._compiled_call_impl is None
