"""The page of the benchmark, written from its tables alone (see `tests.bench`)."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

import plots
from lib.analysis.stats import Sample, difference_of_means, mean_of
from lib.errors import InputError

REFERENCES = {  # the three that others are compared with: name -> header
    "Trainer, default script": "× default script",
    "Trainer, dynamic padding": "× dynamic padding",
    "Trainer, bf16, group by length": "× best-tuned Trainer",
}
RESAMPLES = 2000  # of the rounds, for the interval of a median time
DEVIATION = 0.10  # of a round's matrix product from the median, above which the round is dropped


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


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The median, and the 95 % percentile interval of its bootstrap over rounds."""
    rng = np.random.default_rng(0)
    drawn = [values[rng.integers(len(values), size=len(values))] for _ in range(RESAMPLES)]
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def by_round(rounds: pd.DataFrame) -> pd.DataFrame:
    """Seconds for a document, a row a round, a column a configuration."""
    each = rounds.assign(cost=rounds["seconds"] / rounds["documents"])
    return each.pivot(index="round", columns="configuration", values="cost")


def ratio(rounds: pd.DataFrame, fast: str, slow: str) -> tuple[float, float, float]:
    """How many times as many documents a second `fast` trains on, the median over rounds with
    its interval."""
    cost = by_round(rounds)
    return median_interval((cost[slow] / cost[fast]).to_numpy())


def speeds(rounds: pd.DataFrame) -> pd.DataFrame:
    """A row a configuration, in order: medians over the quiet rounds, and ratios to the
    references with intervals."""
    rounds, _ = quiet_rounds(rounds)
    table, peak = [], rounds["matmul_gflops"].median()
    first = rounds[["configuration", "by"]].drop_duplicates()
    order = pd.concat([first[first["by"] == "Trainer"], first[first["by"] != "Trainer"]])[
        "configuration"
    ]
    speed = (
        rounds.assign(rate=rounds["documents"] / rounds["seconds"])
        .groupby("configuration")["rate"]
        .median()
    )
    place = {"Trainer": 0, "ours": 1}
    by = dict(zip(first["configuration"], first["by"], strict=True))
    for name in sorted(order, key=lambda name: (place[by[name]], speed[name])):
        part = rounds[rounds["configuration"] == name]
        middle, low, high = median_interval((part["documents"] / part["seconds"]).to_numpy())
        row = {"configuration": name, "by": by[name], "samples_per_second": middle}
        row |= {"samples_per_second_low": low, "samples_per_second_high": high}
        row["tokens_per_second"] = float((part["tokens"] / part["seconds"]).median())
        row["padding"] = 1 - part["tokens"].sum() / part["computed_tokens"].sum()
        row["share_of_peak"] = float((part["gflop"] / part["seconds"]).median()) / peak
        for reference, header in REFERENCES.items():
            row[header] = ratio(rounds, name, reference)
        table.append(row)
    return pd.DataFrame(table)


def times(value: tuple[float, float, float]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*value)


def pipe(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def speed_table(table: pd.DataFrame) -> str:
    rows = [
        [
            r["configuration"],
            f"{r['samples_per_second']:.1f}",
            f"{r['tokens_per_second']:,.0f}",
            f"{r['padding']:.0%}",
            f"{r['share_of_peak']:.0%}",
            *(times(r[header]) for header in REFERENCES.values()),
        ]
        for r in table.to_dict("records")
    ]
    names = [
        "configuration",
        "samples/s",
        "real tokens/s",
        "padding",
        "share of peak",
        *REFERENCES.values(),
    ]
    return pipe(names, rows)


def parts(rounds: pd.DataFrame, best: str) -> str:
    """Which part of the gain is the loop, the precision and the layout: ratios of two that
    differ in one thing."""
    random32, random16 = "ours, random, fp32", "ours, random, bf16"
    pairs = [
        ("our loop and model code, nothing else changed", random32, "Trainer, dynamic padding"),
        ("bf16 in place of fp32", random16, random32),
        ("the layout of batches: no or little padding", best, random16),
    ]
    there = set(rounds["configuration"])
    rows = [
        [what, a, b, times(ratio(rounds, a, b))]
        for what, a, b in pairs
        if {a, b} <= there and a != b
    ]
    return pipe(["what changes", "faster", "compared with", "ratio"], rows)


def accuracy(
    curve: pd.DataFrame, predictions: pd.DataFrame, target: float
) -> tuple[list[dict], dict]:
    """A row a configuration (seconds to the target by seed, NaN where it is not reached; test
    accuracy with its interval), and the difference, the second minus the first."""
    rows, samples = [], []
    for name in dict.fromkeys(curve["configuration"]):
        one = curve[curve["configuration"] == name]
        reached = one[one["dev_accuracy"] >= target].groupby("seed")["seconds"].min()
        seconds = reached.reindex(sorted(one["seed"].unique()))
        found = predictions[predictions["configuration"] == name].pivot(index="row", columns="seed")
        labels, predicted = found["label"].iloc[:, 0].to_numpy(), found["predicted"].to_numpy().T
        right = (predicted == labels).astype(float)
        samples.append(Sample(right.mean(1), right))
        low, high = mean_of(samples[-1]).interval()
        rows.append(
            {
                "configuration": name,
                "seconds": seconds.to_numpy(),
                "whole": one.groupby("seed")["seconds"].max(),
                "accuracy": right.mean(),
                "low": np.maximum(0.0, low),
                "high": np.minimum(1.0, high),
            }
        )
    apart = difference_of_means(samples[1], samples[0])
    low, high = apart.interval()
    return rows, {"difference": apart.value, "low": low, "high": high, "p": apart.p_value()}


def _with_interval(row: dict) -> str:
    """The accuracy of a row of `accuracy` in percent, with its interval where it has one."""
    text = f"{100 * row['accuracy']:.1f}"
    if np.isnan(row["low"]):
        return text
    return f"{text} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def accuracy_section(folder: Path, about: dict) -> tuple[str, str]:
    """The section, and its part of the first sentence."""
    target, learned = about["settings"]["target"], about["learned"]
    rows, apart = accuracy(
        pd.read_csv(folder / "accuracy.csv"), pd.read_csv(folder / "predictions.csv"), target
    )

    def told(seconds):
        return ", ".join("not reached" if s != s else f"{s:.1f}" for s in seconds)

    table = pipe(
        [
            "configuration",
            f"seconds to {target:.0%}, by seed",
            "mean",
            "seconds in all, mean",
            "test accuracy (%)",
        ],
        [
            [
                r["configuration"],
                told(r["seconds"]),
                told(
                    [r["seconds"].mean()]
                    if r["seconds"].size and not np.isnan(r["seconds"]).any()
                    else [np.nan]
                ),
                f"{r['whole'].mean():.1f}",
                _with_interval(r),
            ]
            for r in rows
        ],
    )
    is_significant = apart["low"] > 0 or apart["high"] < 0
    points = "{:+.1f} points (95 % interval {:+.1f} to {:+.1f}, p = {:.2f})".format(
        *(100 * apart[name] for name in ("difference", "low", "high")), apart["p"]
    ).replace("-", "−")
    verdict = (
        f"Test accuracy differs by {points}: "
        f"{'a significant' if is_significant else '**not** a significant'} difference."
    )
    if np.isnan(apart["low"]):
        points = f"{100 * apart['difference']:+.1f} points".replace("-", "−")
        verdict = f"Test accuracy differs by {points}, from too few seeds for an interval."
    several = len(about["settings"]["seeds"])
    with np.errstate(invalid="ignore"):
        gain = rows[0]["seconds"] / rows[1]["seconds"]
    sooner = ""
    if not np.isnan(gain).any():
        sooner = (
            f" To a dev accuracy of {target:.0%} it trains {gain.mean():.1f} times as fast "
            f"(mean of {several} seeds)."
        )
    few = ""
    if learned["train"] < 200 * about["settings"]["batch_size"]:
        few = (
            " On so few rows Trainer groups by length within a quarter of them, which leaves "
            "more padding than above."
        )
    text = f"""
## Time to accuracy

{verdict}

{table}
{rows[1]["configuration"]} and the best-tuned Trainer train on {learned["source"]} \
({learned["train"]:,} train, {learned["dev"]:,} dev and {learned["test"]:,} test documents, \
fingerprint `{learned["fingerprint"][:12]}`), {about["settings"]["epochs"]} epochs, {several} \
seeds, the same initial weights for a seed. The target is the setting `--target`. Dev is scored \
every {about["settings"]["every"]} steps by the same code for both, and the clock stands still \
meanwhile. Intervals and the difference count seeds and documents; p is McNemar's test.{few}
"""
    return text, sooner


def tokenization_section(table: pd.DataFrame) -> str:
    rows = [
        [
            r["by"],
            f"{r['rows']:,}",
            f"{r['seconds']:.2f}",
            f"{r['rows'] / r['seconds']:,.0f}",
            f"{r['peak_mib']:,.0f}",
            f"{max(0, r['added_mib']) * 1024 / r['rows']:.1f}",
        ]
        for r in table.sort_values(["by", "rows"], ascending=[False, True]).to_dict("records")
    ]
    said = []
    for by, part in table.sort_values("rows").groupby("by", sort=False):
        if len(part) > 1:
            few, many = part.iloc[-2], part.iloc[-1]
            grown, took = many["rows"] / few["rows"], many["seconds"] / few["seconds"]
            said.append(
                f"from {few['rows']:,} to {many['rows']:,} rows ({grown:.3g}-fold), {by} "
                f"takes {took:.1f} times as long"
            )
    names = [
        "by",
        "rows",
        "seconds",
        "rows/s",
        "peak memory (MiB)",
        "added by tokenizing (KiB a row)",
    ]
    return f"""
## Tokenization, and cost against rows

{("; ".join(said) + ".").capitalize() if said else ""}

{pipe(names, rows)}
Each row is a process of its own. `datasets.map` is batched, with the fast tokenizer and without \
padding; it reads and writes files, `lib.tokenization` keeps the ids in memory. Peak memory \
includes Python, the libraries and the texts; where that was higher than what tokenizing needed, \
nothing is added.
"""


def profile_section(table: pd.DataFrame) -> str:
    total = table["ms"].sum()
    groups = (
        table.groupby("group")
        .agg(ms=("ms", "sum"), calls=("calls", "sum"))
        .sort_values("ms", ascending=False)
    )
    top = (
        table.sort_values("ms", ascending=False)
        .drop_duplicates("group")
        .set_index("group")["operator"]
    )
    rows = [
        [
            group,
            f"{r['ms'] / total:.1%}",
            f"{r['ms']:,.1f}",
            f"{r['calls']:,.0f}",
            f"`{top[group]}`",
        ]
        for group, r in groups.head(10).to_dict("index").items()
    ]
    name = table["configuration"].iloc[0]
    return f"""
## Where the time goes

Of {name}, {rows[0][1]} of the operators' own time is {rows[0][0]}.

{pipe(["operators", "share of self time", "ms", "calls", "the longest of them"], rows)}
torch.profiler over {name}; an operator's self time leaves out the operators that it calls. The \
profiler itself slows down small operators. [profile.csv](profile.csv) has every operator.

### What was tried

Kept: bf16; batches of like length, and no padding outside attention; dropout masks from random \
integers; in the last layer, the first token alone; words that do not occur left out of the \
optimizer; queries, keys and values as one product; the fused optimizer; losses that a GPU is \
asked for every 16 steps only. Tests hold each against the plain computation.

Tried on two CPU cores, and not kept: `torch.compile`, which made a step slower; larger \
thresholds of glibc's malloc, so that memory is not given back, which made no difference after \
the first steps. Kept since: rows without padding have few sizes in bf16, because oneDNN prepares \
its products for each anew; docs/speed.md has what it brings.
"""


def write(folder: Path) -> None:
    """Write README.md and speed.png from the CSV files and environment.json of a folder."""
    about = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    settings, machine, measured = about["settings"], about["machine"], about["measured"]
    rounds, gated = pd.read_csv(folder / "rounds.csv"), pd.read_csv(folder / "gate.csv")
    quiet, dropped = quiet_rounds(rounds)
    table = speeds(rounds)
    ours = table[table["by"] == "ours"]
    best = ours.loc[ours["samples_per_second"].idxmax()]
    name = Path(str(settings["backbone"])).name
    peak = quiet["matmul_gflops"].median()
    title = (
        f"{best['configuration'].capitalize()}: {best['× default script'][0]:.1f} times the "
        f"default script"
    )
    figure = plots.speeds(table, versus="× default script", title=title)
    figure.savefig(folder / "speed.png", metadata={"Software": None})

    def told(header):
        return "{:.1f} times (95 % interval {:.1f} to {:.1f})".format(*best[header])

    section, sooner = accuracy_section(folder, about) if settings["accuracy"] else ("", "")
    kept = quiet["round"].nunique()
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)}"
    accuracy_links = ""
    if settings["accuracy"]:
        accuracy_links = "[accuracy.csv](accuracy.csv), [predictions.csv](predictions.csv), "
    without = f"; {len(dropped)} of {len(dropped) + kept} rounds are left out" if dropped else ""
    numbers = "round " + ", ".join(map(str, dropped)) if dropped else "none"
    page = f"""# How fast is this training loop beside Hugging Face Trainer?

**{best["configuration"].capitalize()}** trains on {best["samples_per_second"]:.0f} documents a \
second: {told("× default script")} as many as Trainer does as `run_classification.py` runs it by \
default, {told("× dynamic padding")} as many as with dynamic padding, and \
{told("× best-tuned Trainer")} as many as Trainer at its best (bf16, grouped by length). On real \
tokens it reaches {best["share_of_peak"]:.0%} of the measured bf16 matrix-product speed.{sooner}

{machine["device"]}, {threads}, torch {machine["torch"]} · model: {name} · batches of \
{settings["batch_size"]} · {measured["source"]}: {measured["documents"]:,}, mean \
{measured["mean_tokens"]:.0f} tokens, longest {measured["longest"]} · {kept} rounds of \
{settings["steps"]} steps a configuration{without}.

## Speed

{speed_table(table)}
Medians over rounds; in brackets the 95 % bootstrap interval of the median of the rounds' ratios. \
Padding: share of the computed tokens that are none. Share of peak: floating-point operations on \
real tokens (see below) over those of a product of two {settings["matmul"]} × \
{settings["matmul"]} bf16 matrices, {peak:,.0f} GFLOP/s here. Configurations in fp32 are compared \
with the same bf16 product.

![speed](speed.png)

*Bars: documents a second, with the 95 % interval of the median over rounds; the number is the \
ratio to the default script. Blue: ours; orange: Trainer.*

### Which part does what

{parts(quiet, best["configuration"])}
Each row changes one thing; multiplied, they are about the ratio of {best["configuration"]} to \
Trainer with dynamic padding.
{section}\
{tokenization_section(pd.read_csv(folder / "tokenization.csv"))}\
{profile_section(pd.read_csv(folder / "profile.csv"))}
## How it was made

`{about["command"]}`, {about["seconds"] / 60:.0f} minutes. Every number above is computed from \
the tables beside this page: [rounds.csv](rounds.csv), [gate.csv](gate.csv), \
{accuracy_links}[tokenization.csv](tokenization.csv) \
and [profile.csv](profile.csv); `python -m tests.bench --page` and this folder's name writes it \
again. Settings and versions are in [environment.json](environment.json).

**The same computation.** Before anything is timed, both loops train in fp32 without dropout on \
the same {int(gated["step"].max())} batches from the same weights. Their losses differed by at \
most {gated["difference"].max():.1e} relatively (allowed: 1e-05), and the final weights by \
{gated["weights_apart"].max():.1e} of how far they had moved (allowed: 1e-02). Otherwise there \
would be no page.

**The same work.** One process; equal initial weights, AdamW with a peak learning rate of \
{settings["learning_rate"]:g} that falls linearly to zero, clipping at norm 1, dropout on, \
{threads}. Trainer has its defaults otherwise, with progress bar, saving and reports switched \
off; its rows are a `datasets.Dataset` that is tokenized already.

<details>
<summary>Details</summary>

- **Rounds.** In each, every configuration trains from the same initial weights, in an order \
shuffled by the round's number: {settings["warm_up"]} warm-up steps, then {settings["steps"]} \
that count, from the end of one optimizer step to the end of another, so that making the batches \
counts, and starting up does not. An unmeasured round comes first.
- **Documents.** A configuration makes an epoch over the pool in its own way (grouping by length \
needs many documents), and the steps are a stratified sample of that epoch's batches by size: the \
places in the strata are the same for all configurations of a round. The seconds are divided by \
documents.
- **Noise.** The matrix product is timed before every turn. Rounds in which its median deviates \
by more than {DEVIATION:.0%} from the median over rounds are left out: {numbers}.
- **Operations.** Forward, a token and layer: 2 (4 h² + 2 h m) for projections and feed-forward \
and 4 n h for attention over n tokens, and 2 h (h + labels) a document for the classifier, with \
hidden size h = {about["model"]["hidden_size"]} and feed-forward size m; \
{about["model"]["num_hidden_layers"]} layers; backward is twice the forward. Embeddings, \
normalisation and dropout count nothing, padding neither.
- **Default script.** `run_classification.py` pads every document to max_seq_length = \
{settings["max_length"]} when it tokenizes, and trains in fp32; its batch size, 8, is \
{settings["batch_size"]} here. Group by length is `train_sampling_strategy="group_by_length"`.
- **Versions.** \
{", ".join(f"{key} {value}" for key, value in machine.items() if key not in ("device", "threads"))}.

</details>
"""
    page = re.sub(r"(\d)%", r"\1 %", re.sub(r"\n{3,}", "\n\n", page))
    (folder / "README.md").write_text(page, encoding="utf-8")
