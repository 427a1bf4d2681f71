"""The runs of the study of distillation, and what is measured of their models."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

from lib import pretrained
from lib.analysis.display import with_metrics
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of
from lib.runs.published import located
from lib.runs.store import Run, store
from lib.session.distillation import even_map
from lib.use.export import export
from lib.use.timing import benchmark
from notebooks.distillation_arms import (
    CONTROL,
    METHODS,
    TEACHER,
    depth_name,
    method_of,
    whole_name,
)


def losses_of(weights: dict[str, float]) -> dict[str, dict[str, float]]:
    """The losses, with their weights, of each way to teach that needs a teacher: each takes one
    more of `weights`, in their order, the labels' first."""
    losses = {METHODS[()]: {"hard": 1.0}}
    for number, name in enumerate(list(METHODS.values())[1:], 2):
        losses[name] = dict(list(weights.items())[:number])
    return losses


def student_configs(
    learner: RunConfig,
    teachers: list[Run],
    *,
    layers: list[list[int]],
    methods: list[str],
    weights: dict[str, float],
    temperature: float,
) -> list[RunConfig]:
    """For each list of the teacher's layers, each way to teach and each teacher a student, of its
    seed; on labels alone always, from the teacher's layers and from as many pretrained ones.
    Raises InputError where the backbone is not at hand."""
    depth = depth_of(learner)
    losses = losses_of(weights)
    configs = []
    for of_teacher in layers:
        states = even_map(len(of_teacher), depth)
        attentions = [[layer - 1, taught_by - 1] for layer, taught_by in states[1:]]
        distil = {"student_layers": of_teacher, "temperature": temperature}
        distil |= {"hidden_map": states, "attention_map": attentions}
        for teacher in teachers:
            configs.append(learner.with_(seed=teacher.config.seed, layers=len(of_teacher)))
        for method in [CONTROL, *methods]:
            for teacher in teachers:
                taught = distil | {"teacher": teacher.name, "weights": losses[method]}
                configs.append(learner.with_(seed=teacher.config.seed, distil=taught))
    return configs


def across_configs(
    learner: RunConfig, teachers: list[Run], *, weights: dict[str, float], temperature: float
) -> list[RunConfig]:
    """Students by soft labels of teachers whose architecture is another, and the same models on
    labels alone."""
    losses = losses_of(weights)["soft labels"]
    configs = []
    for teacher in teachers:
        student = learner.with_(seed=teacher.config.seed)
        taught = {"teacher": teacher.name, "temperature": temperature, "weights": losses}
        configs += [student.with_(layers=depth_of(learner)), student.with_(distil=taught)]
    return configs


def depth_of(config: RunConfig) -> int:
    """The number of layers of a run's backbone."""
    return config.layers or pretrained.depth_of(located(config).backbone)


def measurements(
    runs: list[Run], *, method: str, exported: int, texts: int
) -> tuple[Callable[[], pd.DataFrame], Callable[[], pd.DataFrame]]:
    """What measures speed (`lib.use.timing.benchmark`, on so many test texts), and what exports
    the teacher and the student of `exported` layers: of the first seed, taught by `method`. `runs`
    are the teachers and their students. The
    exports are made once, and before speed is measured, which takes them in."""

    @cache
    def exports() -> pd.DataFrame:
        documents = corpus_of(runs[0].config).dev.documents
        models = _models(runs, method)
        reports = {}
        for name in (TEACHER, depth_name(exported)):
            place = models[name].parent / "onnx"
            reports[name] = export(models[name], documents, place, quantize="int8")
        return export_table(reports)

    def speed() -> pd.DataFrame:
        exports()
        documents = corpus_of(runs[0].config).test.documents[:texts]
        return benchmark(_models(runs, method), documents, cache=store() / "measured")

    return speed, exports


def _models(runs: list[Run], method: str) -> dict[str, Path]:
    """The model folders of the first seed's teacher and its students of each depth."""
    models = {}
    for run in runs:
        name, layers = method_of(run.config.model_dump())
        if run.config.seed != runs[0].config.seed:
            continue
        if name == TEACHER:
            models[TEACHER] = run.folder / "model"
        elif name == whole_name(method):
            models[depth_name(layers)] = run.folder / "model"
    return models


def export_table(reports: dict[str, dict]) -> pd.DataFrame:
    """What `lib.use.export.export` reports, a row a model."""
    rows = [
        {
            "model": name,
            "texts": report["texts"],
            "ONNX apart": f"{report['largest_difference']:.1e}",
            "int8 apart": f"{report['int8']['largest_difference']:.1e}",
            "agreement": report["int8"]["agreement"],
        }
        for name, report in reports.items()
    ]
    return with_metrics(pd.DataFrame(rows), {"agreement": "share"})
