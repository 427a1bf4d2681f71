"""What each word adds to a prediction."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

import lib
from lib.backbones import load_tokenizer
from lib.errors import InputError
from lib.many.pool import run
from lib.tokenization import encode, reading_of
from lib.use.explain import as_html, as_markdown, explain
from tests.conftest import WORDS, tiny_run

NO, YES, *OTHERS = WORDS  # the two words that tell the label of a learnable text


@pytest.fixture(scope="module")
def learned(tiny, tmp_path_factory):
    """Runs that have learned to tell two words apart: whole texts, and texts in windows."""
    from tests.conftest import save_learnable

    root = tmp_path_factory.mktemp("explain")
    base = tiny_run(tiny, save_learnable(root / "data", train=200), epochs=6, learning_rate=3e-3)
    windows = base.with_(truncation="windows", max_length=6, head="mean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        return {"head": run(base, tracker="none"), "windows": run(windows, tracker="none")}


def test_the_word_that_tells_the_label_contributes_most(learned):
    text = " ".join([*OTHERS[:5], YES, *OTHERS[5:8]])
    table = explain(learned["head"], text)
    assert table.attrs["label"] == "yes" == learned["head"].predict([text])[0][0]
    assert table["word"].tolist() == text.split()
    assert [text[a:b] for a, b in zip(table["start"], table["end"], strict=True)] == text.split()
    assert table["word"][table["contribution"].idxmax()] == YES
    against = explain(learned["head"], text, label="no")
    assert against["contribution"].to_numpy() == pytest.approx(-table["contribution"], abs=1e-4)


def test_a_cache_keeps_what_each_text_and_label_gave(learned, tmp_path, monkeypatch):
    run, text = learned["head"], f"  {OTHERS[0]} {YES}, {OTHERS[1]}"
    plain = explain(run, text)
    tables = [explain(run, text, cache=tmp_path)]
    monkeypatch.setattr("lib.use.explain._explained", lambda *_: pytest.fail("computed again"))
    tables.append(explain(run, text, cache=tmp_path))
    for table in tables:
        pd.testing.assert_frame_equal(table, plain)
        assert table.attrs == plain.attrs
    for other in ({"text": text.strip()}, {"text": text, "label": "no"}):
        with pytest.raises(pytest.fail.Exception):
            explain(run, **other, cache=tmp_path)


@pytest.mark.parametrize("truncation", ["head", "windows"])
def test_contributions_are_the_gradient_of_the_logits(learned, truncation):
    """By finite differences: each embedding is stretched by a little."""
    done = learned[truncation]
    words = [*OTHERS[3:8], NO, *OTHERS[9:12]]
    table = explain(done, " ".join(words), label="no")
    model = copy.deepcopy(done.model[0]).double()
    ids, mask, _ = encode([" ".join(words)], done.folder / "model", **reading_of(done.model[1]))
    weight = model.backbone.get_input_embeddings().weight
    vocabulary = load_tokenizer(done.folder / "model").get_vocab()
    by_hand = []
    for word in words:
        before = weight[vocabulary[word]].clone()
        margins = []
        for stretch in (0.99, 1.01):
            with torch.no_grad():
                weight[vocabulary[word]] = before * stretch
                logits = model(ids, mask)[0]
            margins.append(float(logits[0] - logits.mean()))
        weight.data[vocabulary[word]] = before
        by_hand.append(margins[1] - margins[0])
    by_hand = np.array(by_hand) / np.abs(by_hand).max()
    assert table["contribution"].to_numpy() == pytest.approx(by_hand, abs=0.02)


def test_what_is_cut_off_is_not_explained_and_what_cannot_be_is_refused(learned):
    done = learned["head"]
    assert len(explain(done, " ".join([YES, *OTHERS[:30]]))) == 14  # of 16 tokens
    for wrong in ("", "  ", ("a", "b"), 3):
        with pytest.raises(InputError, match="text"):
            explain(done, wrong)
    with pytest.raises(InputError, match=r"no label 'yess'\. Did you mean yes"):
        explain(done, YES, label="yess")
    assert lib.explain is explain


def test_words_are_shown_as_they_are_and_marked():
    rows = [("<b>", 0, 3, 1.0), ("*a*", 4, 7, -0.7), ("x", 8, 9, 0.1), (".", 9, 10, 0.2)]
    table = pd.DataFrame(rows, columns=["word", "start", "end", "contribution"])
    assert as_markdown(table) == r"**\<b\>** *\*a\** x."
    sign = table.assign(contribution=[0.1, 0.1, 0.1, 0.5])  # which Markdown reads by itself alone
    assert as_markdown(sign).endswith(" x **.**")
    shown = as_html(table)
    assert shown.count(" <span") == 2
    assert "&lt;b&gt;" in shown and "<b>" not in shown
    assert 'background:rgba(0,114,178,0.60)" title="+1.00"' in shown
    assert 'background:rgba(213,94,0,0.42)" title="-0.70"' in shown
