"""The study of distillation: what of a teacher survives in smaller students, in tables.

Students without a teacher of their own are compared with the teacher of their seed.
"""

import numpy as np
import pandas as pd

from lib.analysis import captions
from lib.analysis.comparisons import comparison_table, differences, mark_significant
from lib.analysis.display import with_metrics
from lib.analysis.groups import Group
from lib.analysis.names import ENSEMBLE, display_name
from lib.analysis.pairs import pairs_of
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.references import best_reference
from lib.analysis.scores import sample_of
from lib.analysis.stats import Sample, mean_and_interval, ratio_of, standard_deviation
from lib.analysis.tables import by_group, by_run
from lib.metrics import METRICS, SHARE
from lib.references.baselines import NO_MODEL
from notebooks.distillation_arms import (
    CONTROL,
    TEACHER,
    depth_name,
    depths,
    method_of,
    named,
    roles_across,
)

WORTH = (
    "Speed and size depend on the depth alone. Each round gives the next batch of test texts, "
    "tokenized beforehand, to every model in turn. ONNX files are made by `python -m lib export`, "
    "which checks that their logits are PyTorch's."
)
CAPTIONS = {  # of the tables and figures by their names
    "survival": f"{captions.SCORES}; all models at their best epoch on dev. Kept: the share of its "
    "own teacher's accuracy. Agreement: how often it gives its teacher's label.",
    "accuracy_by_depth": f"{captions.SEEDS_BELOW} Black line and band: the teacher. Dashed: "
    f"{captions.CHOSEN_REFERENCE}, without fine-tuning.",
    "gains": f"{captions.DIFFERENCES} Students of one seed share their teacher; the intervals "
    "count them as if they did not, so they are rather too wide.",
    "across": f"{captions.SCORES}. Students have a learning rate and a schedule of their own, so "
    "one on labels alone is not the teacher of the same backbone.",
    "across_gains": captions.DIFFERENCES,
    "frontier": "Each line goes from the smallest student to the teacher; students of one depth "
    "are equally fast. Bars: 95 % interval. "
    f"Dashed: {captions.CHOSEN_REFERENCE}.",
    "speed": "Median milliseconds for a batch, and size of the weights, on the machine that made "
    "this page. int8: 8-bit weights. Threads of ONNX Runtime do not spin while they wait.",
    "exports": "The exports beside PyTorch on dev texts: the largest difference of a logit, and "
    "how often the 8-bit model gives the same label.",
    "loss_terms": f"{captions.CURVES} A student has a line for each loss that it was trained by, "
    "and for the labels.",
    "runs": captions.LAST_EPOCH,
    "ensembles": "Scores of the mean logits of all seeds, the teachers' and each student's.",
}


def _taught_by(p: Predictions, group: Group, teacher: Group) -> list[int]:
    """For each run of a group, the position of its teacher's; a reference is compared with every
    teacher."""
    if group.is_reference:
        return list(range(len(teacher.runs)))
    places = []
    for key, seed in zip(group.runs, group.seeds, strict=True):
        distil = p.runs[key]["config"].get("distil")
        if distil:
            places.append(teacher.runs.index(distil["teacher"][:16]))
        else:
            places.append(teacher.seeds.index(seed))
    return places


def survival(
    p: Predictions, *, metric: str = "accuracy", layers: int | None = None
) -> pd.DataFrame:
    """A row for the teacher, for each student and each reference: its score, the share of its
    teacher's score that is kept, and how often it gives its teacher's label, seed by seed, each
    with its 95 % interval. With `layers`, students of so many, and the reference that dev chooses,
    whose name is in `attrs["reference"]`."""
    p = named(p)
    reference = best_reference(p, metric=metric)
    teacher = group_of(p, "student", TEACHER)
    rows = []
    seed_scores = {}
    for group in p.groups("student"):
        sample = sample_of(p, group.counted_once, metric)
        seed_scores[group.name] = sample.scores.tolist()
        row = _student(p, group) | {"seeds": len(sample.scores), "documents": len(group.labels)}
        row |= {metric: np.nan, f"{metric}_sd": standard_deviation(sample.scores)}
        row |= mean_and_interval(metric, sample, METRICS[metric].limits)
        if group.name != TEACHER and group.name not in NO_MODEL:
            row |= _beside_teacher(p, group, teacher, metric)
        rows.append(row)
    table = pd.DataFrame(rows)
    if layers:
        is_shown = table["layers"].isin(["all", str(layers)]) | (table["student"] == reference)
        table = table[is_shown].reset_index(drop=True)
    table.attrs |= {"reference": reference, "seed_scores": seed_scores}
    table.attrs["shown"] = ["layers", "student", metric, "kept", "agreement"]
    return with_metrics(table, {metric: metric, "kept": "share", "agreement": "share"})


def _student(p: Predictions, group: Group) -> dict[str, str]:
    """The layers and the method of a group."""
    if group.is_reference:
        return {"layers": "–", "student": display_name(group.name)}
    method, depth = method_of(p.runs[group.runs[0]]["config"])
    return {"layers": str(depth or "all"), "student": method}


def _beside_teacher(p: Predictions, group: Group, teacher: Group, metric: str) -> dict[str, float]:
    """The share of the teacher's score that a group keeps, and how often it gives its label."""
    places = _taught_by(p, group, teacher)
    sample = sample_of(p, group, metric)
    if group.is_reference:
        sample = sample.only([0] * len(places))
    share = ratio_of(sample, sample_of(p, teacher, metric).only(places))
    row = mean_and_interval("kept", share, (0.0, np.inf))
    if p.task == "classification":
        same = (group.predicted == teacher.predicted[places]).astype(float)
        agreement = Sample(same.mean(1), same)
        row |= mean_and_interval("agreement", agreement, SHARE)
    return row


def gains(
    p: Predictions, *, metric: str = "accuracy", beside: tuple[str, ...] = (CONTROL,)
) -> pd.DataFrame:
    """What the teacher's layers add to pretrained ones, and what each way to teach adds to the
    same layers on labels alone (those of `beside`), on the same test documents; the intervals hold
    over the whole table. Bold where it is significant."""
    pairs = []
    names = []
    for depth in depths(p):
        for pair in pairs_of(named(p, depth, references=False), by="student", metric=metric):
            if {*beside} & {*pair.sides}:
                pairs.append(pair)
                names.append(f"{depth_name(depth)}: {pair.name}")
    table = comparison_table(pairs, names)
    mark_significant(table, metric)
    return table


def across(p: Predictions, *, metric: str = "accuracy") -> pd.DataFrame:
    """The scores of a student of another architecture, of its teacher, and of the same model on
    labels alone."""
    return by_group(p.with_field("role", roles_across(p)), by="role", metrics=[metric])


def across_gains(p: Predictions, *, metric: str = "accuracy") -> pd.DataFrame:
    """Every pair of `across`, compared on the same test documents."""
    roles = p.with_field("role", roles_across(p))
    return differences(roles, by="role", metric=metric, verdict=True)


def by_student_run(p: Predictions, *, metrics: list[str]) -> pd.DataFrame:
    """`lib.analysis.tables.by_run` of the teachers' and every student's runs."""
    names = roles_across(p) | {
        key: run["config"]["student"] for key, run in named(p, references=False).runs.items()
    }
    students = p.with_field("student", {key: names[key] for key in p.trained})
    return by_run(students, by="student", metrics=metrics)


def ensembles(p: Predictions, *, metric: str = "accuracy") -> pd.DataFrame:
    """The score of the teachers and of each student as one model each, the mean of the logits of
    all seeds."""
    p = named(p, references=False)
    table = by_group(p, by="student", metrics=[metric], ensembles=True)
    return table[table["student"].str.contains(ENSEMBLE, regex=False)].reset_index(drop=True)


def with_methods(history: pd.DataFrame, runs) -> pd.DataFrame:
    """A history (`Runs.history`) with each run's way to teach as `student` and its number of
    layers as `layers`."""
    methods = {run.name: method_of(run.config.model_dump()) for run in runs}
    of_row = history["run"].map(methods)
    return history.assign(student=of_row.str[0], layers=of_row.str[1])


def speed_of(measured: pd.DataFrame, texts: int = 32) -> dict[str, float]:
    """Texts per second in PyTorch by model, of `lib.use.timing.benchmark`'s table."""
    rows = measured[(measured["runtime"] == "PyTorch") & (measured["texts at once"] == texts)]
    return dict(zip(rows["model"], rows["texts per second"], strict=True))


def speed_by_depth(measured: pd.DataFrame) -> dict[int, float]:
    """`speed_of` by number of layers, the teacher's being 0."""
    speed = speed_of(measured)
    return {0 if name == TEACHER else int(name.split()[0]): speed[name] for name in speed}
