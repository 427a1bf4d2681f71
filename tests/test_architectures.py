"""Every architecture that transformers has a text classifier of: its results are transformers' own,
those of a text alone, whatever the text is padded to; or it is refused in one sentence."""

import pytest
import torch

from lib import models, pretrained
from lib.attention import record_attention
from lib.errors import InputError
from lib.fast.labelling import for_labelling, sorted_logits
from lib.many.pool import run
from lib.models import build_model, load_model, save_model
from lib.pretrained import UNFIT, positions_of
from lib.use.export import TOLERANCE, export
from tests import architectures
from tests.architectures import NOT_MADE, kinds, save_architecture, small_config
from tests.conftest import WORDS, tiny_run

LENGTHS = (3, 4, 5, 8, 12)
NATIVE = "native"
READS_PADDING = "another result when that is padded"
REFUSED = {  # a part of the sentence, with each head or with one
    "canine": "by its convolutions",
    "convbert": "by its convolutions",
    "fnet": "mixes all positions",
    "funnel": "pools neighbouring tokens",
    "mra": "CUDA kernel",
    "nystromformer": "landmarks",
    "reformer": "hashes tokens at random",
    "yoso": "from all positions",
    ("mt5", "mean"): "no hidden states of a text alone",
    ("perceiver", "mean"): "has no hidden_size",
    ("t5", "mean"): "no hidden states of a text alone",
    ("t5gemma", "mean"): "no hidden states of a text alone",
    ("t5gemma", "native"): READS_PADDING,
    ("t5gemma2", "mean"): "no hidden states of a text alone",
    ("t5gemma2", "native"): READS_PADDING,
    ("umt5", "mean"): "no hidden states of a text alone",
    ("xlnet", "native"): READS_PADDING,  # its head reads the last token
}


def text_batch(lengths=LENGTHS, width: int = 12, padding: int = 0):
    """Ids and mask (texts, width) of texts of so many tokens, the last one [SEP]."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.full((len(lengths), width), padding, dtype=torch.int32)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, 44, (length,), generator=generator)
        ids[row, length - 1] = 3
        mask[row, :length] = 1
    return ids, mask


def auto_class(head: str):
    from transformers import AutoModel, AutoModelForSequenceClassification

    return AutoModelForSequenceClassification if head == NATIVE else AutoModel


def outputs_of(model, ids, mask) -> list[torch.Tensor]:
    """For each text its logits, or the hidden states of its tokens."""
    with torch.inference_mode():
        if model.head is None:
            return list(model(ids, mask))
        states, _ = model.last_states(ids, mask)
    return [row[:length] for row, length in zip(states, mask.sum(1).tolist(), strict=True)]


def reference(folder, head: str, ids, mask) -> list[torch.Tensor]:
    """The same of transformers' own model, which reads each text alone."""
    options = {"num_labels": 2} if head == NATIVE else {}
    model = auto_class(head).from_pretrained(folder, **options).eval()
    rows = []
    for row, length in zip(ids.long(), mask.sum(1).tolist(), strict=True):
        with torch.inference_mode():
            output = model(
                input_ids=row[None, :length], attention_mask=mask[:1, :1].expand(1, length)
            )
        rows.append((output.logits if head == NATIVE else output.last_hidden_state)[0])
    return rows


def largest_difference(rows, others) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(rows, others, strict=True))


def refusal(kind: str, head: str) -> str | None:
    return REFUSED.get(kind, REFUSED.get((kind, head)))


def test_every_architecture_is_made_or_has_a_reason():
    assert set(NOT_MADE) <= set(kinds())
    assert {key if isinstance(key, str) else key[0] for key in REFUSED} <= set(kinds())


@pytest.mark.parametrize("head", [NATIVE, "mean"])
@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind not in NOT_MADE])
def test_padding_is_never_read(tmp_path, kind, head):
    folder = save_architecture(tmp_path, kind, auto_class(head))
    if reason := refusal(kind, head):
        with pytest.raises(InputError, match=f"The backbone .*{reason}.*; take .*another|head or"):
            build_model(folder, head=head, num_labels=2)
        return
    model = build_model(folder, head=head, num_labels=2).eval()
    ids, mask = text_batch()
    wanted = reference(folder, head, ids, mask)
    scale = max(float(row.abs().max()) for row in wanted)
    order = [4, 0, 3, 1, 2]
    batches = {
        "transformers": outputs_of(model, ids, mask),
        "more padding": outputs_of(model, *text_batch(width=21)),
        "another padding id": outputs_of(model, *text_batch(width=15, padding=9)),
        "alone": [
            outputs_of(model, ids[i : i + 1, :n], mask[i : i + 1, :n])[0]
            for i, n in enumerate(LENGTHS)
        ],
    }
    turned = outputs_of(model, ids[order], mask[order])
    batches["another order"] = [turned[order.index(row)] for row in range(len(order))]
    description = {"head": head, "dropout": 0.1, "label_names": "ab", "backbone": folder}
    save_model(model, tmp_path / "saved", **description, max_length=12)
    batches["saved and loaded"] = outputs_of(load_model(tmp_path / "saved")[0], ids, mask)
    differences = {name: largest_difference(rows, wanted) for name, rows in batches.items()}
    labelled = sorted_logits(for_labelling(model), ids, mask, most=20)
    with torch.inference_mode():
        differences["labelling"] = largest_difference(labelled, model(ids, mask))
    assert max(differences.values()) <= 2e-5 * scale, differences


@pytest.mark.parametrize("head", ["cls", "first_token"])
def test_a_head_that_reads_a_token_which_has_read_no_other_is_refused(tmp_path, head):
    folder = save_architecture(tmp_path, "gpt2", auto_class(head))
    with pytest.raises(
        InputError, match=r"\(gpt2\) with .*texts with different words the same res"
    ):
        build_model(folder, head=head, num_labels=2)


@pytest.mark.parametrize("kind", ["convbert", "nystromformer", "fnet", "canine", "funnel"])
def test_padding_that_is_read_shows_in_any_backbone(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(pretrained, "UNFIT", {})
    folder = save_architecture(tmp_path, kind, auto_class("mean"))
    with pytest.raises(InputError, match=READS_PADDING):
        build_model(folder, head="mean", num_labels=2)


@pytest.mark.parametrize("kind", ["mpnet", "gpt2", "bert"])
def test_attentions_are_recorded_whoever_computes_them(tmp_path, kind):
    folder = save_architecture(tmp_path, kind, auto_class("mean"))
    model = build_model(folder, head="mean", num_labels=2).eval()
    ids, mask = text_batch()
    with torch.inference_mode():
        wanted = model(ids, mask)
        record_attention(model)
        logits, _, attentions = model(ids, mask, with_states=True)
    assert torch.allclose(logits, wanted, atol=1e-5)
    assert attentions[0].shape == (5, 2, 12, 12)
    real = mask[:, None, :, None].bool()
    assert torch.allclose(attentions[0].sum(-1), torch.ones(5, 2, 12), atol=1e-5)
    assert (attentions[0] * real * ~mask[:, None, None].bool()).abs().max() < 1e-6


def test_big_bird_reads_a_text_alike_beside_longer_ones(tmp_path, monkeypatch):
    blocks = {"block_size": 2, "num_random_blocks": 1, "attention_type": "block_sparse"}
    monkeypatch.setitem(architectures.MORE, "big_bird", blocks)
    for check in ("check_padding", "check_words"):  # a short text would change its attention
        monkeypatch.setattr(models, check, lambda model, folder: None)
    folder = save_architecture(tmp_path, "big_bird", auto_class("mean"))
    model = build_model(folder, head="mean", num_labels=2).eval()
    ids, mask = text_batch([30, 18, 5], width=30)
    together = outputs_of(model, ids, mask)
    for row, length in enumerate([30, 18, 5]):
        (alone,) = outputs_of(model, ids[row : row + 1, :length], mask[row : row + 1, :length])
        assert torch.allclose(together[row], alone, atol=1e-4)


def tokens_are_read(model, length: int) -> bool:
    """Whether a model can read so many tokens."""
    ids, mask = text_batch([length], width=length)
    try:
        with torch.inference_mode():
            model(input_ids=ids.long(), attention_mask=mask)
    except (IndexError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind not in {*NOT_MADE, *UNFIT}])
def test_the_longest_text_is_the_longest_that_can_be_read(kind):
    config = small_config(kind)
    longest = positions_of(config)
    if hasattr(config.get_text_config(), "rope_parameters"):
        assert longest is None  # rotary positions
        return
    model = auto_class(NATIVE).from_config(config).eval()
    if longest is None:
        assert tokens_are_read(model, 100)
    else:
        assert tokens_are_read(model, longest) and not tokens_are_read(model, longest + 1)


@pytest.mark.parametrize(("kind", "head"), [("mpnet", NATIVE), ("bart", "mean")])
def test_a_run_predicts_and_is_exported(tiny, folder, tmp_path, kind, head):
    backbone = save_architecture(tmp_path / kind, kind, auto_class(head))
    config = tiny_run(tiny, folder, head=head, epochs=1)
    finished = run(config.with_(backbone=backbone), tracker="none")
    texts = [" ".join(WORDS[:length]) for length in (1, 12, 4)]
    labels, together = finished.predict(texts)
    for text, label, probabilities in zip(texts, labels, together, strict=True):
        (alone,), (wanted,) = finished.predict([text])
        assert alone == label and abs(wanted - probabilities).max() < 1e-5
    comparison = export(finished.folder / "model", texts, tmp_path / "onnx")
    assert comparison["largest_difference"] < TOLERANCE
