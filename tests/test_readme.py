"""The examples of the README and docs/ run, and the README's findings are those of the pages."""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from distributed.cli import dask_scheduler, dask_worker

import plots
from lib.backbones import EMBEDDED
from lib.many.pool import ThisProcess
from lib.publish import parameters, study
from lib.publish.blocks import read_page
from lib.publish.compare import Check, compare_figures
from lib.publish.front import names_by_study, overview_table, profile_pages, with_answers
from lib.publish.layout import findings_of, layout
from lib.publish.shown import png_of
from lib.reading.formats import read_table
from lib.runs.paths import ROOT
from lib.use.int8 import Int8Run
from notebooks.front import TITLE
from tests.conftest import learnable, save_tiny
from tests.test_cli import cli

STUDIES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = {"README.md": README} | {
    f"docs/{path.name}": path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md"))
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)\n```", flags=re.S | re.M)
RUN = "runs/<key>"  # how the prose names a finished run
# A phrase of each block of code, and the test that executes it
BLOCKS = {
    "make ag_news   # the study": "test_make_commands_are_accepted",
    "make imdb_heads": "test_make_commands_are_accepted",
    'load_corpus("reviews.csv"': "test_the_script_on_a_file_of_ones_own",
    "tables.by_group": "test_the_script_with_the_store",
    "cat > my_run.yaml": "test_the_shell_example",
    "stars   # a page about": "test_make_commands_are_accepted",
    "make your_data DATA=reviews.csv TEXT=review LABEL=stars\n": "test_make_commands_are_accepted",
    "make label_budget DATA": "test_make_commands_are_accepted",
    "import load_files": "test_texts_in_folders_become_a_table",
    "awk": "test_lines_with_a_label_become_a_table",
    "# tweets.yaml": "test_the_settings_file",
    "print(run.predict(": "test_a_run_is_used",
    "import explain": "test_a_run_is_used",
    "lib push": "test_a_run_is_used",
    "import gradio": "test_a_page_and_a_service_label_texts",
    "from fastapi": "test_a_page_and_a_service_label_texts",
    "--out labelled.csv": "test_a_run_is_used",
    "--unsure 100": "test_every_option_of_predict",
    "make grid_search   #": "test_make_commands_are_accepted",
    "# sweep.yaml": "test_the_sweep",
    "lib sweep sweep.yaml --workers 2": "test_the_sweep",
    "sbatch scheduler.sbatch": "test_the_slurm_jobs",
    "--wrap": "test_the_slurm_jobs",
    "backend=ddp processes=2   #": "test_the_run_of_two_processes",
    "torch.distributed.run": "tests/test_parallel.py",
    "accelerate launch": "tests/test_parallel.py",
    "# student.yaml": "test_the_student",
    "distil.teacher=": "test_the_student",
    "lib export": "test_the_export",
    "# frozen.yaml": "test_the_frozen_backbone",
    "lib train frozen.yaml": "test_the_frozen_backbone",
    "make bench  ": "test_make_commands_are_accepted",
    "import build_model, pack": "test_the_packed_model",
    "lib show": "test_a_run_is_used",
    "make pages  ": "tests of publishing from what is published",
    "make site-check   #": "test_make_commands_are_accepted",
    "--as three_epochs": "test_make_commands_are_accepted",
    "make verify  ": "tests/test_verify.py",
    "lib compare": "tests/test_reproduced.py",
    'DATASETS["tickets"]': "test_a_dataset_is_a_row",
    "class MaxHead": "tests/test_optimizer_study.py",
    "inverse_sqrt(": "test_a_schedule_and_a_metric_are_a_row_each",
    "worst_recall(": "test_a_schedule_and_a_metric_are_a_row_each",
    "class LinesTracker": "test_a_tracker_is_a_row",
    "best.with_(": "test_a_search_is_a_loop",
    "def always_right": "test_a_study_is_three_files",
    "# %%": "test_a_study_is_three_files",
    "# the parameters cell": "test_a_study_is_three_files",
    "make agreement  ": "test_make_commands_are_accepted",
}


def blocks(language: str | None = None) -> list[str]:
    """The blocks of code of README.md and docs/, of one language or all."""
    return [
        textwrap.dedent(body)
        for text in PROSE.values()
        for kind, body in BLOCK.findall(text)
        if language in (None, kind)
    ]


def code(language: str, containing: str) -> str:
    """The one block of code of README.md and docs/ that contains something."""
    [block] = [block for block in blocks(language) if containing in f"{block}\n"]
    return block


def command(containing: str, **names: str) -> list[str]:
    """The words after `-m lib` of the one command that contains something, with other names in
    the place of some of its words."""
    [line] = [line for line in code("sh", containing).splitlines() if containing in line]
    words = shlex.split(line.partition("-m lib ")[2], comments=True)
    for old, new in names.items():
        words = [word.replace(old, new) for word in words]
    return words


def test_every_block_of_code_has_its_test():
    for phrase in BLOCKS:
        assert sum(phrase in f"{block}\n" for block in blocks()) == 1, phrase
    for block in blocks():
        assert any(phrase in f"{block}\n" for phrase in BLOCKS), block
    for name in BLOCKS.values():
        assert not name.startswith("test_") or name in globals()


def run_script(script: str, backbone: str) -> dict:
    """Run a script as it stands, but for the backbone, which is tiny: that the embedded one can be
    named so is in the shell's example. Returns its names."""
    script = script.replace(f'"{EMBEDDED}"', repr(backbone)).replace(
        "max_length=128", "max_length=48"
    )
    if "backbone=" not in script and repr(backbone) not in script:
        assert "RunConfig(" in script
        script = script.replace("RunConfig(", f"RunConfig(backbone={backbone!r}, ", 1)
    names = {}
    exec(compile(script, "README.md", "exec"), names)
    return names


def write_reviews(path: Path) -> Path:
    from lib.demo import news

    texts, labels, _ = news(120, 7)
    pd.DataFrame({"review": texts, "stars": [1 + label for label in labels]}).to_csv(
        path, index=False
    )
    return path


def test_the_script_on_a_file_of_ones_own(tiny, tmp_path, monkeypatch, capsys):
    write_reviews(tmp_path / "reviews.csv")
    monkeypatch.chdir(tmp_path)
    run_script(code("python", "reviews.csv"), tiny["bert"])
    assert "'accuracy': " in capsys.readouterr().out


def test_the_script_with_the_store(tiny, capsys):
    run_script(code("python", "tables.by_group"), tiny["bert"])
    out = capsys.readouterr().out
    assert "3 runs: 3 trained" in out and "TF-IDF" in out


def test_the_shell_example(tmp_path):
    (tmp_path / ".venv").symlink_to(sys.prefix)
    script = code("sh", "cat > my_run.yaml")
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header == "text,label,probability"
    assert (
        row.split(",")[1] in ("World", "Sports", "Business", "Sci/Tech")
        and 0.25 < float(row.split(",")[2]) <= 1
    )


# make


def make_commands() -> list[str]:
    """Every make command of README.md and docs/, in blocks and in tables."""
    lines = [line.partition("  #")[0] for block in blocks("sh") for line in block.splitlines()]
    inline = [found for text in PROSE.values() for found in re.findall(r"`(make \w[^`]*)`", text)]
    commands = [line.strip() for line in (*lines, *inline) if line.startswith("make ")]
    return [each for each in dict.fromkeys(commands) if "…" not in each and "KEY" not in each]


def test_every_make_target_named_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for text in PROSE.values():
        for target in set(re.findall(r"(?:^|`)make ([a-z_-]+)", text, flags=re.M)):
            assert target in (*STUDIES, "agreement") or f"\n{target}:" in makefile, target


def outside_make() -> dict[str, str]:
    """The environment without what a make around these tests was given."""
    given = ("MAKEFLAGS", "MFLAGS", "ARGS", "PROFILE", "DATA", "TEXT", "LABEL", "CONFIG")
    return {name: value for name, value in os.environ.items() if name not in given}


def save_documented_files(folder: Path) -> None:
    """The files that the examples name."""
    texts, labels = learnable(60)
    words = ["Negative", "Neutral", "Positive"] * 20

    def save(name: str, sep: str = ",", encoding: str = "utf-8", header=True, **columns):
        (folder / name).parent.mkdir(exist_ok=True)
        options = {"sep": sep, "encoding": encoding, "header": header, "index": False}
        pd.DataFrame(columns).to_csv(folder / name, **options)

    write_reviews(folder / "reviews.csv")
    accented = [f"{text} é" for text in texts]
    save("tweets.csv", encoding="latin-1", OriginalTweet=accented, Sentiment=words)
    for seed, split in enumerate(("train", "dev", "test")):
        sentences, answers = learnable(60, seed)
        save(f"folder/{split}.tsv", sep="\t", sentence=sentences, Label=answers)
    save("pairs.csv", question1=texts, question2=texts[::-1], same=labels)
    save("topics.csv", text=texts, topics=[f"{a};{b}" for a, b in zip(labels, words, strict=True)])
    flags = {"toxic": [0, 1, 0] * 20, "threat": [0, 0, 1] * 20, "insult": [0, 1] * 30}
    save("comments.csv", comment=texts, **flags)
    save("news.csv", title=labels, body=texts, topic=labels)
    save("prices.csv", advert=texts, price=[i / 2 for i in range(60)])
    save("plain.csv", header=False, label=labels, text=texts)
    (folder / "tweets.yaml").write_text(code("yaml", "# tweets.yaml"))


def corpus_of(values: dict):
    """The corpus that parameters of the study of a table of one's own name."""
    from lib.data import load_corpus
    from lib.publish.checks import reading_of

    names = {"text": values["text"], "label": values["label"]}
    return load_corpus(values["dataset"], **names, reading=reading_of(values))


class StudyStartedError(Exception):
    """A notebook would be executed now."""


@pytest.fixture
def started(monkeypatch):
    """Parameters of the notebooks that a command starts, which are not executed."""
    parameters_of = []

    def execute(notebook, values, output, beside):
        parameters_of.append(parameters.defaults(notebook) | values)
        raise StudyStartedError

    monkeypatch.setattr("lib.publish.notebook.execute", execute)
    return parameters_of


def test_make_commands_are_accepted(tmp_path, monkeypatch, started):
    """Each command of make starts what exists, with parameters that its notebook has; a table of
    one's own is read as it says."""
    from tests.bench.__main__ import parse

    save_documented_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    commands = [c for c in make_commands() if c.split()[1] != "agreement"]
    assert len(commands) > 25
    for each in commands:
        words = [*shlex.split(each), "-n", "-C", str(ROOT)]
        done = subprocess.run(words, env=outside_make(), capture_output=True, text=True)
        assert done.returncode == 0, each
        [line] = [line for line in done.stdout.splitlines() if "-m " in line][-1:] or [""]
        target, module = each.split()[1], shlex.split(line.partition("-m ")[2])
        if target == "bench":
            parse(module[1:])
        elif target in STUDIES:
            with pytest.raises(StudyStartedError), monkeypatch.context() as patch:
                if not re.search("(DATA|CONFIG)=", each):  # DATA_DIR may not be at hand
                    patch.setattr(study, "check_study", lambda *_: None)
                cli(patch, *module[1:])
            if "DATA=" in each or "CONFIG=" in each:
                corpus = corpus_of(started[-1])
                assert len(corpus.train) > 20, each
                assert not any(";" in name for name in corpus.label_names), each
    by_task = {
        corpus_of(p).task for p in started if not p["dataset"].startswith("demo_") and "text" in p
    }
    assert by_task == {"classification", "multilabel", "regression"}


def test_settings_in_half_a_command_are_there():
    """`… ARGS="…"` stands for a command with further settings."""
    allowed = parameters.defaults(ROOT / "notebooks" / "your_data.ipynb")
    text = PROSE["docs/your_data.md"]
    named = re.findall(r"\b(?:data|model|trainer)\.(\w+)=", text)
    assert len(named) > 8 and set(named) <= set(allowed)


def test_the_settings_file(tmp_path, monkeypatch, started):
    save_documented_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyStartedError):
        cli(
            monkeypatch,
            "study",
            "your_data",
            "--profile",
            "small",
            "--config",
            "tweets.yaml",
            "trainer.epochs=2",
        )
    assert started[0]["encoding"] == "latin-1" and started[0]["learning_rate"] == 1e-4
    assert started[0]["epochs"] == 2


def test_lines_with_a_label_become_a_table(tmp_path):
    lines = ['NUM:date When did "it" happen ?', "LOC:city Which city , then ?"]
    (tmp_path / "questions.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "train_text.txt").write_text("good\nbad\n")
    (tmp_path / "train_labels.txt").write_text("1\n0\n")
    (tmp_path / "abstracts.txt").write_text("###1\nAIM\tTo see\nEND\tIt is\n\n###2\nAIM\tTo be\n")
    subprocess.run(["bash", "-ec", code("sh", "awk")], cwd=tmp_path, check=True)
    assert (tmp_path / "tweets.tsv").read_text() == "good\t1\nbad\t0\n"
    sentences = (tmp_path / "sentences.tsv").read_text()
    assert sentences == "AIM\tTo see\nEND\tIt is\nAIM\tTo be\n"
    table = pd.read_csv(tmp_path / "questions.csv")
    assert table["label"].tolist() == ["NUM", "LOC"]
    assert table["text"].str.strip().tolist() == [line.partition(" ")[2] for line in lines]


def test_texts_in_folders_become_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pos", "neg", "unsup"):
        folder = tmp_path / "aclImdb" / "train" / name
        folder.mkdir(parents=True)
        (folder / "0_9.txt").write_text(f"caf\u00e9 {name}", encoding="utf-8")
    for name in ("True", "Fake"):
        (tmp_path / f"{name}.csv").write_text(f"text\n{name} news\n")
    exec(code("python", "import load_files"), {})
    table = read_table(tmp_path / "imdb.parquet")
    assert sorted(table.column("text")) == ["caf\u00e9 neg", "caf\u00e9 pos"]
    assert [text[5:] for text in table.column("text")] == table.column("label")
    table = read_table(tmp_path / "news.parquet")
    assert table.column("text") == ["True news", "Fake news"]
    assert table.column("label") == ["True", "Fake"]


# Finished runs


def test_a_run_is_used(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_reviews(tmp_path / "reviews.csv")
    monkeypatch.setenv("RUNS_DIR", str(trained.folder.parent))
    for phrase in ("print(run.predict(", "import explain"):
        exec(code("python", phrase).replace(RUN, str(trained.folder)), {})
    assert cli(monkeypatch, *command("--dry-run", **{RUN: str(trained.folder)})) == 0
    assert (tmp_path / "to_send" / "settings.yaml").is_file()
    assert cli(monkeypatch, *command("--out labelled.csv", **{RUN: str(trained.folder)})) == 0
    assert len(pd.read_csv(tmp_path / "labelled.csv")) == 120
    assert cli(monkeypatch, *command("lib show", **{"<key>": trained.key[:8]})) == 0
    assert "learning_rate" in capsys.readouterr().out


def test_a_page_and_a_service_label_texts(trained, monkeypatch):
    """With stand-ins for packages that only show and serve what the examples compute."""
    shown = []
    gradio = types.ModuleType("gradio")
    gradio.Label = lambda num_top_classes: None
    gradio.Interface = lambda *parts: types.SimpleNamespace(launch=lambda: shown.append(parts[0]))
    fastapi = types.ModuleType("fastapi")
    fastapi.FastAPI = lambda: types.SimpleNamespace(post=lambda path: lambda function: function)
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    monkeypatch.setitem(sys.modules, "fastapi", fastapi)
    names = {}
    for phrase in ("import gradio", "from fastapi"):
        exec(code("python", phrase).replace(RUN, str(trained.folder)), names)
    text = "kana lobe"
    [label], probabilities = trained.predict([text])
    assert max(shown[0](text), key=shown[0](text).get) == label
    [row] = names["labels"]([text])
    assert row == {"label": label, "probability": pytest.approx(probabilities.max())}


def test_every_option_of_predict(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"id": [1, 2], "date": "today", "text": ["kana", "lona"]}).to_csv("reviews.csv")
    folders = {RUN: str(trained.folder), "runs/<another>": str(trained.folder)}
    # what is exported, tests/test_labelling.py tests
    monkeypatch.setattr(Int8Run, "exported", (None, {"texts": 1, "int8": {"agreement": 1.0}}))
    monkeypatch.setattr(Int8Run, "_compute", lambda run, ids, mask: torch.zeros(len(ids), 2))
    lines = code("sh", "--unsure 100").splitlines()
    for line in lines:
        assert cli(monkeypatch, *command(line.partition("predict ")[2], **folders)) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3
    assert len(lines) == 8


def test_the_export(trained, tmp_path, monkeypatch, capsys):
    """What is exported, tests/test_export.py tests."""
    asked = {}

    def export(folder, documents, out, **options):
        asked.update(options, folder=folder, out=out, documents=documents)
        tested = {"agreement": 1.0, "largest_difference": 0.1}
        return {"texts": len(documents), "largest_difference": 1e-6, "int8": tested}

    monkeypatch.setattr("lib.use.export.export", export)
    assert cli(monkeypatch, *command("lib export", **{RUN: str(trained.folder)})) == 0
    assert asked["format"] == "onnx" and asked["quantize"] == "int8" and len(asked["documents"])
    assert asked["out"] == trained.folder / "onnx"


def test_the_sweep(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # that workers train, tests/test_cluster.py tests
    monkeypatch.setattr("lib.many.search.engine", lambda *_, **__: ThisProcess(go_on=True))
    text = code("yaml", "# sweep.yaml").replace("train_rows: 128", "train_rows: 32, test_rows: 40")
    text = text.replace("{dataset", f"{{backbone: {tiny['bert']}, dataset")
    (tmp_path / "sweep.yaml").write_text(text)
    assert cli(monkeypatch, *command("lib sweep sweep.yaml --workers 2")) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1])
    config = json.loads((folder / "config.json").read_text())
    assert config["batch_size"] in (8, 16, 32) and config["epochs"] == 3


def test_the_slurm_jobs(tmp_path):
    """sbatch starts scheduler, workers and sweeps, whose options Dask and this project know."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    job = 'case "$*" in *--wrap*) bash -c "${@: -1}";; *) bash "$1";; esac'
    scripts = {"sbatch": job, "make": 'echo "make $*"'}
    scripts |= {f".venv/bin/{name}": f'echo "{name} $*"' for name in ("dask", "python")}
    scripts[".venv/bin/dask"] += "\nmkdir -p runs && touch runs/scheduler.json"
    for file, script in scripts.items():
        (tmp_path / file).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / file).chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "4"}
    text = code("sh", "sbatch scheduler.sbatch") + "\n" + code("sh", "--wrap")
    job = ["bash", "-ec", text]
    done = subprocess.run(job, cwd=tmp_path, env=variables, capture_output=True, text=True)
    scheduler, worker, study, sweep = done.stdout.splitlines()
    dask_scheduler.main.make_context("scheduler", scheduler.split()[2:])
    dask_worker.main.make_context("worker", worker.split()[2:])
    assert study == "make grid_search ARGS=cluster=runs/scheduler.json"
    assert sweep == "python -m lib sweep sweep.yaml", done.stderr


def test_the_run_of_two_processes(trained, tmp_path, monkeypatch, capsys):
    """That two processes train, tests/test_parallel.py tests."""
    asked = {}
    monkeypatch.setattr("lib.many.pool.run", lambda config, **how: asked.update(how) or trained)
    monkeypatch.setattr("lib.use.results.write_results", lambda run: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_run.yaml").write_text("epochs: 1\n")
    assert cli(monkeypatch, *command("backend=ddp processes=2   #")) == 0
    assert asked == {"backend": "ddp", "processes": 2}


SMALL = ["train_rows=32", "dev_rows=20", "test_rows=40", "max_length=16", "epochs=1"]


def test_the_student(tmp_path, monkeypatch, capsys):
    six = f"backbone={save_tiny(tmp_path / 'six', layers=6)}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher.yaml").write_text("dataset: demo_news\n")
    (tmp_path / "student.yaml").write_text(code("yaml", "# student.yaml"))
    assert cli(monkeypatch, "train", "teacher.yaml", six, *SMALL) == 0
    teacher = capsys.readouterr().out.splitlines()[-1]
    words = command("distil.teacher=", **{RUN: teacher})
    assert cli(monkeypatch, *words, six, *SMALL) == 0
    student = Path(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((student / "model" / "config.json").read_text())["num_hidden_layers"] == 3


def test_the_frozen_backbone(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frozen.yaml").write_text(code("yaml", "# frozen.yaml"))
    words = [*command("lib train frozen.yaml"), f"backbone={tiny['bert']}", *SMALL]
    assert cli(monkeypatch, *words) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1], "model").is_dir()


def test_the_packed_model(tiny):
    assert run_script(code("python", "import build_model, pack"), tiny["bert"])["model"]


# One of each, from outside (docs/extending.md)


@pytest.fixture
def rows(monkeypatch):
    """Rows that examples add to tables are taken out again."""
    from lib.datasets import DATASETS
    from lib.metrics import METRICS
    from lib.optim import SCHEDULES
    from lib.session.tracking import TRACKERS

    names = ((DATASETS, "tickets"), (SCHEDULES, "inverse_sqrt"), (METRICS, "worst_recall"))
    for table, name in (*names, (TRACKERS, "lines")):
        monkeypatch.setitem(table, name, None)
        del table[name]


@pytest.fixture
def base(tiny):
    from lib.runs.config import RunConfig

    sizes = {"train_rows": 32, "dev_rows": 20, "test_rows": 40, "max_length": 16, "epochs": 2}
    return RunConfig(backbone=tiny["bert"], precision="fp32", **sizes)


def test_a_dataset_is_a_row(rows, tmp_path, monkeypatch):
    from lib.data import load_corpus

    exec(code("python", 'DATASETS["tickets"]'), {})
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "tickets").mkdir()
    for seed, split in enumerate(("train", "test")):
        texts, labels = learnable(60, seed)
        frame = pd.DataFrame({"text": texts, "queue": labels})
        frame.to_csv(tmp_path / "tickets" / f"{split}.csv", index=False)
    assert load_corpus("tickets").label_names == ("no", "yes")


def test_a_schedule_and_a_metric_are_a_row_each(rows, base):
    from lib import collect, run_all, tables

    exec(code("python", "inverse_sqrt("), {})
    exec(code("python", "worst_recall("), {})
    arguments = {"schedule": "inverse_sqrt", "schedule_args": {"flat": 1}, "batch_size": 8}
    runs = run_all([base.with_(seed=seed, **arguments) for seed in (1, 2)], tracker="none")
    history = runs[0].history
    assert history["learning_rate"].iloc[-1] < base.learning_rate
    assert "dev_worst_recall" in history
    table = tables.by_group(collect(runs), by="schedule", metrics=["worst_recall"])
    of_seeds = [float(value) for value in table["worst_recall_values"][0].split()]
    assert table["worst_recall"][0] == pytest.approx(sum(of_seeds) / 2, abs=1e-6)


def test_a_tracker_is_a_row(rows, base):
    from lib import run

    exec(code("python", "class LinesTracker"), {})
    lines = (run(base, tracker="lines").folder / "lines.jsonl").read_text().splitlines()
    assert "config" in json.loads(lines[0]) and "dev_loss" in json.loads(lines[-1])


def test_a_search_is_a_loop(tiny, capsys):
    best = run_script(code("python", "best.with_("), tiny["bert"])["best"]
    assert best.batch_size in (8, 16) and best.learning_rate in (1e-3, 1e-4)


def save_study(home: Path, backbone: str) -> None:
    """The three files of the documented study, on a tiny backbone."""
    (home / "params" / "agreement").mkdir(parents=True)
    (home / "agreement.py").write_text(code("python", "def always_right"))
    (home / "params" / "agreement" / "demo.yaml").write_text(code("yaml", "# the parameters cell"))
    named = f"RunConfig(backbone={backbone!r}, dataset"
    script = code("python", "# %%").replace("RunConfig(dataset", named)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Do all seeds agree?")])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    for cell in script.split("# %%")[1:]:
        title, _, source = cell.partition("\n")
        tags = {"tags": re.findall(r"`(\w+)`", title)}
        book.cells.append(nbformat.v4.new_code_cell(source.strip(), metadata=tags))
    nbformat.write(book, home / "agreement.ipynb")


def test_a_study_is_three_files(tiny, tmp_path, monkeypatch, no_kernel):
    import notebooks

    home = tmp_path / "notebooks"
    save_study(home, tiny["bert"])
    monkeypatch.setattr(notebooks, "__path__", [*notebooks.__path__, str(home)])
    for name, module in list(sys.modules.items()):
        if name.startswith("lib.publish") and hasattr(module, "NOTEBOOKS"):
            monkeypatch.setattr(module, "NOTEBOOKS", home)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    folder = study.run_study("agreement", overrides={"train_rows": 32, "epochs": 1})
    page = (folder / "README.md").read_text()
    assert "# Do all seeds agree?" in page and "are right on" in page and "](bars.png)" in page
    assert {"always_right.csv", "bars.png", "predictions.parquet"} <= set(os.listdir(folder))


# Findings, links, the tree


def test_the_answers_are_the_pages_own():
    """`make front` writes them."""
    assert with_answers(README, profile_pages(ROOT / "results")) == README


PAGES = sorted(path.parent for path in (ROOT / "results").glob("*/[!.]*/page.json"))


@pytest.mark.parametrize("folder", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_page_answers_in_one_short_sentence(folder):
    page = read_page(folder)
    findings, _ = findings_of(layout(page["blocks"])[0])
    words = [word for word in findings[0]["text"].split() if re.search(r"\w", word)]
    assert len(words) <= 20


def test_each_study_on_real_data_has_one_row():
    rows = re.findall(r"^\| \[.*?\]\(results/(\w+)/(?!demo)", README, flags=re.M)
    assert sorted(rows) == sorted(names_by_study(profile_pages(ROOT / "results"), demo=False))


def test_the_figure_is_of_the_pages(tmp_path):
    """`make front` draws it."""
    table = overview_table(profile_pages(ROOT / "results"))
    check = Check(moved=1)  # other versions of a font may move its edges
    drawn = tmp_path / "overview.png"
    drawn.write_bytes(png_of(plots.overview(table, title=TITLE)))
    compare_figures("overview.png", ROOT / "results" / "overview.png", drawn, check)
    assert not check.wrong


@pytest.mark.parametrize("file", PROSE)
def test_links_lead_somewhere(file):
    folder = (ROOT / file).parent
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PROSE[file]):
        assert target.startswith("https://") or (folder / target).exists(), target


def test_the_tree_is_the_repository():
    [tree] = re.findall(r"^```\n(notebooks/ .*?)^```", README, flags=re.S | re.M)
    named = {line.split("/  ")[0] for line in tree.splitlines() if not line.startswith(" ")}
    packages = {str(p.parent.relative_to(ROOT)) for p in (ROOT / "lib").glob("*/__init__.py")}
    assert packages <= named
    assert all((ROOT / name).is_dir() for name in named - {"runs"})
    [flat] = re.findall(r"\n( +data, .*\n)", tree)
    modules = {path.stem for path in (ROOT / "lib").glob("*.py")}
    assert set(re.findall(r"\w+", flat)) <= modules


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 170
    assert len(README.split()) <= 1300
