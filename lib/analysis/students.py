"""What of a teacher survives in smaller students: tables and sentences from predictions, as on
every page.

A student is told by its configuration: how many layers it has, and by which losses it was trained.
Students without a teacher of their own are compared with the teacher of their seed.
"""

import dataclasses

import numpy as np
import pandas as pd

from lib.analysis.findings import beyond_baseline, count, percent, points
from lib.analysis.predictions import Group, Predictions
from lib.analysis.stats import cells, limits, resample_ratios
from lib.analysis.tables import (
    _resampled,
    _sd,
    by_group,
    by_run,
    differences,
    label,
    run_scores,
    verdict_note,
)
from lib.runs.baselines import NAMES, NO_MODEL

TEACHER, ALONE = "teacher", "fine-tuning alone"
METHODS = {  # by the losses that count, the labels aside
    (): "teacher's layers",
    ("soft",): "soft labels",
    ("hidden", "soft"): "+ hidden states",
    ("attentions", "hidden", "soft"): "+ attentions",
}


def method_of(config: dict) -> tuple[str, int]:
    """How a run's model was taught, and its number of layers; 0 for the teacher, which has all."""
    distil = config.get("distil")
    if distil is None:
        return (ALONE, config["layers"]) if config.get("layers") else (TEACHER, 0)
    losses = tuple(sorted({*distil["weights"]} - {"hard"}))
    return METHODS.get(losses, " and ".join(losses)), len(distil["student_layers"] or ())


def told(layers: int) -> str:
    return count(layers, "layer")


def named(p: Predictions, layers: int | None = None, *, references: bool = True) -> Predictions:
    """The same runs with a field `student` (its layers and method) to group by; of one depth,
    the method alone, and no teacher."""
    runs = {}
    for key, run in p.runs.items():
        if run["config"]["backbone"] in NAMES:
            if references:
                runs[key] = run | {"config": run["config"] | {"student": ""}}
            continue
        method, depth = method_of(run["config"])
        if layers in (None, depth):
            name = method if layers or method == TEACHER else f"{told(depth)}, {method}"
            runs[key] = run | {"config": run["config"] | {"student": name}}
    return dataclasses.replace(p, frame=p.frame[p.frame["run"].isin(list(runs))], runs=runs)


def depths(p: Predictions) -> list[int]:
    """The numbers of layers that students have."""
    found = [
        method_of(run["config"])[1]
        for run in p.runs.values()
        if run["config"]["backbone"] not in NAMES
    ]
    return sorted({*found} - {0})


def _taught_by(p: Predictions, group: Group, teacher: Group) -> list[int]:
    """For each run of a group, the position of its teacher's; a reference is compared with every
    teacher."""
    if group.name in NAMES:
        return list(range(len(teacher.runs)))
    places = []
    for key, seed in zip(group.runs, group.seeds, strict=True):
        distil = p.runs[key]["config"].get("distil")
        places.append(
            teacher.runs.index(distil["teacher"][:16]) if distil else teacher.seeds.index(seed)
        )
    return places


def survival(p: Predictions, *, metric: str = "accuracy", split: str = "test") -> pd.DataFrame:
    """A row for the teacher, for each student and each reference: its score, the share of its
    teacher's score that is kept, and how often it gives its teacher's label, seed by seed, each
    with its 95 % interval."""
    p = named(p)
    groups = p.groups("student", split=split)
    teacher = next(group for group in groups if group.name == TEACHER)
    own, own_drawn = (
        run_scores(p, teacher)[metric].to_numpy(),
        _resampled(p, teacher, [metric])[metric],
    )
    rows = []
    for group in groups:
        values, drawn = (
            run_scores(p, group)[metric].to_numpy(),
            _resampled(p, group, [metric])[metric],
        )
        depth, method = method_of(p.runs[group.runs[0]]["config"])[::-1]
        student = label(group.name) if group.name in NAMES else method
        row = {"layers": "–" if group.name in NAMES else str(depth or "all"), "student": student}
        row |= {"seeds": len(values), "documents": len(group.labels), metric: np.nan}
        row |= {f"{metric}_sd": _sd(values)} | cells(metric, values, drawn, *limits(metric))
        if group.name != TEACHER and group.name not in NO_MODEL:
            at = _taught_by(p, group, teacher)
            row |= cells("kept", values / own[at], drawn / own_drawn[:, at], 0.0)
            if group.ranked is None and p.task == "classification":
                same = (group.predicted == teacher.predicted[at]).astype(float)
                row |= cells(
                    "agreement", same.mean(1), resample_ratios(same, np.ones_like(same)), *limits()
                )
        rows.append(row)
    return pd.DataFrame(rows)


def gains(p: Predictions, *, metric: str = "accuracy") -> pd.DataFrame:
    """What each way to teach adds to fine-tuning alone at the same depth:
    `lib.analysis.tables.differences` on the same test documents, seed by seed; p is adjusted
    over all pairs of a depth. Bold where it stands."""
    parts = []
    for depth in depths(p):
        pairs = differences(named(p, depth, references=False), by="student", metric=metric)
        own = pairs["compared"].str.endswith(f" − {ALONE}")
        parts.append(pairs[own].assign(compared=told(depth) + ": " + pairs["compared"][own]))
    table = pd.concat(parts, ignore_index=True)
    table.attrs["bold"] = [(i, metric) for i in table.index[table["stands"] == "yes"]]
    table.attrs["note"] = verdict_note(
        table, "McNemar's", family=f"{len(pairs)} pairs of students of a depth"
    )
    return table


def by_student_run(p: Predictions, *, metrics: list[str]) -> pd.DataFrame:
    """`lib.analysis.tables.by_run` of the teacher's and every student's runs."""
    return by_run(named(p), by="student", metrics=metrics)


def best_method(p: Predictions, layers: int, metric: str = "accuracy") -> str:
    """The way to teach a student of so many layers that has the highest mean score on dev."""
    table = by_group(
        named(p, layers, references=False), by="student", metrics=[metric], split="dev"
    )
    return table.loc[table[metric].idxmax(), "student"]


def survives(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """How much of the teacher's score a student of so many layers keeps, taught in the way that
    dev chooses."""
    table = survival(p, metric=metric)
    method = best_method(p, layers, metric)
    rows = table[table["layers"] == str(layers)].set_index("student").to_dict("index")
    own, teacher = rows[method], table[table["student"] == TEACHER].iloc[0]
    text = (
        f"A student of {told(layers)}, taught in the way that dev prefers ({method}), keeps **{percent(own['kept'])}** "
        f"of its teacher's test {metric.replace('_', ' ')} (95 % interval {percent(own['kept_low'])} to "
        f"{percent(own['kept_high'])}; {percent(own[metric])} of {percent(teacher[metric])}, "
        f"{count(own['seeds'], 'seed')}, {count(own['documents'], 'document')})"
    )
    if method != ALONE and ALONE in rows:
        text += f"; {ALONE} keeps {percent(rows[ALONE]['kept'])}"
    return text + "."


def gained(p: Predictions, *, metric: str = "accuracy") -> str:
    """Which ways to teach beat fine-tuning alone at the same depth."""
    table = gains(p, metric=metric)
    rows = table[table["stands"] == "yes"].to_dict("records")
    better = [row for row in rows if row[metric] > 0]
    worse = len(rows) - len(better)
    text = f"Of {count(len(table), 'comparison')} with {ALONE} at the same depth, {len(better)} "
    text += f"stand{'s' * (len(better) == 1)} in favour of a teacher"
    shown = "; ".join(
        f"{row['compared'].removesuffix(f' − {ALONE}')} ({points(row[metric])} points)"
        for row in better
    )
    return text + (f": {shown}" if shown else "") + (f"; {worse} against it" if worse else "") + "."


def agrees(p: Predictions, *, layers: int) -> str:
    """How often a student gives its teacher's label, beside the teachers among themselves."""
    table = survival(p)
    rows = table[table["layers"] == str(layers)].dropna(subset=["agreement"])
    top = rows.loc[rows["agreement"].idxmax()]
    text = (
        f"At {told(layers)}, the student nearest to its teacher ({top['student']}) gives its label to "
        f"{percent(top['agreement'])} of the test documents (95 % interval {percent(top['agreement_low'])} to "
        f"{percent(top['agreement_high'])})"
    )
    teacher = next(group for group in named(p).groups("student") if group.name == TEACHER)
    pairs = [
        (teacher.predicted[i] == teacher.predicted[j]).mean()
        for i in range(len(teacher.runs))
        for j in range(i)
    ]
    return (
        text
        + (
            f"; teachers of different seeds agree on {percent(float(np.mean(pairs)))}"
            if pairs
            else ""
        )
        + "."
    )


def beyond(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """What the student that dev chooses adds to the linear baseline."""
    text = beyond_baseline(named(p, layers), by="student", metric=metric)
    return text.replace(
        "fine-tuning with the student that dev chooses",
        f"the student of {told(layers)} that dev chooses",
    )


def with_methods(history: pd.DataFrame, runs) -> pd.DataFrame:
    """A history (`Runs.history`) with each run's way to teach as `student` and its number of
    layers as `layers`."""
    found = {run.key[:16]: method_of(run.config.model_dump()) for run in runs}
    names = history["run"].map(found)
    return history.assign(student=names.str[0], layers=names.str[1])


def speed_of(measured: pd.DataFrame, texts: int = 32) -> dict[str, float]:
    """Texts per second in PyTorch by model, of `lib.use.export.benchmark`'s table."""
    rows = measured[(measured["runtime"] == "PyTorch") & (measured["texts at once"] == texts)]
    return dict(zip(rows["model"], rows["texts per second"], strict=True))


def faster(measured: pd.DataFrame, layers: int) -> str:
    """How much faster and smaller a student of so many layers is, measured here."""
    speed, sizes = speed_of(measured), measured.drop_duplicates("model").set_index("model")["MB"]
    name, text = told(layers), ""
    if (measured["runtime"] == "ONNX Runtime").any():
        own = measured[(measured["model"] == name) & (measured["texts at once"] == 1)]
        taken = zip(own["milliseconds"], own["runtime"], strict=True)
        text = "; for one text it takes " + ", ".join(
            f"{milliseconds:.1f} ms in {kind}" for milliseconds, kind in taken
        )
    return (
        f"It labels **{speed[name] / speed[TEACHER]:.2f}** times as many texts per second on this CPU "
        f"({speed[name]:.0f} instead of {speed[TEACHER]:.0f}, 32 at once, 32-bit PyTorch), and takes "
        f"{sizes[name]:.0f} MB of disk instead of {sizes[TEACHER]:.0f}{text}."
    )


def exported(found: dict[str, dict]) -> pd.DataFrame:
    """What `lib.use.export.export` found, a row a model."""
    rows = []
    for name, each in found.items():
        row = {
            "model": name,
            "texts": each["texts"],
            "ONNX apart": f"{each['largest_difference']:.1e}",
        }
        row |= {
            "int8 apart": f"{each['int8']['largest_difference']:.1e}",
            "agreement": each["int8"]["agreement"],
        }
        rows.append(row)
    return pd.DataFrame(rows)


TABLES = {function.__name__: function for function in (survival, gains, by_student_run)}
FINDINGS = {function.__name__: function for function in (survives, gained, agrees, beyond)}
