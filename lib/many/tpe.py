"""Cells that Optuna's TPE sampler proposes, each from the scores of those before it."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from lib.errors import InputError, StoppedError
from lib.many.locks import locked
from lib.many.report import Report, best_dev_score
from lib.runs.store import Run, store

ASKED = 20  # times that the sampler may propose a cell that it has proposed before
WORST = -1e9  # the value of a run without a score: it diverged


def proposed_runs(
    spec, train: Callable[[list[dict]], dict[int, Run]], *, at_once: Callable[[], int]
) -> list[Run]:
    """The runs of so many cells of a sweep as it has trials, no cell twice, `at_once()` together.

    `train` gives the runs of cells by their positions. The journal `runs/sweeps/<name>.journal`
    keeps the history, which `optuna-dashboard` opens; the same command goes on with it. Raises
    InputError.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = store() / "sweeps"
    what = f"the search {spec.name}"
    signals: list[int] = []
    with locked(folder / f"{spec.name}.lease", what, wait=True, signals=signals):
        study = open_study(spec, folder / f"{spec.name}.journal")
        cells = known_cells(study)
        runs = list(train(cells).values())  # trains what has gone from the store meanwhile
        total = min(spec.trials or spec.size, spec.size)
        report = Report(spec.name, total, total - len(cells))
        while len(cells) < total:
            count = min(at_once(), total - len(cells))
            trials = [ask(study, spec, cells) for _ in range(count)]
            for number, trial in enumerate(trials, len(cells) - count + 1):
                values = " ".join(f"{name}={value}" for name, value in trial.params.items())
                print(f"trial {number}/{total}: {values}{report.to_go()}", flush=True)
            trained = train([trial.params for trial in trials])
            report.ended += count
            if signals:
                raise StoppedError("as another process goes on with this search")
            for i, trial in enumerate(trials):
                tell(study, trial, trained.get(i))
            runs += trained.values()
    return runs


def open_study(spec, journal: Path) -> optuna.Study:
    """The Optuna study of a sweep. Raises InputError where its name has another specification."""
    cut_torn(journal)
    journal.parent.mkdir(parents=True, exist_ok=True)
    # more trials of the same search go on with it
    described = json.loads(json.dumps(spec.model_dump(exclude={"tracker", "trials"}), default=str))
    study = optuna.create_study(
        study_name=spec.name,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        direction="maximize",
        load_if_exists=True,
    )
    if study.user_attrs.get("spec", described) != described:
        raise InputError(
            f"The sweep {spec.name} exists with another specification; give this one another name"
        )
    study.set_user_attr("spec", described)
    # what is proposed next depends on what is known, not on how often the search was stopped
    seed = (spec.seed + len(study.get_trials(deepcopy=False))) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return study


def cut_torn(journal: Path) -> None:
    """Cut a journal back to its last whole line, where a kill or a full disk has torn it."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    intact = 0
    for line in content.splitlines(keepends=True):
        try:
            json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        intact += len(line)
    if intact < len(content):
        with journal.open("r+b") as file:
            file.truncate(intact)
        lost = len(content) - intact
        print(f"{journal} is torn: its last {lost} bytes are no whole line and go", flush=True)


def known_cells(study: optuna.Study) -> list[dict]:
    """The cells with a value; those that a stopped search had asked for are asked for first."""
    cells = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.COMPLETE or "error" in trial.user_attrs:
            cells.append(trial.params)
        elif trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
    return cells


def ask(study: optuna.Study, spec, cells: list[dict]) -> Trial:
    """The trial of the next cell, which is none of `cells`, and is added to them."""
    for _ in range(ASKED):
        trial = name_cell(study.ask(), spec)
        if trial.params not in cells:
            break
        study.tell(trial, state=TrialState.FAIL)
    else:
        numbers = random.Random(len(cells)).sample(range(spec.size), len(cells) + 1)
        other = next(cell for cell in map(spec.cell, numbers) if cell not in cells)
        study.enqueue_trial(other)
        trial = name_cell(study.ask(), spec)
    cells.append(trial.params)
    return trial


def name_cell(trial: Trial, spec) -> Trial:
    """Have the sampler choose a value of each field."""
    for name, values in spec.space.items():
        trial.suggest_categorical(name, values)
    return trial


def tell(study: optuna.Study, trial: Trial, run: Run | None) -> None:
    """Tell the sampler a cell's score; None stands for one that could not be trained."""
    if run is None:
        trial.set_user_attr("error", "it could not be trained")
        study.tell(trial, state=TrialState.FAIL)
        return
    score = best_dev_score(run)
    trial.set_user_attr("run", run.name)
    trial.set_user_attr("status", run.verdict.get("outcome", run.status["status"]))
    study.tell(trial, WORST if score is None else score)
