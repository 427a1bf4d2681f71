"""What the study of heads says of long documents, positions and differences."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.analysis.predictions import group_of
from lib.models import load_model
from lib.runs.config import RunConfig
from lib.runs.pool import run
from notebooks import imdb_heads as study
from tests.synthetic import classifiers
from tests.test_tables import say_what_their_columns_hold


def test_accuracy_by_length_is_that_of_the_documents_of_a_bin():
    p = classifiers()
    p = dataclasses.replace(p, frame=p.frame.assign(tokens=5 + p.frame["row"] % 20))
    table = study.by_length(p, by="head", bins=2, max_length=8)
    say_what_their_columns_hold(table)
    group = group_of(p, "head", "near")
    right = (group.predicted == group.labels).mean(0)
    rows = table[table["head"] == "near"]
    assert rows["documents"].sum() == len(group.labels)
    mean = np.average(rows["accuracy"], weights=rows["documents"])
    assert mean == pytest.approx(right.mean())
    ends = [text.split("–") for text in rows["tokens"]]
    first = (group.tokens >= int(ends[0][0])) & (group.tokens <= int(ends[0][1]))
    assert rows["accuracy"].iloc[0] == pytest.approx(right[first].mean())
    figure = study.accuracy_by_length(table, by="head")
    assert figure.axes[0].get_xticklabels()[0].get_text().endswith(" cut")


def test_which_differences_are_significant():
    assert study.verdict(classifiers(), by="head").startswith(
        "Of 3 differences between the heads, 2 are significant: near − far (−"
    )
    few = classifiers().where(seed=[1, 2])
    text = study.verdict(few, by="head")
    assert text == "None of the 3 differences between the heads is tested: fewer than 3 seeds."
    level = classifiers().keep(lambda run: run["config"]["head"] != "far")
    text = study.verdict(level, by="head")
    assert text == (
        "None of the 1 differences between the heads is significant; none is shown to be within 1 "
        "point either."
    )


def test_the_weights_of_positions_are_the_models(folder, tiny):
    config = RunConfig(
        dataset=str(folder),
        backbone=tiny["bert"],
        head="weighted_average",
        max_length=16,
        dev_rows=12,
        epochs=1,
        precision="fp32",
    )
    done = run(config)
    table = study.learned_weights([done])
    assert table["run"].unique().tolist() == [done.key[:16]]
    assert table["position"].tolist() == list(range(1, 17))
    position = load_model(done.folder / "model")[0].head.position[:16].detach()
    assert table["weight"].to_numpy() == pytest.approx(position.softmax(0).numpy())
    two = pd.concat([table, table.assign(run="another", weight=1 / 16)])
    lines = study.position_weights(two).axes[0].lines
    assert lines[1].get_ydata() == pytest.approx(np.ones(16)) and len(lines) == 3
