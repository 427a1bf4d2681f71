"""What of a teacher survives in smaller students: sentences, from predictions and measurements."""

import numpy as np
import pandas as pd

from lib.analysis.answers import verdict_of
from lib.analysis.comparisons import EQUAL, SIGNIFICANT, TOO_FEW
from lib.analysis.display import (
    count,
    difference_interval,
    distance,
    percent,
    score,
    title,
)
from lib.analysis.findings import (
    above_reference,
    best_beside_reference,
    difference_in,
    difference_of,
)
from lib.analysis.names import MINUS, short_name
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.references import best_reference
from lib.analysis.tables import by_group
from notebooks.distillation import across_gains, gains, speed_of, survival
from notebooks.distillation_arms import ALONE, CONTROL, TEACHER, depth_name, named


def best_method(p: Predictions, layers: int, metric: str = "accuracy") -> str:
    """The way to teach a student of so many layers, by more than labels, that has the highest mean
    score on dev."""
    runs = named(p, layers, references=False)
    table = by_group(runs, by="student", metrics=[metric], split="dev")
    table = table[~table["student"].isin([ALONE, CONTROL])]
    return table.loc[table[metric].idxmax(), "student"]


def _students(p: Predictions, layers: int, metric: str) -> dict[str, dict]:
    """The rows of `survival` for the teacher, the students of so many layers and the reference
    that dev chooses."""
    table = survival(p, metric=metric, layers=layers)
    return table.set_index("student").to_dict("index")


def answer(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """What students score that are taught in the way that dev chooses, beside their teacher, the
    best reference, and the better of the students of so many layers on labels alone."""
    rows = _students(p, layers, metric)
    reference = best_reference(p, metric=metric)
    method = best_method(p, layers, metric)
    control = _better_control(rows, metric)
    names = (method, TEACHER, reference, control)
    student, teacher, without, alone = (score(rows[name][metric], metric) for name in names)
    gain = _above_control(p, layers, method, control, metric)
    side = "above" if gain[metric] > 0 else "below"
    if gain["verdict"] == EQUAL:
        side = "within 1 point of"
    elif gain["verdict"] != TOO_FEW:
        side = f"{'' if gain['verdict'] == SIGNIFICANT else 'not '}significantly {side}"
    return (
        f"{layers}-layer students reach {student} (teacher {teacher}, {short_name(reference)} "
        f"{without}), {side} {alone} on labels alone."
    )


def _better_control(rows: dict[str, dict], metric: str) -> str:
    """The better of the students on labels alone."""
    return max((ALONE, CONTROL), key=lambda name: rows[name][metric])


def _above_control(
    p: Predictions, layers: int, method: str, control: str, metric: str
) -> pd.Series:
    """How much a way to teach is above a student on labels alone, among the comparisons of all
    ways to teach with both such students."""
    table = gains(p, metric=metric, beside=(ALONE, CONTROL)).set_index("compared")
    return table.loc[f"{depth_name(layers)}: {method}{MINUS}{control}"]


def beside_pretrained(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """How the student that dev chooses compares with pretrained layers on labels alone, which the
    table of gains leaves out."""
    method = best_method(p, layers, metric)
    gain = difference_in(_above_control(p, layers, method, ALONE, metric), metric)
    return (
        f"At {depth_name(layers)}, {method} is {_better(gain, metric)} than pretrained layers on "
        f"labels alone{_sure(gain, metric)}; the interval holds together with those of all "
        "students beside both that learn from labels alone."
    )


def best(p: Predictions, *, layers: int, metric: str = "accuracy") -> dict:
    """The student of so many layers that dev chooses, beside the best reference; its way to teach
    is too long a name for a figure of all pages."""
    start = f"{depth_name(layers)}, "
    students = named(p).keep(lambda run: run["config"]["student"].startswith(start))
    facts = best_beside_reference(students, by="student", metric=metric)
    facts["best"]["name"] = f"{layers}-layer student"
    return facts


def survives(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """The share of its teacher's score that the student keeps; where there is no interval, the
    difference in points."""
    rows = _students(p, layers, metric)
    method = best_method(p, layers, metric)
    student = rows[method]
    text = f"At {depth_name(layers)} dev chooses {method}: this student "
    if np.isnan(student["kept_low"]):
        gain = student[metric] - rows[TEACHER][metric]
        place = "above" if gain > 0 else "below"
        return (
            f"{text}is {distance(gain, metric)} {place} its teacher, too few seeds for an interval."
        )
    low = percent(student["kept_low"])
    high = percent(student["kept_high"])
    return (
        f"{text}keeps {percent(student['kept'])} of its teacher's {title(metric)} (95 % "
        f"interval {low} to {high}; {count(student['seeds'], 'seed')}, "
        f"{count(student['documents'], 'document')})."
    )


def gained(p: Predictions, *, metric: str = "accuracy") -> str:
    """Which ways to teach beat the same layers on labels alone."""
    table = gains(p, metric=metric)
    table = table[table["compared"].str.endswith(f"{MINUS}{CONTROL}")]
    if (table["verdict"] == TOO_FEW).all():
        return f"Whether a teacher's outputs help is not tested, with {TOO_FEW}."
    significant = table[table["verdict"] == SIGNIFICANT].to_dict("records")
    better = [row for row in significant if row[metric] > 0]
    text = (
        f"A teacher's outputs help significantly in {len(better) or 'none'} of "
        f"{count(len(table), 'comparison')} with labels alone"
    )
    if better:
        texts = [f"{_taught(row)} by {distance(row[metric], metric)}" for row in better]
        text += f" ({'; '.join(texts)})"
    worse = len(significant) - len(better)
    if worse:
        text += f", and harm in {worse}"
    largest = table.loc[table[metric].idxmax()]
    if not better:
        interval = difference_interval(largest[f"{metric}_low"], largest[f"{metric}_high"], metric)
        most = "the largest gain" if largest[metric] >= 0 else "the smallest loss"
        size = distance(largest[metric], metric)
        text += f"; {most} is {size} ({_taught(largest)}; {interval})"
    return text + "."


def _taught(row) -> str:
    """The depth and the way to teach of a row of `gains`."""
    return row["compared"].removesuffix(f"{MINUS}{CONTROL}")


def agrees(p: Predictions, *, layers: int) -> str:
    """How often a student gives its teacher's label, beside the teachers among themselves."""
    table = survival(p)
    students = table[table["layers"] == str(layers)].dropna(subset=["agreement"])
    nearest = students.loc[students["agreement"].idxmax()]
    text = (
        f"At {depth_name(layers)}, the student nearest to its teacher ({nearest['student']}) "
        f"gives its label to {percent(nearest['agreement'])} of the test documents"
    )
    predicted = group_of(named(p), "student", TEACHER).predicted
    agreements = [
        (predicted[i] == predicted[j]).mean() for i in range(len(predicted)) for j in range(i)
    ]
    if agreements:
        text += f"; teachers of different seeds agree on {percent(float(np.mean(agreements)))}"
    return text + "."


def beyond(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """How the student that dev chooses compares with the best reference."""
    runs = named(p, layers)
    reference = best_reference(p, metric=metric)
    student = best_method(p, layers, metric)
    gain = above_reference(runs, student, by="student", metric=metric)
    return (
        f"The student of {depth_name(layers)} ({student}) is {_better(gain, metric)} than "
        f"{reference}{_sure(gain, metric)}."
    )


def across_gained(p: Predictions, *, metric: str = "accuracy") -> str:
    """What the soft labels of a teacher of another architecture add to labels alone."""
    table = across_gains(p, metric=metric)
    sides = {side for pair in table.attrs["sides"] for side in pair}
    student = next(side for side in sides if "soft labels of" in side)
    control = next(side for side in sides if side.endswith("labels alone"))
    gain = difference_of(table, student, control, metric)
    return f"{student} is {_better(gain, metric)} than {control}{_sure(gain, metric)}."


def _better(gain: dict, metric: str) -> str:
    """`2.3 points better`, or `worse`."""
    return f"{distance(gain['value'], metric)} {'better' if gain['value'] >= 0 else 'worse'}"


def _sure(gain: dict, metric: str) -> str:
    """The interval and the verdict of a difference, in brackets."""
    interval = difference_interval(gain["low"], gain["high"], metric)
    return f" ({interval})" if gain["verdict"] == TOO_FEW else f" ({interval}: {verdict_of(gain)})"


def faster(measured: pd.DataFrame, layers: int) -> str:
    """How much faster and smaller a student of so many layers is, measured here."""
    name = depth_name(layers)
    speed = speed_of(measured)
    sizes = measured.drop_duplicates("model").set_index("model")["MB"]
    return (
        f"The student of {name} labels **{speed[name] / speed[TEACHER]:.1f}** times as many texts "
        f"per second on this CPU ({speed[name]:.0f} instead of {speed[TEACHER]:.0f}, 32 at once), "
        f"and takes {sizes[name]:.0f} MB instead of {sizes[TEACHER]:.0f}."
    )
