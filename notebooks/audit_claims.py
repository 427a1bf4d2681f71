"""Whether the original studies' bugs change what these claim: sentences, from predictions."""

from lib.analysis.comparisons import EQUAL, SAME, SIGNIFICANT, TOO_FEW
from lib.analysis.display import difference, difference_interval, distance, listed, score
from lib.analysis.names import short_name
from lib.analysis.predictions import Predictions
from lib.analysis.references import best_reference, reference_scores
from lib.analysis.stats import POWER
from notebooks.audit import BUGS, bug_scores, effects, setting_of


def answer(p: Predictions, *, metric: str = "accuracy", factors: list[float] | None = None) -> str:
    """How many of the bugs change their study's claim here, and what the model and the best
    reference score without a bug."""
    table = effects(p, metric=metric, factors=factors)
    names = table["name"][table["verdict"] == SIGNIFICANT].unique()
    if set(table["verdict"]) <= {TOO_FEW, SAME}:
        text = f"Of {len(BUGS)} bugs none can be judged, with {TOO_FEW}"
    elif not len(names):
        text = f"None of {len(BUGS)} bugs is shown to change its claim"
    elif len(names) == 1:
        gain = table[table["verdict"] == SIGNIFICANT].iloc[0][metric]
        changed = f"{names[0].lower()}: {difference(gain, metric)}"
        text = f"1 of {len(BUGS)} bugs changes its claim ({changed})"
    else:
        text = f"{len(names)} of {len(BUGS)} bugs change their claims significantly"
    return f"{text}; {_scores(p, metric)}."


def _scores(p: Predictions, metric: str) -> str:
    """What the model scores without a bug, and what the best reference does."""
    table = bug_scores(p, bug="padding_read", metric=metric)
    model = table[(table["what"] == "weighted average") & (table["bug"] == "off")].iloc[0]
    name = best_reference(p, metric=metric)
    without = f"{short_name(name)} {score(reference_scores(p, metric=metric)[name], metric)}"
    return f"without a bug {score(model[metric], metric)}, {without}"


def significant(
    p: Predictions, *, metric: str = "accuracy", factors: list[float] | None = None
) -> str:
    """The effects that are significant, and how many are shown to be none."""
    table = effects(p, metric=metric, factors=factors)
    texts = []
    for row in table[table["verdict"] == SIGNIFICANT].to_dict("records"):
        interval = difference_interval(row[f"{metric}_low"], row[f"{metric}_high"], metric)
        p_value = f"p = {row['p']:.3f}" if row["p"] >= 0.001 else "p < 0.001"
        texts.append(f"{row['bug']}, {difference(row[metric], metric)} ({interval}, {p_value})")
    text = f"Significant: {'; '.join(texts)}." if texts else "No effect is significant."
    none = int(table["verdict"].isin([EQUAL, SAME]).sum())
    some = f"{none} of {len(table)} are" if none else f"None of {len(table)} is"
    return f"{text} {some} shown to be within 1 point."


def visible(p: Predictions, *, metric: str = "accuracy", factors: list[float] | None = None) -> str:
    """Which effects these runs could have seen."""
    table = effects(p, metric=metric, factors=factors)
    tested = table[~table["verdict"].isin([TOO_FEW, SAME])]
    hopeless = tested.loc[tested["smallest visible"].isna(), "bug"]
    table = table.dropna(subset=["smallest visible"])
    if not len(table):
        return f"With {TOO_FEW} no effect can be told from chance."
    table = table.sort_values("smallest visible", kind="stable")
    texts = []
    for row in (table.iloc[0], table.iloc[-1]):
        texts.append(f"{distance(row['smallest visible'], metric)} ({row['bug']})")
    text = f"With {100 * POWER:.0f} % power these runs find effects of {texts[0]} to {texts[1]}"
    if len(hopeless):
        text += f"; of {listed(hopeless)} none, however large"
    return f"{text}.{_unscored(p)}"


def _unscored(p: Predictions) -> str:
    """The runs that diverged before an epoch ended, which no table has; empty where none did."""
    settings = [setting_of(run["config"]) for run in p.trained.values()]
    gone = [setting_of(r["config"]) for r in p.trained.values() if not r["chosen_epoch"]]
    texts = [f"{gone.count(name)} of {settings.count(name)} runs of {name}" for name in set(gone)]
    if not texts:
        return ""
    return f" No score, so no row, for {listed(sorted(texts))}: they diverged in the first epoch."
