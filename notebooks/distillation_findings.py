"""What of a teacher survives in smaller students: sentences, from predictions and measurements."""

import numpy as np
import pandas as pd

from lib.analysis.comparisons import SIGNIFICANT, TOO_FEW
from lib.analysis.display import count, difference, percent, score, title
from lib.analysis.findings import beyond_baseline
from lib.analysis.pairs import MINUS
from lib.analysis.predictions import Predictions, group_of
from lib.analysis.tables import by_group
from notebooks.distillation import ALONE, TEACHER, depth_name, gains, named, speed_of, survival


def best_method(p: Predictions, layers: int, metric: str = "accuracy") -> str:
    """The way to teach a student of so many layers that has the highest mean score on dev."""
    runs = named(p, layers, references=False)
    table = by_group(runs, by="student", metrics=[metric], split="dev")
    return table.loc[table[metric].idxmax(), "student"]


def _interval(row, column: str) -> str:
    if np.isnan(row[f"{column}_low"]):
        return "too few seeds for an interval"
    return f"95 % interval {percent(row[f'{column}_low'])} to {percent(row[f'{column}_high'])}"


def survives(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """How much of the teacher's score a student of so many layers keeps, taught in the way that
    dev chooses."""
    table = survival(p, metric=metric)
    method = best_method(p, layers, metric)
    students = table[table["layers"] == str(layers)].set_index("student").to_dict("index")
    student = students[method]
    teacher = table[table["student"] == TEACHER].iloc[0]
    text = (
        f"A student of {depth_name(layers)}, taught in the way that dev prefers ({method}), keeps "
        f"**{percent(student['kept'])}** of its teacher's test {title(metric)} "
        f"({_interval(student, 'kept')}; "
        f"{score(student[metric], metric)} of {score(teacher[metric], metric)}, "
        f"{count(student['seeds'], 'seed')}, {count(student['documents'], 'document')})"
    )
    if method != ALONE and ALONE in students:
        text += f"; {ALONE} keeps {percent(students[ALONE]['kept'])}"
    return text + "."


def gained(p: Predictions, *, metric: str = "accuracy") -> str:
    """Which ways to teach beat fine-tuning alone at the same depth."""
    table = gains(p, metric=metric)
    significant = table[table["verdict"] == SIGNIFICANT].to_dict("records")
    better = [row for row in significant if row[metric] > 0]
    worse = len(significant) - len(better)
    text = (
        f"Of {count(len(table), 'comparison')} with {ALONE} at the same depth, {len(better)} "
        f"{'is' if len(better) == 1 else 'are'} significantly in favour of a teacher"
    )
    if better:
        texts = [
            f"{row['compared'].removesuffix(f'{MINUS}{ALONE}')} ({difference(row[metric], metric)})"
            for row in better
        ]
        text += f": {'; '.join(texts)}"
    if worse:
        text += f"; {worse} against it"
    untested = int((table["verdict"] == TOO_FEW).sum())
    if untested:
        text += f"; {untested} {'is' if untested == 1 else 'are'} not tested, with {TOO_FEW}"
    return text + "."


def agrees(p: Predictions, *, layers: int) -> str:
    """How often a student gives its teacher's label, beside the teachers among themselves."""
    table = survival(p)
    students = table[table["layers"] == str(layers)].dropna(subset=["agreement"])
    nearest = students.loc[students["agreement"].idxmax()]
    text = (
        f"At {depth_name(layers)}, the student nearest to its teacher ({nearest['student']}) "
        f"gives its label to {percent(nearest['agreement'])} of the test documents "
        f"({_interval(nearest, 'agreement')})"
    )
    predicted = group_of(named(p), "student", TEACHER).predicted
    agreements = [
        (predicted[i] == predicted[j]).mean() for i in range(len(predicted)) for j in range(i)
    ]
    if agreements:
        text += f"; teachers of different seeds agree on {percent(float(np.mean(agreements)))}"
    return text + "."


def beyond(p: Predictions, *, layers: int, metric: str = "accuracy") -> str:
    """What the student that dev chooses adds to the linear baseline."""
    text = beyond_baseline(named(p, layers), by="student", metric=metric)
    return text.replace(
        "fine-tuning with the student that dev chooses",
        f"the student of {depth_name(layers)} that dev chooses",
    )


def faster(measured: pd.DataFrame, layers: int) -> str:
    """How much faster and smaller a student of so many layers is, measured here."""
    name = depth_name(layers)
    speed = speed_of(measured)
    sizes = measured.drop_duplicates("model").set_index("model")["MB"]
    text = (
        f"It labels **{speed[name] / speed[TEACHER]:.2f}** times as many texts per second on this "
        f"CPU ({speed[name]:.0f} instead of {speed[TEACHER]:.0f}, 32 at once, 32-bit PyTorch), and "
        f"takes {sizes[name]:.0f} MB of disk instead of {sizes[TEACHER]:.0f}"
    )
    if (measured["runtime"] == "ONNX Runtime").any():
        one_text = measured[(measured["model"] == name) & (measured["texts at once"] == 1)]
        times = [
            f"{row['milliseconds']:.1f} ms in {row['runtime']}"
            for row in one_text.to_dict("records")
        ]
        text += f"; for one text it takes {', '.join(times)}"
    return text + "."
