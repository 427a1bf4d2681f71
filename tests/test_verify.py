"""A small page, published without a kernel: its files, what verify finds changed, and a full
disk."""

import errno
import os
import re

import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lib.analysis import findings, tables
from lib.analysis.predictions import Predictions
from lib.errors import InputError
from lib.publish import folder as page_folder
from lib.publish import page
from lib.publish.verify import compare, verify
from lib.runs.config import RunConfig
from lib.runs.pool import run_all
from tests.conftest import save_learnable

OPTIONS = {"profile": "demo", "words": "", "parameters": {"epochs": 2}, "seconds": 1.0}


@pytest.fixture(scope="module")
def executed(tiny, tmp_path_factory):
    """A notebook of four runs as papermill leaves it, and the store of its runs."""
    root = tmp_path_factory.mktemp("verify")
    bundles = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        patch.setattr(
            "IPython.display.display", lambda data, **options: bundles.append((data, options))
        )
        sizes = {
            "max_length": 16,
            "batch_size": 8,
            "dev_rows": 12,
            "epochs": 2,
            "precision": "fp32",
        }
        data = str(save_learnable(root / "data"))
        base = RunConfig(dataset=data, backbone=tiny["bert"], learning_rate=3e-3, **sizes)
        heads = [base.with_(head=head, seed=seed) for head in ("cls", "mean") for seed in (1, 2)]
        runs = run_all([*heads, base.baseline("tfidf_linear")], "none")
        about = {"by": "head", "metrics": ["accuracy", "macro_f1"]}
        page.show_table("by_head", runs, tables.by_group, "All heads.", **about)
        page.show_finding(runs, findings.leader, by="head", metric="accuracy")
        page.show_figure(Figure(figsize=(1, 1)), "scores", "A figure.", runs)
        page.show_figure(Figure(figsize=(1, 1)), "others", "Another one.", runs[:2])
        page.show_runs(runs)
    new_output = nbformat.v4.new_output
    outputs = [
        new_output("display_data", data, metadata=options.get("metadata", {}))
        for data, options in bundles
    ]
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Which head?"),
        nbformat.v4.new_code_cell("show()", outputs=outputs),
    ]
    return notebook, root / "runs"


@pytest.fixture
def published(executed, tmp_path, monkeypatch):
    notebook, store = executed
    monkeypatch.setenv("RUNS_DIR", str(store))
    return page_folder.publish(notebook, tmp_path / "results" / "heads" / "tiny", **OPTIONS)


def test_a_page_has_its_files_and_verifies(published):
    names = {"README.md", "predictions.parquet", "history.csv", "environment.json"}
    assert {file.name for file in published.iterdir()} == names | {
        "by_head.csv",
        "scores.png",
        "others.png",
    }
    compared, wrong, left = verify(published)
    assert compared > 20 and not wrong and not left
    text = (published / "README.md").read_text()
    assert text.startswith("# Which head?\n\nProfile `demo` · data: ")
    assert (
        "48 train, 12 dev and 21 test rows" in text and "(cls, mean heads) · 4 trained runs" in text
    )
    assert "`make heads` executes" in text and "verify results/heads/tiny` computes" in text


def change(published, old: str, new: str) -> list[str]:
    """What verify says of a page with one change."""
    path = published / "README.md"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return verify(published)[1]


def test_a_changed_cell_is_named(published):
    text = (published / "README.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| mean | 2 |"))
    digit = next(i for i, char in enumerate(line) if i > 15 and char.isdigit())
    other = line[:digit] + str((int(line[digit]) + 1) % 10) + line[digit + 1 :]
    wrong = change(published, line, other)
    assert len(wrong) == 1 and "table by_head, row mean, column accuracy (%)" in wrong[0]


def test_a_changed_sentence_is_named(published):
    wrong = change(published, "has the highest mean test accuracy", "has by far the highest")
    assert len(wrong) == 1 and wrong[0].startswith("finding leader: the page says")


def test_a_table_without_its_computation_is_named(published):
    with (published / "README.md").open("a") as file:
        file.write("\n| a | b |\n| --- | --- |\n| 1 | 2 |\n")
    assert verify(published)[1] == ["a table without its computation, beginning '| a | b |'"]


def test_a_changed_history_is_named(published):
    path = published / "history.csv"
    history = path.read_text()
    score = history.splitlines()[1].split(",")[-1]
    path.write_text(history.replace(score, "0.123456", 1))
    pattern = r"^history.csv, run \w{16}, epoch 1, column dev_\w+: the file says 0.123456"
    assert re.search(pattern, verify(published)[1][0])
    path.write_text("".join(history.splitlines(keepends=True)[:-1]))
    assert "has not one row for each of its 2 epochs" in verify(published)[1][0]
    path.write_text(
        history + history.splitlines()[1].replace(history.splitlines()[1][:16], "f" * 16)
    )
    assert f"a run {'f' * 16} that is missing from predictions.parquet" in verify(published)[1][0]
    path.unlink()
    assert verify(published)[1] == ["history.csv is missing"]


def test_figures_of_other_runs_are_named(published):
    keys = set(Predictions.read(published / "predictions.parquet").runs)
    shown = {
        file.stem: set(Image.open(file).text["Runs"].split()) for file in published.glob("*.png")
    }
    assert shown["scores"] == keys and len(shown["others"]) == 2
    path = published / "others.png"
    for title, runs, difference in [
        ("others", "0123456789abcdef", "shows runs that are not this page's: 0123456789abcdef"),
        ("scores", min(keys), "is another figure, scores"),
    ]:
        Figure(figsize=(1, 1)).savefig(path, metadata={"Title": title, "Runs": runs})
        assert verify(published)[1] == [f"figure others {difference}"]
    Figure(figsize=(1, 1)).savefig(path)
    unchecked = ["figures without keys of runs, from before they had any: others"]
    assert verify(published)[1:] == ([], unchecked)
    path.write_text("no picture")
    assert verify(published)[1] == ["figure others is no picture"]
    path.unlink()
    assert verify(published)[1] == ["figure others is missing"]


def test_lost_files_and_runs_are_named(published):
    (published / "by_head.csv").unlink()
    differs = "by_head.csv is missing or differs from what the predictions say"
    assert verify(published)[1] == [differs]
    predictions = Predictions.read(published / "predictions.parquet")
    lost = next(iter(predictions.runs))
    left = predictions.keep(lambda run: run is not predictions.runs[lost])
    left.write(published / "predictions.parquet")
    wrong = verify(published)[1]
    assert f"run {lost} of environment.json is missing from predictions.parquet" in wrong
    assert f"figure scores shows runs that are not this page's: {lost}" in wrong
    (published / "environment.json").unlink()
    assert "environment.json is missing" in verify(published)[1]
    (published / "predictions.parquet").unlink()
    with pytest.raises(InputError, match="has no predictions.parquet"):
        verify(published)


def test_a_full_disk_leaves_the_old_page(executed, published, monkeypatch):
    before = {file.name: file.read_bytes() for file in published.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(page_folder, "write_json", full)
        page_folder.publish(executed[0], published, **OPTIONS)
    assert str(error.value) == (
        f"The page could not be written to {published} (no space left on device); the old one "
        "stands, and the runs are kept: make room, and start the study again"
    )
    assert [file.name for file in published.parent.iterdir()] == ["tiny"]
    assert {file.name: file.read_bytes() for file in published.iterdir()} == before
    page_folder.publish(executed[0], published, **OPTIONS)
    assert [file.name for file in published.parent.iterdir()] == ["tiny"]
    assert {file.name: file.read_bytes() for file in published.iterdir()} == before


def test_a_notebook_that_names_no_runs_is_no_study(tmp_path):
    with pytest.raises(InputError, match=r"names no runs; end it with show_runs\(runs\)"):
        page_folder.publish(nbformat.v4.new_notebook(), tmp_path / "heads" / "tiny", **OPTIONS)
    assert not (tmp_path / "heads").exists()


def test_tables_with_empty_cells_are_compared():
    table = pd.DataFrame({"optimizer": ["adam", "adagrad"], "reason": ["", "at step 3"]})
    count, wrong = compare("grid", page.markdown(table), page.markdown(table))
    assert count == 8 and not wrong
    other = page.markdown(table.assign(reason=["", "at step 4"]))
    place = "table grid, row adagrad, column reason"
    assert compare("grid", page.markdown(table), other)[1] == [
        f"{place}: the page says at step 4, the predictions say at step 3"
    ]
    assert compare("grid", page.markdown(table), page.markdown(table[:1])) == (
        0,
        ["table grid: the page has another number of rows or columns than the predictions give"],
    )
