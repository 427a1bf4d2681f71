"""Long documents in windows: what is read of them, and that a document's result is the mean over
its windows, padded, packed or embedded once."""

import pytest
import torch
from torch.nn import functional as F

from lib.data import load_corpus
from lib.errors import InputError
from lib.fast.packing import pack
from lib.many.pool import run, run_all
from lib.many.single import prepare
from lib.models import build_model
from lib.runs.keys import tokens_of
from lib.session.frozen import freeze_backbone
from lib.tokenization import encode, longest_whole, tokenize
from lib.use.export import export
from lib.windows import cut
from tests.conftest import WORDS, digests, save_learnable, tiny_run
from tests.test_frozen import logits_of
from tests.test_resume import killed_at

READING = {"max_length": 6, "truncation": "windows"}  # four words a window
LONG = " ".join(WORDS[2:12])  # ten words
TEXTS = ["kana lobe", LONG, "mici nudo pefu rina", LONG + " kana"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_learnable(tmp_path_factory.mktemp("windows") / "data")


@pytest.mark.parametrize(
    ("tokens", "stride", "most", "wanted"),
    [
        (10, 4, 9, ["0123", "4567", "89"]),
        (10, 2, 9, ["0123", "2345", "4567", "6789"]),
        (10, 3, 2, ["0123", "3456"]),
        (4, 1, 9, ["0123"]),
        (5, 1, 9, ["0123", "1234"]),
        (0, 4, 9, [""]),
    ],
)
def test_windows_cover_a_text(tokens, stride, most, wanted):
    assert cut([*range(tokens)], 4, stride, most) == [[*map(int, digits)] for digits in wanted]


def test_a_row_has_its_windows_one_after_the_other(tiny):
    ids, mask, lengths = encode(TEXTS, tiny["bert"], **READING, stride=3, windows=2)
    words = LONG.split()
    framed, _, _ = encode([" ".join(words[:4]), " ".join(words[3:7])], tiny["bert"], max_length=6)
    assert ids[1].tolist() == framed.flatten().tolist()
    assert lengths.tolist() == [4, 12, 6, 13]
    assert mask.sum(1).tolist() == [4, 12, 6, 12]
    ids, mask, _ = encode(TEXTS, tiny["bert"], **READING)
    assert mask.sum(1).tolist() == [4, 16, 6, 17]
    assert longest_whole(tiny["bert"], **READING) == 6 + 3 * 4
    assert longest_whole(tiny["bert"], **READING, stride=2, windows=3) == 10


def test_what_cannot_be_cut_so(tiny):
    with pytest.raises(InputError, match="stride is 5, but a window holds 4 tokens"):
        encode(TEXTS, tiny["bert"], **READING, stride=5)
    with pytest.raises(InputError, match="'windows' is for single texts"):
        encode([("kana", "lobe")], tiny["bert"], **READING)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("head", ["native", "mean", "lstm"])
def test_logits_and_gradients_are_those_of_the_mean(tiny, kind, packed, head):
    """Against each window by itself, as a text of its own."""
    model = build_model(tiny[kind], head=head, num_labels=3, seed=1)
    model = (pack(model) if packed else model).eval()
    ids, mask, _ = encode(TEXTS, tiny[kind], **READING, stride=3)
    model.window = 6
    logits = model(ids, mask)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    gradient = model.backbone.get_input_embeddings().weight.grad.clone()
    embedding = model.embed(ids, mask)
    model.zero_grad()
    model.window = None
    alone = []
    embeddings = []
    for text in TEXTS:
        words = text.split()
        pieces = [" ".join(piece) for piece in cut(words, 4, 3, 4)]
        inputs = encode(pieces, tiny[kind], max_length=6)[:2]
        alone.append(model(*inputs).mean(0))
        embeddings.append(model.embed(*inputs).mean(0))
    wanted = torch.stack(alone)
    F.cross_entropy(wanted, torch.tensor([0, 1, 2, 0])).backward()
    assert (logits - wanted).abs().max() <= 1e-5
    assert (embedding - torch.stack(embeddings)).abs().max() <= 1e-5
    assert (gradient - model.backbone.get_input_embeddings().weight.grad).abs().max() <= 1e-5


@pytest.mark.parametrize("packed", [False, True])
def test_vectors_of_windows_give_the_logits_of_the_texts(tiny, data, packed):
    tokens = tokenize(load_corpus(str(data), dev_rows=12), tiny["bert"], **READING)
    model = build_model(tiny["bert"], head="mean", num_labels=2)
    model = pack(model) if packed else model
    model.window = 6
    wanted = logits_of(model, tokens.test)
    classifier, vectors = freeze_backbone(model, tokens, tiny["bert"], precision="fp32")
    assert vectors.test.tensors[0].shape == (21, 3, 32)
    assert torch.allclose(logits_of(classifier, vectors.test), wanted, atol=1e-5)


@pytest.mark.parametrize("batching", ["grouped", "packed"])
def test_one_window_is_the_head(tiny, data, batching):
    base = tiny_run(tiny, data, epochs=1, max_length=6, batching=batching)
    head, one = run_all([base, base.with_(truncation="windows", windows=1)], "none")
    assert one.key != head.key
    assert one.predictions.equals(head.predictions)
    weights, others = (run.model[0].state_dict() for run in (head, one))
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_run_in_windows_resumes_predicts_and_is_not_exported(tiny, data, monkeypatch, tmp_path):
    settings = {"truncation": "windows", "stride": 2, "windows": 3, "batching": "grouped_packed"}
    config = tiny_run(tiny, data, epochs=2, max_length=6, **settings)
    whole = run(config, tracker="none")
    test = whole.predictions.query("split == 'test' and epoch == epoch.max()")
    texts = prepare(config).corpus.test.texts
    probabilities = whole.predict(texts)[1]
    assert len(test) == len(texts) and probabilities.shape == (21, 2)
    assert whole.model[0].window == 6
    wanted = logits_of(whole.model[0], tokens_of(config).test).softmax(1)
    assert torch.allclose(torch.from_numpy(probabilities).float(), wanted, atol=1e-5)
    with pytest.raises(InputError, match="truncation = 'windows'.*export one trained with head"):
        export(whole.folder / "model", texts, tmp_path / "onnx")
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "again"))
    killed_at(monkeypatch, config, 8, checkpoint_every="1 step")
    assert digests(run(config, tracker="none")) == digests(whole)


def test_a_student_learns_from_a_teacher_in_windows(tiny, data):
    config = tiny_run(tiny, data, epochs=1, max_length=6, truncation="windows")
    teacher = run(config)
    student = config.with_(max_length=8, distil={"teacher": teacher.key})
    assert run(student).status["status"] == "finished"
    compared = {"weights": {"hidden": 1.0}, "hidden_map": [[0, 0]]}
    with pytest.raises(InputError, match="'windows': hidden states .* one window"):
        run(student.with_(distil={"teacher": teacher.key, **compared}))


def test_settings_of_windows_are_in_the_key_only_where_they_are_read(tiny, data):
    config = tiny_run(tiny, data)
    assert prepare(config).key == prepare(config.with_(stride=3, windows=2)).key
    windows = config.with_(truncation="windows")
    keys = {prepare(windows.with_(**change)).key for change in ({}, {"stride": 3}, {"windows": 2})}
    assert len(keys) == 3
