"""How far fine-tuning is ahead in the study of label budgets: once over all sizes, and at each."""

import re

import numpy as np
import pytest
from scipy.stats import t

from lib.analysis.predictions import Predictions
from notebooks import label_budget as study
from notebooks import label_budget_leads as ahead
from tests.test_label_budget_study import DOCUMENTS, FLAT, REFERENCE, RISING, SIZES, budgets
from tests.test_tables import say_what_their_columns_hold


def words_of(sentence: str) -> list[str]:
    return [word for word in sentence.split() if re.search(r"\w", word)]


def test_the_answer_says_how_far_fine_tuning_is_ahead_on_average():
    p = budgets({"tiny": RISING, REFERENCE: FLAT})
    assert ahead.answer(p, metric="accuracy") == (
        "Averaged over 50 to 800 texts, fine-tuning is 3.6 points above TF-IDF."
    )
    text = ahead.average_lead(p, backbone="tiny", metric="accuracy")
    assert text.startswith(
        "Averaged over 5 sizes up to 800 texts, fine-tuning scores 3.6 points higher than TF-IDF "
        "(95 % interval +"
    )
    assert text.endswith(
        "; significant); its mean is above all references' at 100, 200, 400 and 800 labelled "
        "texts. With 800 texts the scores are: fine-tuning 92.0 % and TF-IDF 81.0 %."
    )
    table = ahead.leads(p, metric="accuracy")
    assert table["compared"].tolist() == ["fine-tuned − TF-IDF"] and table["sizes"].tolist() == [5]
    say_what_their_columns_hold(table)
    table = ahead.leads_by_size(p, metric="accuracy")
    assert table["labelled texts"].tolist() == list(SIZES)
    assert table["accuracy"].to_numpy() == pytest.approx(np.subtract(RISING, FLAT), abs=1e-3)
    assert table["verdict"].tolist() == [
        "significant",
        "equal within 1 point",
        *["significant"] * 3,
    ]
    say_what_their_columns_hold(table)


def test_the_answer_where_it_never_pays_and_where_nothing_is_tested():
    p = budgets({"tiny": [0.55, 0.66, 0.75, 0.80, 0.81], REFERENCE: RISING})
    assert ahead.answer(p, metric="accuracy") == (
        "Averaged over 50 to 800 texts, fine-tuning is 9.0 points below TF-IDF."
    )
    text = ahead.average_lead(p, backbone="tiny", metric="accuracy")
    assert "9.0 points lower than TF-IDF" in text
    assert "its mean is above all references' at no size. With 800 texts" in text
    assert text.endswith(" the scores are: TF-IDF 92.0 % and fine-tuning 81.0 %.")
    p = budgets({"tiny": RISING, REFERENCE: FLAT}, seeds=(1, 2))
    assert ahead.answer(p, metric="accuracy") == (
        "With fewer than 3 seeds, nothing is tested; with 800 texts fine-tuning reaches 91.8 %, "
        "TF-IDF 80.8 %."
    )
    text = ahead.average_lead(p, backbone="tiny", metric="accuracy")
    assert "(not tested, with fewer than 3 seeds)" in text


def test_of_two_models_the_answer_names_both_and_dev_says_which_comes_first():
    methods = {"tiny": RISING, "some/big": [0.65, 0.78], REFERENCE: FLAT}
    p = budgets(methods)
    assert ahead.answer(p, metric="accuracy") == (
        "Averaged over 50 to 100 texts, big is 4.0 points above tiny, 0.9 below TF-IDF."
    )
    text = ahead.average_lead(p, backbone="some/big", metric="accuracy")
    assert text.startswith(
        "Averaged over 2 sizes up to 100 texts, big scores 4.0 points higher than "
    )
    assert text.endswith(" 100 texts the scores are: big 78.0 %, tiny 75.0 % and TF-IDF 74.8 %.")
    text = ahead.average_lead(p, backbone="tiny", metric="accuracy")
    assert text.endswith(" With 800 texts the scores are: tiny 92.0 % and TF-IDF 81.0 %.")
    table = ahead.leads(p, metric="accuracy")
    assert table["compared"].tolist() == ["tiny − TF-IDF", "big − tiny", "big − TF-IDF"]
    assert table["sizes"].tolist() == [5, 2, 2]
    worse = budgets(methods | {"some/big": [0.5, 0.6]})
    assert ahead.answer(worse, metric="accuracy") == (  # nor does it average up to 800
        "Averaged over 50 to 100 texts, tiny is 4.9 points below TF-IDF, 12.5 above big."
    )
    assert study.best(worse, metric="accuracy")["best"]["name"] == "tiny"
    once = budgets(methods | {"some/big": [0.8]})
    assert ahead.answer(once, metric="accuracy").startswith("With 50 texts, big is 20.0 points ")
    alike = budgets({"one/bert": RISING, "other/bert": [0.65], REFERENCE: FLAT})
    assert study.models_of(alike) == [*study.SAME_NAME]


BETWEEN = [0.6, 0.76, 0.84, 0.91, 0.92]


@pytest.mark.parametrize(
    ("embeddings", "larger", "noise", "metric", "lead"),
    [
        (RISING, [], 0.0, "accuracy", "3.6 points above TF-IDF, as good as embeddings."),
        (FLAT, [], 0.0, "macro_f1", "3.6 points above TF-IDF, 3.6 above embeddings."),
        (
            BETWEEN,
            [0.61, 0.7, 0.8],
            0.0,
            "accuracy",
            "3.0 points above big, as good as tiny's embeddings.",
        ),
        (
            BETWEEN,
            [0.61, 0.7, 0.8],
            0.3,
            "accuracy",
            "as good as tiny's embeddings, not significantly above big.",
        ),
        (RISING, [0.59, 0.75], 0.3, "macro_f1", "not significantly "),
        (FLAT, [0.62, 0.76], 0.2, "accuracy", "not significantly "),
    ],
)
def test_the_answer_has_at_most_twenty_words(embeddings, larger, noise, metric, lead):
    methods = {"tiny": RISING, "tfidf": FLAT, "embedding_linear": embeddings}
    methods |= {"big": larger} if larger else {}
    text = ahead.answer(budgets(methods, noise=noise), metric=metric)
    assert lead in text and len(words_of(text)) <= 20
    untested = ahead.answer(budgets(methods, seeds=(1, 2)), metric=metric)
    assert untested.startswith("With fewer than 3 seeds, nothing is tested; with ")
    assert len(words_of(untested)) <= 20


def average_lead_by_hand(p: Predictions, one: str, other: str, family: int) -> tuple:
    """The lead of a method averaged over sizes, half of its interval, and its p, in plain numpy:
    the variance over samples of what the mean over sizes is, and what documents add beyond it."""
    right = {}  # (method, size, sample) -> which documents are
    of_test = p.frame[p.frame["split"] == "test"]
    for key, rows in of_test.groupby("run"):
        config = p.runs[key]["config"]
        size = config["train_rows"] + config["dev_rows"]
        predicted = (rows["logit_1"] > rows["logit_0"]).to_numpy()
        place = (config["reference"] or config["backbone"], size, config["subset_seed"])
        right[place] = (predicted == (rows["label"] == 1)).to_numpy().astype(float)
    values = np.zeros((3, DOCUMENTS))  # of samples and documents
    for sample in (1, 2, 3):
        for size in SIZES:
            values[sample - 1] += (right[one, size, sample] - right[other, size, sample]) / 5
    scores = values.mean(axis=1)
    over_samples = scores.var(ddof=1) / 3
    by_document = values.mean(axis=0).var(ddof=1)
    each_alone = (values.var(axis=1, ddof=1).mean() - by_document) / 2
    over_documents = max(0.0, by_document - each_alone) / DOCUMENTS
    variance = over_samples + over_documents
    freedom = variance / (over_samples / 2 + over_documents / (DOCUMENTS - 1))
    level = 0.95 ** (1 / family)
    half = t.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    alone = 2 * t.sf(abs(scores.mean()) / np.sqrt(variance), freedom)
    return scores.mean(), half, 1 - (1 - alone) ** family


def test_the_average_lead_is_that_of_the_samples_means_over_sizes():
    methods = {"tiny": RISING, "big": [each + 0.004 for each in RISING], "tfidf": FLAT}
    p = budgets(methods | {"embedding_linear": [each + 0.02 for each in FLAT]}, noise=0.3)
    table = ahead.leads(p, metric="accuracy").set_index("compared")
    assert len(table) == 5
    names = {"TF-IDF": "tfidf", "tiny's embeddings": "embedding_linear"}
    for compared, row in table.iterrows():
        one, other = (names.get(name, name) for name in compared.split(" − "))
        lead, half, p_value = average_lead_by_hand(p, one, other, len(table))
        assert row["accuracy"] == pytest.approx(lead, abs=1e-9)
        assert row["accuracy_high"] - row["accuracy"] == pytest.approx(half)
        assert row["accuracy"] - row["accuracy_low"] == pytest.approx(half)
        assert row["p"] == pytest.approx(p_value)
        assert (row["verdict"] == "significant") == (abs(lead) > half)


def test_samples_without_a_run_at_every_size_are_left_out_of_the_average():
    p = budgets({"tiny": RISING, REFERENCE: FLAT}, seeds=(1, 2, 3, 4))
    fewer = p.only({key: run for key, run in p.runs.items() if key != "tiny-200-4"})
    plain = budgets({"tiny": RISING, REFERENCE: FLAT})
    [lead] = ahead.leads(fewer, metric="accuracy")["accuracy"]
    assert [lead] == ahead.leads(plain, metric="accuracy")["accuracy"].tolist()
    without_size = p.only({key: p.runs[key] for key in p.runs if not key.startswith("tiny-200")})
    assert ahead.leads(without_size, metric="accuracy")["sizes"].tolist() == [4]
