"""What the rounds of training say: ratios with intervals, and their section of the page."""

from pathlib import Path

import pandas as pd

import plots
from lib.errors import InputError
from tests.bench.intervals import Interval, measured_on, median_interval, pipe
from tests.bench.ways import DEFAULT_SCRIPT, DYNAMIC_PADDING, written

DEVIATION = 0.10  # of a round's matrix product from the median, above which the round is dropped
BEST_TUNED = "× best-tuned Trainer"
DYNAMIC = "× dynamic padding"
DEFAULT = "× default script"


def quiet_rounds(rounds: pd.DataFrame) -> tuple[pd.DataFrame, list[int]]:
    """The rows of the rounds whose matrix product (their median) is within 10 % of the median
    over rounds, and the numbers of the rounds that are dropped. Raises InputError where none is
    left."""
    speed = rounds.groupby("round")["matmul_gflops"].median()
    noisy = (speed / speed.median() - 1).abs() > DEVIATION
    if noisy.all():
        raise InputError(
            "The machine was too noisy: its matrix product was never the same; measure "
            "again in quiet"
        )
    return rounds[~rounds["round"].isin(speed.index[noisy])], speed.index[noisy].tolist()


def fastest(rounds: pd.DataFrame, by: str) -> str:
    """The fastest configuration of Trainer or ours, by its median over the quiet rounds."""
    quiet, _ = quiet_rounds(rounds)
    mine = quiet[quiet["by"] == by]
    rate = mine["documents"] / mine["seconds"]
    return rate.groupby(mine["configuration"]).median().idxmax()


def references(rounds: pd.DataFrame) -> dict[str, str]:
    """The three that others are compared with: header -> configuration."""
    best = fastest(rounds, "Trainer")
    return {BEST_TUNED: best, DYNAMIC: DYNAMIC_PADDING.name, DEFAULT: DEFAULT_SCRIPT.name}


def ratio(rounds: pd.DataFrame, fast: str, slow: str) -> Interval:
    """How many times as many documents a second `fast` trains on, the median over rounds with
    its interval."""
    each = rounds.assign(cost=rounds["seconds"] / rounds["documents"])
    cost = each.pivot(index="round", columns="configuration", values="cost")
    return median_interval(cost[slow] / cost[fast])


def speeds(rounds: pd.DataFrame) -> pd.DataFrame:
    """A row a configuration, Trainer's first, the slower before the faster: medians over the quiet
    rounds, and ratios to the references with intervals."""
    quiet, _ = quiet_rounds(rounds)
    against = references(rounds)
    table = []
    for (by, name), part in quiet.groupby(["by", "configuration"]):
        rate = median_interval(part["documents"] / part["seconds"])
        row = {"configuration": name, "by": by, "samples_per_second": rate.middle}
        row |= {"samples_per_second_low": rate.low, "samples_per_second_high": rate.high}
        row["tokens_per_second"] = float((part["tokens"] / part["seconds"]).median())
        row["padding"] = 1 - part["tokens"].sum() / part["computed_tokens"].sum()
        row["share_of_peak"] = share_of_peak(part, quiet).middle
        row |= {header: ratio(quiet, name, other) for header, other in against.items()}
        table.append(row)
    order = ["by", "samples_per_second"]
    return pd.DataFrame(table).sort_values(order, ignore_index=True)  # T before o


def share_of_peak(part: pd.DataFrame, rounds: pd.DataFrame) -> Interval:
    """The operations a second on real tokens over those of the matrix product."""
    return median_interval(part["gflop"] / part["seconds"] / rounds["matmul_gflops"].median())


def measures(folder: Path, facts: dict) -> dict[str, Interval]:
    """Of the fastest of ours, and of all of ours."""
    rounds = pd.read_csv(folder / "rounds.csv")
    quiet, _ = quiet_rounds(rounds)
    table = speeds(rounds)
    ours = table[table["by"] == "ours"].set_index("configuration")
    best = fastest(rounds, "ours")
    results = {f"training, {header}": ours.loc[best, header] for header in references(rounds)}
    of_best = quiet[quiet["configuration"] == best]
    results["training, share of the peak"] = share_of_peak(of_best, quiet)
    for name, row in ours.iterrows():
        results |= {f"{name}, {header}": row[header] for header in references(rounds)}
    return results


def gains(rounds: pd.DataFrame) -> str:
    """Which part of the gain is the loop, the precision and the layout: ratios of two that
    differ in one thing."""
    best = fastest(rounds, "ours")
    precision = best.rpartition(" ")[2]
    loop = "ours, random, fp32"
    fast_loop = f"ours, random, {precision}"
    pairs = [
        ("our loop and model code, nothing else changed", loop, DYNAMIC_PADDING.name),
        ("bf16 in place of fp32", fast_loop, loop),
        ("the layout of batches: no or little padding", best, fast_loop),
    ]
    there = set(rounds["configuration"])
    rows = [
        [what, fast, slow, str(ratio(rounds, fast, slow))]
        for what, fast, slow in pairs
        if {fast, slow} <= there and fast != slow
    ]
    return pipe(["what changes", "faster", "compared with", "ratio"], rows)


def in_fp32(rounds: pd.DataFrame) -> str:
    """Both at their best in fp32, as on a processor without bf16; nothing where there is no
    other."""
    single = rounds[rounds["precision"] == "fp32"]
    if len(single) == len(rounds) or single["by"].nunique() < 2:
        return ""
    ours, theirs = fastest(single, "ours"), fastest(single, "Trainer")
    return (
        f"With both in fp32, as on a processor without bf16, {ours}, trains on "
        f"{ratio(single, ours, theirs)} times as many documents a second as {theirs}.\n\n"
    )


def headline(folder: Path) -> str:
    """The answer: the fair comparison first."""
    rounds = pd.read_csv(folder / "rounds.csv")
    against = references(rounds)
    table = speeds(rounds).set_index("configuration")
    best = table.loc[fastest(rounds, "ours")]
    trainer = table.loc[against[BEST_TUNED]]

    def in_words(value: Interval) -> str:
        return f"{value.middle:.2f} times (95 % interval {value.low:.2f} to {value.high:.2f})"

    return (
        f"**{best.name.capitalize()}, trains on {best[BEST_TUNED].middle:.2f} times as many "
        f"documents a second as Trainer at its best** (95 % interval {best[BEST_TUNED].low:.2f} "
        f"to {best[BEST_TUNED].high:.2f}): {best['samples_per_second']:.1f} against "
        f"{trainer['samples_per_second']:.1f} of {trainer.name}. It trains on "
        f"{in_words(best[DYNAMIC])} as many as with dynamic padding in fp32, and on "
        f"{in_words(best[DEFAULT])} as many as `run_classification.py` by default (medians of the "
        "rounds' ratios, which are not the ratios of the medians below). On real tokens "
        f"it reaches {best['share_of_peak']:.0%} of the matrix-product speed."
    )


def speed_table(table: pd.DataFrame) -> str:
    headers = [BEST_TUNED, DYNAMIC, DEFAULT]
    rows = []
    for row in table.to_dict("records"):
        cells = [row["configuration"], f"{row['samples_per_second']:.1f}"]
        cells += [f"{row['tokens_per_second']:,.0f}", f"{row['padding']:.0%}"]
        rows.append([*cells, f"{row['share_of_peak']:.0%}", *(str(row[name]) for name in headers)])
    names = ["configuration", "samples/s", "real tokens/s", "padding", "share of peak"]
    return pipe([*names, *headers], rows)


def draw(folder: Path) -> None:
    """Write speed.png."""
    rounds = pd.read_csv(folder / "rounds.csv")
    table = speeds(rounds)
    best = table.set_index("configuration").loc[fastest(rounds, "ours")]
    title = f"{best.name.capitalize()}: {best[BEST_TUNED].middle:.1f} times the best-tuned Trainer"
    table["configuration"] = table["configuration"].map(written)
    figure = plots.speeds(table, versus=BEST_TUNED, title=written(title))
    figure.savefig(folder / "speed.png", metadata={"Software": None})


def section(folder: Path, facts: dict) -> str:
    rounds = pd.read_csv(folder / "rounds.csv")
    settings = facts["settings"]
    quiet, dropped = quiet_rounds(rounds)
    precision = facts["precision"]
    left_out = ""
    if dropped:
        left_out = f"; {len(dropped)} of {rounds['round'].nunique()} rounds are left out as noisy"
    size = f"{settings['matmul']} × {settings['matmul']}"
    return f"""
## Training speed

{speed_table(speeds(rounds))}
Medians over {quiet["round"].nunique()} rounds of {settings["steps"]} steps{left_out}; in brackets \
the 95 % bootstrap interval of the median of the rounds' ratios. Batches of \
{settings["batch_size"]}; {facts["source"]}: {facts["documents"]:,} documents, mean \
{facts["mean_tokens"]:.0f} tokens, longest {facts["longest"]}. Padding: share of the computed \
tokens that are none. Share of peak: floating-point operations on real tokens (see below) over \
those of a product of two {size} {precision} matrices, \
{quiet["matmul_gflops"].median():,.0f} GFLOP/s here, whatever the configuration's precision.

{in_fp32(quiet)}![speed](speed.png)

*Bars: documents a second, with the 95 % interval of the median over rounds; the number is the \
ratio to the best-tuned Trainer. Blue: ours; orange: Trainer.*

### Which part does what

{gains(quiet)}
Each row changes one thing.

{measured_on(facts)}
"""
