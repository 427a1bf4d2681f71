"""A study of a few cells, for tests of what is published: its notebook, and its page."""

from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

CELLS = [
    ("", "# Which head?"),
    ("", "A study of a few cells."),
    (
        "parameters",
        """
dataset = "demo_news"
train_rows = 48
backbone = ""
heads = ["cls", "mean"]
schedule = "exponential"
learning_rate = 3e-3
epochs = 3
batching = "grouped"
seeds = [1, 2]
""",
    ),
    (
        "",
        """
from matplotlib.figure import Figure
from lib import RunConfig, findings, run_all, show_audit, show_figure, show_finding, show_runs
from lib import show_table, tables
from lib.publish.page import measured, show_measured

base = RunConfig(
    dataset=dataset, train_rows=train_rows, dev_rows=12, test_rows=21, backbone=backbone,
    max_length=16, batch_size=8, epochs=epochs, learning_rate=learning_rate, precision="fp32",
    schedule=schedule, schedule_args={"gamma": 0.5}, batching=batching,
)
configs = [base.with_(head=head, seed=seed) for head in heads for seed in seeds]
runs = run_all([*configs, base.baseline("tfidf")], "none")
""",
    ),
    ("details", "### The data, audited"),
    ("details", "show_audit(base)\nshow_measured('cost', lambda: runs.cost(by='head'), 'Cost.')"),
    (
        "",
        """
show_table("by_head", runs, tables.by_group, "All heads.", by="head", metrics=["accuracy"]);
show_table("runs", runs, tables.by_run, by="head", metrics=["accuracy"])
cost = measured("numbers", lambda: runs.cost(by="head"))
history = runs.history
for name in ("dev_loss", "train_loss"):
    figure = Figure(figsize=(2, 1))
    figure.add_axes((0, 0, 1, 1)).plot(history[name])
    show_figure(figure, name, f"The {name}.", runs)
""",
    ),
    ("answer", "## Findings"),
    (
        "answer",
        """
show_finding(runs, findings.outlook, by="head", metric="accuracy")
show_finding(runs, findings.beyond_baseline, by="head", metric="accuracy")
show_runs(runs)
""",
    ),
]


def save_notebook(folder: Path) -> Path:
    """The study `heads` and its profile `demo` in a folder of notebooks."""
    cells = []
    for tag, source in CELLS:
        is_text = source.startswith(("#", "A "))
        new_cell = nbformat.v4.new_markdown_cell if is_text else nbformat.v4.new_code_cell
        cells.append(new_cell(source.strip(), metadata={"tags": [tag] if tag else []}))
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    profile = folder / "params" / "heads" / "demo.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("seeds: [1, 2]\n", encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=about)
    nbformat.write(notebook, folder / "heads.ipynb")
    return folder


@contextmanager
def only_study(notebooks: Path, results: Path):
    """Meanwhile, `heads` is the only study, and pages are published to `results`, by the name that
    is given: the site leaves out those of one's own files, as the tests' are."""
    from lib.publish import parameters, study

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "NOTEBOOKS", notebooks)
        patch.setattr(study, "RESULTS", results)
        patch.setattr(study, "folder_as", lambda name, dataset: name)
        yield patch


@contextmanager
def in_process():
    """Meanwhile, papermill runs notebooks in this process."""
    import sys

    from IPython.core.interactiveshell import InteractiveShell
    from papermill.engines import papermill_engines

    from tests.conftest import in_process_engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(papermill_engines._engines, None, in_process_engine())
        patch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # a shell replaces it
        yield
        InteractiveShell.clear_instance()


def publish(root: Path, name: str, **overrides) -> Path:
    """Train the study's runs in the store `root/runs`, and publish its page as `name`."""
    from lib.publish.study import run_study

    with only_study(root / "notebooks", root / "results") as patch, in_process():
        patch.setenv("RUNS_DIR", str(root / "runs"))
        return run_study("heads", overrides=overrides, publish_as=name)


def files(folder: Path) -> dict[str, bytes]:
    """The content of each file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
