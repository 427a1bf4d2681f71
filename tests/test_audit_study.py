"""The study of the originals' bugs end to end on a tiny transformer, and which runs stand for a
bug."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish import study
from lib.publish.verify import verify
from notebooks import audit, audit_claims, audit_figures, audit_picks

BUGS = (
    "padding_read",
    "wrong_pad",
    "first_evaluation",
    "no_square",
    "swapped_rates",
    "test_chooses",
)
FILES = {
    "README.md",
    "page.json",
    "predictions.parquet",
    "history.csv",
    "environment.json",
    "audit.csv",
    "leaks.csv",
    "references.csv",
    "runs.csv",
    "effects.png",
    "effects.csv",
    *(f"{bug}.csv" for bug in BUGS),
}


def test_the_study_makes_its_page(tiny, folder, no_kernel, monkeypatch, tmp_path):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    small = {
        "dataset": str(folder),
        "train_rows": 0,
        "dev_rows": 12,
        "test_rows": 0,
        "max_length": 16,
        "layers": 0,
    }
    small |= {
        "backbone": tiny["bert"],
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "seeds": [1, 2],
    }
    small |= {"student_layers": [1], "learning_rates": []}
    page = study.run_study("audit", overrides=small, publish_as="tiny")
    assert {file.name for file in page.iterdir()} - {"without_leaks.csv"} == FILES
    text = (page / "README.md").read_text()
    assert text.index("](effects.png)") < text.index("## Heads that read padding")
    assert "Of 6 bugs none can be judged, with fewer than 3 seeds; without a bug" in text
    check = verify(page)
    assert check.compared > 40 and not check.wrong and not check.unchecked
    p = Predictions.read(page / "predictions.parquet")
    table = audit.bug_scores(p, bug="padding_read")
    both = [(what, bug) for what in ("weighted average", "LSTM") for bug in ("off", "on")]
    assert sorted(zip(table["what"], table["bug"], strict=True)) == sorted(
        [("CLS", "either"), *both]
    )
    assert (
        audit.bug_scores(p, bug="swapped_rates")["what"].tolist()
        == ["Adagrad"] * 2 + ["Adadelta"] * 2
    )
    assert audit.effects(p)["bug"].tolist() == [
        "Heads read padding: weighted average",
        "Heads read padding: LSTM",
        "Wrong pad token: weighted average",
        "Wrong pad token: LSTM",
        "Ranked by the first evaluation: winner of the grid",
        "No factor T²: student",
        "Swapped default rates: Adagrad",
        "Swapped default rates: Adadelta",
        "Test documents choose: epoch",
        "Test documents choose: epoch and cell",
    ]


ROWS = 40
LABELS = np.arange(ROWS) % 2


def right(first: int) -> np.ndarray:
    """The first so many documents are right."""
    return np.arange(ROWS) < first


def predictions(*runs: tuple[dict, list, list]) -> Predictions:
    """Runs from what they were, and which documents are right (rows,) after each epoch, on dev
    and on test."""
    about, frames = {}, []
    for i, (config, dev, test) in enumerate(runs):
        key = f"{i:016d}"
        base = {
            "backbone": "tiny",
            "head": audit_picks.HEAD,
            "optimizer": "adam",
            "learning_rate": 0.1,
            "seed": 1,
        }
        chosen = 1 + int(np.argmax([np.mean(found) for found in dev])) if dev else 0
        about[key] = {
            "config": base | {"weight_decay": 0.0, "distil": None} | config,
            "chosen_epoch": chosen,
        }
        about[key] |= {"status": "finished", "last_epoch": len(dev)}
        for split, parts in (("dev", dev), ("test", test)):
            for epoch, found in enumerate(parts, 1):
                logits = np.where(found == (LABELS == 1), 1.0, -1.0)
                columns = {
                    "label": LABELS,
                    "logit_0": -logits,
                    "logit_1": logits,
                    "row": np.arange(ROWS),
                    "tokens": 9,
                }
                frames.append(pd.DataFrame({"run": key, "split": split, "epoch": epoch} | columns))
    return Predictions(pd.concat(frames, ignore_index=True), about, ("no", "yes"))


def flat(accuracy: int, **config) -> tuple[dict, list, list]:
    return config, [right(accuracy)], [right(accuracy)]


CLS = flat(25, head="cls")


def scores(p: Predictions, bug: str, **settings) -> dict:
    table = audit.bug_scores(p, bug=bug, **settings)
    return {
        (row["what"], row["bug"]): round(ROWS * row["accuracy"]) for row in table.to_dict("records")
    }


def test_first_evaluation_ranks_a_fast_starter_above_the_best_cell():
    fast = {"learning_rate": 1.0}, [right(30), right(20)], [right(28), right(19)]
    slow = {"learning_rate": 0.1}, [right(22), right(38)], [right(21), right(36)]
    p = predictions(CLS, fast, slow)
    assert scores(p, "first_evaluation") == {
        ("winner of the grid", "off"): 36,
        ("winner of the grid", "on"): 28,
    }


def test_documents_that_choose_flatter_what_they_choose():
    half = audit_picks.half_of(LABELS)
    assert half.sum() == 20 and half[LABELS == 0].sum() == 10
    run = (
        {},
        [right(10), right(20), right(15)],
        [half, right(12), ~half | (np.arange(ROWS) == np.argmax(half))],
    )
    p = predictions(CLS, run)
    found = scores(p, "test_chooses")
    assert found["epoch", "off"] == 12 and found["epoch", "on"] == 21
    # one half chooses epoch 1, where the other is all wrong, and that chooses epoch 3, where one of
    # the first is right
    assert found["epoch", "other half chooses"] == 1
    cells = predictions(CLS, run, ({"learning_rate": 0.2}, [right(12)], [right(30)]))
    assert scores(cells, "test_chooses")["epoch", "on"] == 21
    assert scores(cells, "test_chooses")["epoch and cell", "on"] == 30


def test_each_default_has_its_own_factors_and_dev_chooses_among_them():
    def cell(optimizer, rate, dev, test):
        return {"optimizer": optimizer, "learning_rate": rate}, [right(dev)], [right(test)]

    runs = [
        cell("adagrad", 0.01, 30, 29),
        cell("adagrad", 0.001, 22, 39),
        cell("adagrad", 1.0, 20, 19),
    ]
    runs += [
        cell("adadelta", 1.0, 35, 33),
        cell("adadelta", 0.01, 20, 20),
        cell("adadelta", 0.001, 21, 18),
    ]
    majority = {"reference": "majority"}, [right(20)], [right(20)]
    p = predictions(CLS, flat(36), *runs, majority)
    found = scores(p, "swapped_rates", factors=[1.0, 0.1])
    assert found == {
        ("Adagrad", "off"): 29,
        ("Adagrad", "on"): 19,
        ("Adadelta", "off"): 33,
        ("Adadelta", "on"): 18,
    }
    assert scores(p, "swapped_rates")["Adadelta", "on"] == 20
    gone = predictions(
        CLS,
        flat(36),
        *runs[:3],
        runs[3],
        ({"optimizer": "adadelta", "learning_rate": 0.01}, [], []),
        majority,
    )
    assert ("Adadelta", "on") not in scores(gone, "swapped_rates")


def test_students_and_heads_are_told_by_their_configuration():
    def student(weights, accuracy):
        return flat(accuracy, distil={"teacher": "t", "weights": weights, "temperature": 4.0})

    p = predictions(
        CLS,
        flat(30),
        student({"hard": 1.0}, 21),
        student({"soft": 0.5, "hard": 0.5}, 33),
        student({"soft": 0.03125, "hard": 0.5}, 22),
    )
    assert scores(p, "no_square") == {
        ("student", "labels alone"): 21,
        ("student", "off"): 33,
        ("student", "on"): 22,
    }
    heads = {"lstm": 30, "lstm_unmasked": 12, "lstm_unmasked_wrong_pad": 5, "lstm_wrong_pad": 1}
    found = [flat(accuracy, head=name) for name, accuracy in heads.items()]
    p = predictions(
        CLS,
        flat(31),
        flat(40, optimizer="adagrad"),
        *found,
        flat(11, head=audit_picks.HEAD + "_unmasked"),
    )
    assert scores(p, "padding_read") == {
        ("CLS", "either"): 25,
        ("weighted average", "off"): 31,
        ("weighted average", "on"): 11,
        ("LSTM", "off"): 30,
        ("LSTM", "on"): 12,
    }
    assert scores(p, "wrong_pad")["LSTM", "off"] == 12 and scores(p, "wrong_pad")["LSTM", "on"] == 5


def every_bug(seeds=(1, 2, 3), unmasked=(11, 12, 10)) -> Predictions:
    """Runs of each seed that show all bugs; the unmasked weighted average is right so often."""
    runs = []
    for seed, low in zip(seeds, unmasked, strict=False):
        high = 29 + seed
        several = {
            audit_picks.HEAD: high,
            "lstm": high,
            "cls": 25,
            audit_picks.HEAD + "_unmasked": low,
            audit_picks.HEAD + "_unmasked_wrong_pad": low,
            "lstm_unmasked": high + 1,
            "lstm_unmasked_wrong_pad": high,
        }
        runs += [flat(right, head=head, seed=seed) for head, right in several.items()]
        for weights in ({"hard": 1.0}, {"hard": 0.5, "soft": 0.5}, {"hard": 0.5, "soft": 0.1}):
            distil = {"teacher": "t", "weights": weights, "temperature": 4.0}
            runs.append(flat(high, seed=seed, distil=distil))
        for optimizer, rates in audit_picks.DEFAULTS.items():
            for rate in rates.values():
                cell = {"optimizer": optimizer, "learning_rate": rate, "seed": seed}
                runs.append(flat(20 + seed, **cell))
    runs.append(flat(20, reference="majority"))
    runs.append(flat(29, reference="tfidf"))
    return predictions(*runs)


def test_a_claim_changes_where_what_is_claimed_differs_significantly():
    table = audit.effects(every_bug()).set_index("bug")
    padding = table.loc["Heads read padding: weighted average"]
    assert padding["accuracy"] == pytest.approx(-20 / ROWS)
    assert padding["accuracy_high"] < 0 and padding["changes"] == "yes"
    lstm = table.loc["Heads read padding: LSTM"]
    assert lstm["accuracy"] == pytest.approx(1 / ROWS)
    assert lstm["accuracy_low"] < 0 < lstm["accuracy_high"] and lstm["changes"] == "not seen"
    assert lstm["accuracy"] < lstm["smallest visible"] < 0.5
    assert table.loc["Test documents choose: epoch", "changes"] == "the same model"
    assert (table["changes"] == "yes").sum() == 1

    answer = audit_claims.answer(every_bug())
    assert answer == (
        "1 of 6 bugs changes its claim (heads read padding: −50.0 points); without a bug 77.5 %, "
        "TF-IDF 72.5 %."
    )
    significant = audit_claims.significant(every_bug())
    assert significant.startswith(
        "Significant: Heads read padding: weighted average, −50.0 points ("
    )
    assert re.search(r", p (= 0.0|< 0.001)", significant)
    assert "power these runs find effects of " in audit_claims.visible(every_bug())


def test_a_large_effect_of_noise_changes_no_claim():
    p = every_bug(unmasked=(2, 30, 16))
    row = audit.effects(p).set_index("bug").loc["Heads read padding: weighted average"]
    assert row["accuracy"] < -0.3 and row["changes"] == "not seen"
    assert audit_claims.answer(p).startswith("None of 6 bugs is shown to change its claim")
    assert audit_claims.significant(p).startswith("No effect is significant. ")
    few = every_bug(seeds=(1, 2))
    assert audit_claims.answer(few).startswith("Of 6 bugs none can be judged, with fewer than 3")
    assert audit_claims.visible(few) == "With fewer than 3 seeds no effect can be told from chance."


def test_the_figure_gives_wide_intervals_a_scale_of_their_own():
    table = audit.effects(every_bug(unmasked=(2, 30, 16)))
    figure = audit_figures.effect_intervals(table, metric="accuracy")
    narrow, wide = figure.axes
    names = [label.get_text().replace("\n", " ") for label in wide.get_yticklabels()]
    assert names[0].endswith("weighted average") and len(names) == 1
    assert len(narrow.get_yticks()) == len(table) - 1
    assert wide.get_xlim()[0] < narrow.get_xlim()[0]
    table.loc[0, ["accuracy_low", "accuracy_high"]] = [-1.0, 1.0]  # all that it can be
    figure = audit_figures.effect_intervals(table, metric="accuracy")
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert sum("not estimable" in text for text in texts) == 1
    assert max(ax.get_xlim()[1] for ax in figure.axes) < 1


def test_what_cannot_be_told_is_refused():
    p = predictions(CLS, flat(30))
    with pytest.raises(InputError, match="Unknown bug 'wrong_pat'. Did you mean wrong_pad"):
        audit.bug_scores(p, bug="wrong_pat")
    with pytest.raises(InputError, match="No run of the head cls has predictions"):
        audit.bug_scores(predictions(flat(30)), bug="padding_read")
    with pytest.raises(InputError, match="at temperature 1 they are the same"):
        audit.bug_scores(p, bug="no_square")
    with pytest.raises(InputError, match="the task is regression"):
        audit.bug_scores(
            Predictions(p.frame.assign(label=p.frame["label"].astype(np.float32)), p.runs, ()),
            bug="wrong_pad",
        )


def test_runs_that_diverged_at_once_are_told():
    p = every_bug()
    assert "No score" not in audit_claims.visible(p)
    gone = [
        key
        for key, run in p.runs.items()
        if (run["config"]["optimizer"], run["config"]["learning_rate"]) == ("adagrad", 1.0)
    ]
    runs = {key: run | {"chosen_epoch": 0} if key in gone else run for key, run in p.runs.items()}
    frame = p.frame[~p.frame["run"].isin(gone)]
    text = audit_claims.visible(dataclasses.replace(p, frame=frame, runs=runs))
    assert text.endswith(
        " No score, so no row, for 3 of 3 runs of weighted average, Adagrad at 1: they diverged in "
        "the first epoch."
    )
