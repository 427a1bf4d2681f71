"""What the study of label budgets draws, fits and says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from lib.analysis.display import shown_columns
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish import study as publish_study
from lib.publish.blocks import read_page
from lib.publish.verify import verify
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of
from notebooks import label_budget as study
from notebooks import label_budget_curves as curves
from notebooks import label_budget_figures as figures
from notebooks import label_budget_leads as ahead
from notebooks import label_budget_runs as samples
from tests.conftest import learnable
from tests.synthetic import frame_of
from tests.test_tables import say_what_their_columns_hold

SIZES = (50, 100, 200, 400, 800)
DOCUMENTS = 1500


def budgets(
    accuracies: dict[str, list[float]], seeds=(1, 2, 3), shift=0.004, noise=0.0
) -> Predictions:
    """Methods by their backbone, with the accuracy of each at each size; every sample is better or
    worse by a `shift`, and with `noise` on other documents."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=DOCUMENTS)
    hard = rng.permutation(DOCUMENTS) / DOCUMENTS
    runs = {}
    frames = []
    for backbone, of_sizes in accuracies.items():
        for size, accuracy in zip(SIZES, of_sizes, strict=False):
            sign = (-1) ** SIZES.index(size)
            for seed in seeds:
                sample = {"train_rows": size - size // 5, "dev_rows": size // 5}
                reference = backbone if backbone in study.REFERENCES else None
                model = next(iter(accuracies)) if reference else backbone
                config = {"backbone": model, "reference": reference, "subset_seed": seed}
                rate = 5e-5 if backbone == "big" else 2e-4
                config |= {"seed": 1, "learning_rate": rate, "epochs": max(2, 100 // size)} | sample
                key = f"{backbone}-{size}-{seed}"
                facts = {"status": "finished", "chosen_epoch": 1, "last_epoch": 1}
                runs[key] = {"config": config} | facts
                difficulty = hard + noise * rng.normal(size=DOCUMENTS)
                right = difficulty < accuracy + shift * sign * (seed - 2)
                logits = np.where(right == (labels == 1), 1.0, -1.0)
                for split in ("dev", "test"):
                    columns = {"label": labels, "logit_0": -logits, "logit_1": logits}
                    frames.append(frame_of(key, split, **columns))
    return Predictions(pd.concat(frames, ignore_index=True), runs, ("no", "yes"))


REFERENCE = "tfidf"
RISING = [0.60, 0.75, 0.85, 0.90, 0.92]
FLAT = [0.70, 0.748, 0.78, 0.80, 0.81]


def test_scores_are_the_means_of_the_samples_of_a_size():
    p = budgets({"tiny": RISING, REFERENCE: FLAT, "big": [0.65, 0.78]})
    long = study.scores(p, metric="accuracy")
    assert list(dict.fromkeys(long["method"])) == ["tiny", "big", "TF-IDF"]
    of_first = long[long["method"] == "tiny"]
    assert of_first["accuracy"].to_numpy() == pytest.approx(RISING, abs=1e-3)
    wide = study.by_size(p, metric="accuracy")
    assert wide["tiny"].tolist() == of_first["accuracy"].tolist()
    assert wide["big"].isna().tolist() == [False, False, True, True, True]
    assert (wide["tiny_low"] < wide["tiny"]).all()
    by_sample = study.scores_by_sample(p, metric="accuracy")
    assert by_sample["sample"].tolist() == [1, 2, 3] * len(long)
    means = by_sample.groupby(["method", study.SIZE])["accuracy"].mean()
    assert means.to_numpy() == pytest.approx(
        long.set_index(["method", study.SIZE])["accuracy"].reindex(means.index).to_numpy()
    )
    for table in (long, wide, by_sample):
        say_what_their_columns_hold(table)


def test_the_page_says_that_the_learning_rate_is_fixed_and_what_dev_takes():
    p = budgets({"tiny": RISING, REFERENCE: FLAT})
    assert study.fixed_settings(p) == (
        "The learning rate is not tuned: at every size it is 0.0002 for fine-tuning, and one that "
        "is tuned for a size may do better. Fine-tuning takes 2 epochs with 800 texts. Of 800 "
        "labelled texts about 160 are dev."
    )
    p = budgets({"tiny": RISING, REFERENCE: FLAT, "big": [0.65, 0.78]})
    for key, run in p.trained.items():
        run["config"]["epochs"] = 5 if "-50-" in key else 2
    text = study.fixed_settings(p)
    assert "it is 0.0002 for tiny and 5e-05 for big, and" in text
    assert " takes 5 epochs with 50 texts, 2 with 800. " in text


def test_a_method_looks_the_same_on_every_page_and_each_sample_has_a_dot():
    methods = {"tiny": RISING, REFERENCE: FLAT, "embedding_linear": FLAT}
    seen = []
    for larger in ({}, {"big": [0.65, 0.78]}):
        p = budgets(methods | larger)
        tables = [make(p, metric="accuracy") for make in (study.scores, study.scores_by_sample)]
        [ax] = figures.by_texts(*tables, metric="accuracy").axes
        drawn = {line.get_label(): (line.get_color(), line.get_marker()) for line in ax.lines}
        assert len(set(drawn.values())) == len(drawn) == 3 + len(larger)
        embeddings = "tiny's embeddings" if larger else "embeddings"
        seen.append([drawn[name] for name in ("TF-IDF", embeddings)])
        dots = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
        assert sum(map(len, dots)) == len(tables[1])
    assert seen[0] == seen[1]


def test_what_reads_no_more_and_what_reads_nothing_stand_in_the_table_alone():
    more = {"tfidf_same_text": RISING[::-1], "majority": [0.5] * len(SIZES)}
    plain = budgets({"tiny": RISING, REFERENCE: FLAT})
    p = budgets({"tiny": RISING, REFERENCE: FLAT} | more)
    for function in (ahead.answer, study.best, curves.predicted):
        assert function(p, metric="accuracy") == function(plain, metric="accuracy")
    table = study.by_size(p, metric="accuracy")
    assert table.attrs["shown"] == [study.SIZE, "fine-tuned", "TF-IDF", "TF-IDF, same text"]
    assert table.attrs["note"] == "Majority class: 50.0 %."
    assert ahead.leads(p, metric="accuracy")["compared"].tolist() == ["fine-tuned − TF-IDF"]
    assert set(curves.doubling(p, metric="accuracy")["method"]) == {"fine-tuned", "TF-IDF"}


def test_methods_are_compared_sample_by_sample():
    """A sample that is better or worse for all methods tells nothing of their difference."""
    p = budgets({"tiny": RISING, REFERENCE: FLAT}, shift=0.05)
    for table in (ahead.leads(p, metric="accuracy"), ahead.leads_by_size(p, metric="accuracy")):
        assert (table["accuracy_high"] - table["accuracy_low"] < 0.1).all()


def test_the_facts_of_the_page_are_those_of_the_largest_size():
    p = budgets({"tiny": RISING, REFERENCE: FLAT})
    facts = study.best(p, metric="accuracy")
    assert facts["metric"] == "accuracy" and facts["best"]["name"] == "fine-tuned"
    assert facts["best"]["score"] == pytest.approx(RISING[-1], abs=1e-3)
    assert facts["reference"]["name"] == "TF-IDF"
    assert facts["reference"]["score"] == pytest.approx(FLAT[-1], abs=1e-3)
    assert facts["best"]["low"] < RISING[-1] < facts["best"]["high"]
    larger = budgets({"tiny": RISING, REFERENCE: FLAT, "big": [0.65, 0.78]})
    of_both = study.best(larger, metric="accuracy")  # at the largest size that both have
    assert of_both["labelled_texts"] < facts["labelled_texts"]
    assert of_both["best"]["name"] == "big"
    assert of_both["best"]["score"] == pytest.approx(0.78, abs=1e-3)


def test_all_texts_are_taken_where_more_are_asked_for(folder, tiny):
    base = RunConfig(dataset=str(folder), backbone=tiny["bert"])
    rows = len(corpus_of(base).train) + len(corpus_of(base).dev)
    planned = samples.plan_of(base, [20, 10, 10_000])
    assert planned.sizes == [10, 20, rows] and planned.metric == "accuracy"
    assert planned.base.reading.labels == ("no", "yes")
    assert samples.plan_of(base, [10]).sizes == [10] and samples.plan_of(base, [0]).sizes == [rows]
    with pytest.raises(InputError, match="metric = 'loss': this study wants one of which more"):
        samples.plan_of(base, [20], metric="loss")
    with pytest.raises(InputError, match="each wants 10 labelled texts or more"):
        samples.plan_of(base, [5, 20])


def test_rare_classes_and_rows_that_say_their_split(tmp_path, tiny):
    """Every sample has the classes that are not rare; dev rows of the table are not drawn from."""
    rows = [f"{text},{label},train" for text, label in zip(*learnable(60), strict=True)]
    rows += ["rare kana,seldom,train", "rare lona,seldom,train"]
    for split in ("dev", "test"):
        texts, labels = learnable(30, seed=len(split))
        rows += [f"{text},{label},{split}" for text, label in zip(texts, labels, strict=True)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["text,label,fold", *rows]) + "\n")
    reading = {"split": "fold", "min_rows_per_class": 3}
    base = RunConfig(dataset=str(path), backbone=tiny["bert"], reading=reading)
    plan = samples.plan_of(base, [20, 0])
    assert plan.sizes == [20, 60]
    for config in samples.configs(plan, [1], least_steps=1):
        assert corpus_of(config).label_names == ("no", "yes")
    merged = base.with_(reading=reading | {"rare_classes": "other"})
    [config, *_] = samples.configs(samples.plan_of(merged, [0]), [1], least_steps=1)
    corpus = corpus_of(config)
    assert corpus.label_names == ("no", "yes", "other")
    assert len(corpus.train) + len(corpus.dev) == 62 and len(corpus.test) == 30


def test_small_samples_are_trained_for_as_many_steps_and_lie_in_larger_ones(folder, tiny):
    base = RunConfig(dataset=str(folder), backbone=tiny["bert"], batch_size=8, epochs=2)
    plan = samples.plan_of(base, [20, 40])
    larger = plan.base.with_(learning_rate=1e-5)
    configs = samples.configs(plan, [1, 2], least_steps=6, larger=larger, larger_up_to=20)
    trained = [config for config in configs if not config.is_reference]
    for name in plan.references:
        choosing = {config.select_by for config in configs if config.reference == name}
        assert choosing == {"accuracy"} or name == "majority"
    assert [config.epochs for config in trained] == [2, 2, 3, 3, 3, 3]
    rows = {}
    for config in trained:
        corpus = corpus_of(config)
        rows[len(rows)] = {*corpus.train.rows.tolist(), *corpus.dev.rows.tolist()}
    assert rows[2] < rows[0] and rows[4] < rows[1] and rows[0] != rows[1]


def test_the_caption_says_up_to_which_size_the_steps_are_the_same(folder, tiny):
    base = RunConfig(dataset=str(folder), backbone=tiny["bert"], batch_size=8, epochs=2)
    plan = samples.plan_of(base, [10, 20, 40])
    assert "Up to 20 texts fine-tuning takes the same" in samples.cost_caption(plan, 4)
    assert samples.cost_caption(plan, 2) == "" == samples.cost_caption(plan, 1)


def power_law(samples: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and scores (samples, sizes) of 0.95 − 0.1 (n / 800)^−0.5."""
    sizes = np.array(SIZES, float)
    rng = np.random.default_rng(0)
    spread = noise * rng.normal(size=(samples, len(sizes))) * (sizes / 800) ** -0.5
    return sizes, 0.95 - 0.1 * (sizes / 800) ** -0.5 + spread


def test_a_curve_without_noise_is_found_again():
    sizes, scores = power_law(3)
    assert curves.fit(sizes, scores, 1.0) == pytest.approx((0.95, 0.1, 0.5), abs=1e-4)
    gain, half = curves.without_one(curves.gain_of_doubling, sizes, scores, 1.0)
    assert gain == pytest.approx(0.1 * (1 - 2**-0.5), abs=1e-4) and half < 1e-4
    error, _ = curves.without_one(curves.error_at_largest, sizes, scores, 1.0)
    assert error == pytest.approx(0, abs=1e-4)
    assert np.isnan(curves.without_one(curves.gain_of_doubling, sizes, scores[:2], 1.0)[1])


def test_a_curve_that_levels_off_is_caught_at_the_hidden_size():
    sizes, scores = power_law(3, noise=0.001)
    error, half = curves.without_one(curves.error_at_largest, sizes, scores, 1.0)
    assert abs(error) <= half
    scores[:, -1] -= 0.1
    error, half = curves.without_one(curves.error_at_largest, sizes, scores, 1.0)
    assert error == pytest.approx(-0.1, abs=0.02) and half < 0.1


def test_what_twice_the_labels_would_bring():
    _, scores = power_law(1)
    p = budgets({"tiny": scores[0].tolist(), REFERENCE: FLAT})
    table = curves.doubling(p, metric="accuracy").set_index("method")
    row = table.loc["fine-tuned"]
    assert row["gain of twice as many"] == pytest.approx(0.1 * (1 - 2**-0.5), abs=0.01)
    assert row["error_low"] <= 0 <= row["error_high"]
    assert row["predicted"] + row["error"] == pytest.approx(row["measured"])
    say_what_their_columns_hold(table.reset_index())
    text = curves.predicted(p, metric="accuracy")
    assert text.startswith("Twice 800 labelled texts would bring fine-tuning about +")
    assert "For 800, a curve through the smaller sizes predicted 85." in text
    assert "measured were 8" in text and "wrong" not in text
    larger = budgets({"tiny": scores[0].tolist(), REFERENCE: FLAT, "big": RISING[::-1]})
    assert "would bring tiny about" not in curves.predicted(p, metric="accuracy")
    assert "would bring tiny about" in curves.predicted(larger, metric="accuracy")
    few = budgets({"tiny": RISING[:4], REFERENCE: FLAT[:4]})
    assert not len(curves.doubling(few, metric="accuracy"))
    assert curves.predicted(few, metric="accuracy").endswith("no model has 5 sizes.")


FILES = {
    *("README.md", "page.json", "predictions.parquet", "history.csv", "environment.json"),
    *("scores.png", "by_size.csv", "leads.csv", "minutes.csv", "leads_by_size.csv"),
    "audit.csv",
}


def test_the_study_makes_its_page_which_can_be_verified(
    tiny, no_kernel, monkeypatch, tmp_path, capsys
):
    """Of a table of one's own, whose classes stand in no list."""
    monkeypatch.setattr(publish_study, "RESULTS", tmp_path / "results")
    rows = [f"{text},{label}" for text, label in zip(*learnable(110), strict=True)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["words,kind", *rows]) + "\n")
    small = {"dataset": str(path), "text": "words", "label": "kind", "sizes": [20, 0]}
    small |= {"backbone": tiny["bert"], "max_length": 16, "batch_size": 8, "epochs": 1}
    small |= {"least_steps": 6, "seeds": [1, 2], "larger_backbone": tiny["roberta"]}
    small |= {"larger_up_to": 20, "learning_rate": 3e-3, "most_test_rows": 20}
    page = publish_study.run_study("label_budget", "small", small, publish_as="tiny")
    assert {file.name for file in page.iterdir()} == FILES
    text = (page / "README.md").read_text()
    [best] = [block for block in read_page(page)["blocks"] if block["kind"] == "best"]
    names = [Path(tiny[name]).name for name in ("bert", "roberta")]
    assert best["facts"]["best"]["name"] in names
    first = next(line for line in text.splitlines() if line.startswith("**"))
    assert "nothing is tested; with 20 texts" in first and all(name in first for name in names)
    assert "| 90 |" in text and "MiniLM" not in text
    assert "What more labels would bring" not in text and "What it costs" in text
    check = verify(page)
    assert check.compared > 8 and not check.wrong
    assert check.unchecked == ["minutes: measured on the machine that made the page"]
    before = (page / "README.md").read_bytes()
    capsys.readouterr()
    publish_study.run_study("label_budget", "small", small, publish_as="tiny")
    assert "22 runs: 0 trained, 22 from the store" in capsys.readouterr().out
    assert (page / "README.md").read_bytes() == before


def test_seconds_stand_by_size_and_method():
    """Also where the times were published before embeddings were named after their model."""
    p = budgets({"tiny": RISING, "embedding_linear": FLAT, "big": [0.65, 0.78]})
    methods = ["tiny", "tiny", "big", "embeddings", "embeddings"]
    times = pd.DataFrame({"method": methods, study.SIZE: [50, 2000, 50, 50, 2000]})
    times["minutes"] = [0.11, 2.0, 0.2, 0.01, 0.05]
    table = study.seconds_by_size(times, p)
    assert list(table) == [study.SIZE, "tiny (s)", "big (s)", "tiny's embeddings (s)"]
    assert [column[2:] for column in shown_columns(table)] == [
        ["50", "2,000"],
        ["6.6", "120.0"],
        ["12.0", "–"],
        ["0.6", "3.0"],
    ]
    named = times.replace("embeddings", "tiny's embeddings")
    assert study.seconds_by_size(named, p).equals(table)
