"""Time to accuracy: both loops learn the same corpus from the same weights."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib import evaluation
from lib.analysis.stats import Sample, difference_of_means, mean_of
from lib.data import Corpus
from lib.loaders import make_loader
from lib.runs.store import EVALUATION_BATCH
from lib.tokenization import Tokens, tokenize
from tests.bench import speed_page
from tests.bench.documents import (
    Work,
    huggingface_rows,
    huggingface_twin,
    new_model,
    with_weights_of,
)
from tests.bench.intervals import Interval, mean_interval, measured_on, pipe, ratio_interval
from tests.bench.settings import DEVICE, Settings
from tests.bench.speed import synchronized
from tests.bench.train import Amount, after_each_step, train_ours, train_trainer
from tests.bench.ways import Way, our_ways, trainer_ways, way_named

BELOW_THE_END = 0.02  # the target, from the lower of the two means of dev accuracy at the end


def measure(work: Work) -> tuple[dict[str, pd.DataFrame], dict]:
    """Dev accuracy by seconds of training, and predictions on test, of the best-tuned Trainer and
    the fastest of ours; and what they learned. Raises NotEqualError."""
    work.equality  # noqa: B018 (nothing is timed before)
    settings, corpus = work.settings, work.corpus
    tokens = tokenize(corpus, settings.backbone, max_length=settings.max_length)
    curves = []
    predictions = []
    for way in compared(work):
        for seed in settings.seeds:
            learner = Learner(settings, corpus, tokens, way, seed)
            learner.train()
            curves.append(pd.DataFrame(learner.curve))
            predictions.append(learner.predictions())
            seconds = learner.curve[-1]["seconds"]
            print(f"accuracy, {way.name}, seed {seed}: {seconds:.0f} s of training", flush=True)
    facts = {"source": corpus.source, "fingerprint": corpus.fingerprint}
    facts |= {name: len(getattr(corpus, name)) for name in ("train", "dev", "test")}
    tables = {
        "accuracy": pd.concat(curves, ignore_index=True),
        "predictions": pd.concat(predictions, ignore_index=True),
    }
    return tables, facts


def compared(work: Work) -> tuple[Way, Way]:
    """The fastest of Trainer's ways and of ours, as far as the page knows them."""
    path = work.folder / "rounds.csv"
    settings = work.settings
    if path.is_file():
        rounds = pd.read_csv(path)
        names = {way.name for way in [*trainer_ways(), *our_ways(settings)]}
        fastest = [speed_page.fastest(rounds, by) for by in ("Trainer", "ours")]
        if set(fastest) <= names:
            return way_named(fastest[0], settings), way_named(fastest[1], settings)
    return trainer_ways()[-1], our_ways(settings)[-1]


class Learner:
    """One training with one seed; the clock stands still while the model is scored, which is the
    same code for both loops."""

    def __init__(self, settings: Settings, corpus: Corpus, tokens: Tokens, way: Way, seed: int):
        self.settings, self.corpus, self.tokens, self.way = settings, corpus, tokens, way
        self.seed = seed
        # scores a copy of the weights, whoever trains them
        self.judge = new_model(settings, corpus.num_labels, seed=seed)
        if way.by == "ours":
            self.model = with_weights_of(self.judge, settings, way.batching)
            self.weights = self.model.backbone.state_dict()
        else:
            self.model = huggingface_twin(self.judge, settings)
            self.weights = self.model.state_dict()
        self.curve: list[dict] = []
        self.steps = -(-len(corpus.train) // settings.batch_size) * settings.epochs
        self.begin = 0.0
        self.spent = 0.0  # seconds, on scoring

    def train(self) -> None:
        settings = self.settings
        rows = self.tokens.train
        train = train_ours
        if self.way.by == "Trainer":
            rows = huggingface_rows(rows, settings, padded=self.way.padded)
            train = train_trainer
        amount = Amount(seed=self.seed, epochs=settings.epochs)
        self.begin = synchronized()
        with after_each_step(self.model, self.note):
            train(self.model, rows, self.way, settings, amount)

    def note(self, count: int) -> None:
        """Score dev after some of the steps, and after the last."""
        if count % self.settings.every and count != self.steps:
            return
        now = synchronized()
        accuracy = self.score(self.tokens.dev).scores["accuracy"]
        row = {"configuration": self.way.name, "seed": self.seed, "step": count}
        row["seconds"] = now - self.begin - self.spent
        self.curve.append(row | {"dev_accuracy": accuracy})
        self.spent += synchronized() - now

    def score(self, dataset: torch.utils.data.TensorDataset) -> evaluation.Evaluation:
        self.judge.backbone.load_state_dict(self.weights)
        loader = make_loader(dataset, batch_size=EVALUATION_BATCH)
        return evaluation.evaluate(self.judge, loader, device=DEVICE)

    def predictions(self) -> pd.DataFrame:
        """Gold labels and those predicted for test, a row a document."""
        result = self.score(self.tokens.test)
        columns = {"row": self.corpus.test.rows, "label": result.labels}
        columns["predicted"] = result.logits.argmax(1)
        return pd.DataFrame({"configuration": self.way.name, "seed": self.seed} | columns)


# ---- what the curves say


def target_of(curve: pd.DataFrame, named: float | None) -> float:
    """The dev accuracy that is the target: the one named, if every training reaches it; else
    BELOW_THE_END below the lower of the two means at the end, or as low as every training
    reaches."""
    by_run = curve.groupby(["configuration", "seed"])["dev_accuracy"]
    all_reach = float(by_run.max().min())
    if named is not None and named <= all_reach:
        return named
    ends = by_run.last().groupby("configuration").mean()
    return min(float(ends.min()) - BELOW_THE_END, all_reach)


def seconds_to(curve: pd.DataFrame, target: float) -> pd.DataFrame:
    """Seconds of training until dev accuracy reaches the target, a row a seed and a column a
    configuration: between two evaluations as if it rose evenly."""
    rows = []
    for (name, seed), part in curve.groupby(["configuration", "seed"], sort=False):
        accuracy = part["dev_accuracy"].to_numpy()
        seconds = part["seconds"].to_numpy()
        at = int(np.argmax(accuracy >= target))
        reached = seconds[at]
        if at > 0:
            reached = np.interp(target, accuracy[at - 1 : at + 1], seconds[at - 1 : at + 1])
        rows.append({"configuration": name, "seed": seed, "seconds": float(reached)})
    table = pd.DataFrame(rows).pivot(index="seed", columns="configuration", values="seconds")
    return table[list(dict.fromkeys(curve["configuration"]))]


def gain(curve: pd.DataFrame, target: float) -> Interval:
    """How many times as fast the second configuration reaches the target, over seeds."""
    seconds = seconds_to(curve, target)
    trainer, ours = seconds.columns
    return ratio_interval(seconds[trainer] / seconds[ours])


def measures(folder: Path, facts: dict) -> dict[str, Interval]:
    curve = pd.read_csv(folder / "accuracy.csv")
    target = target_of(curve, facts["settings"]["target"])
    return {"time to accuracy, × best-tuned Trainer": gain(curve, target)}


def test_samples(predictions: pd.DataFrame) -> dict[str, Sample]:
    """Whether each test document is right, by seed, of each configuration."""
    samples = {}
    for name, part in predictions.groupby("configuration", sort=False):
        table = part.pivot(index="row", columns="seed")
        right = (table["predicted"] == table["label"]).to_numpy().T.astype(float)
        samples[str(name)] = Sample(right.mean(1), right)
    return samples


def in_percent(middle: float, interval: tuple[float, float], form: str) -> str:
    """A share in percent, with its interval where it has one."""
    text = format(100 * middle, form)
    if np.isnan(interval[0]):
        return text
    low, high = (format(100 * value, form) for value in interval)
    return f"{text} [{low}, {high}]"


def section(folder: Path, facts: dict) -> str:
    curve = pd.read_csv(folder / "accuracy.csv")
    samples = test_samples(pd.read_csv(folder / "predictions.csv"))
    settings = facts["settings"]
    named = settings["target"]
    target = target_of(curve, named)
    seconds = seconds_to(curve, target)
    ends = curve.groupby(["configuration", "seed"])["seconds"].max()
    rows = []
    for name, sample in samples.items():
        each = ", ".join(f"{value:.1f}" for value in seconds[name])
        test = in_percent(sample.scores.mean(), mean_of(sample).interval(), ".1f")
        to_target = str(mean_interval(seconds[name]))
        rows.append([name, each, to_target, f"{ends[name].mean():.1f}", test])
    trainer, ours = samples
    apart = difference_of_means(samples[ours], samples[trainer])
    points = in_percent(apart.value, apart.interval(), "+.1f").replace("-", "−")
    why = "which every training reaches"
    if named is not None and target != named:
        why += f" (not all reach the {named:.0%} that the settings name)"
    header = [f"seconds to {target:.1%} on dev, by seed", "mean", "seconds in all, mean"]
    return f"""
## Time to accuracy

To a dev accuracy of {target:.1%}, {why}, ours trains {gain(curve, target)} times as fast as the \
best-tuned Trainer. Test accuracy at the end differs by {points} points.

{pipe(["configuration", *header, "test accuracy (%)"], rows)}
Both learn {facts["source"]} ({facts["train"]:,} train, {facts["dev"]:,} dev and \
{facts["test"]:,} test documents, fingerprint `{facts["fingerprint"][:12]}`), \
{settings["epochs"]} epochs, {len(seconds)} seeds, from the same weights for a seed. The target \
is {100 * BELOW_THE_END:.0f} points below the lower of the two mean dev accuracies at the end, or \
lower where a training stays below that; or the setting `--target`. Dev is scored every \
{settings["every"]} steps by the same code for both, the clock stands still meanwhile, and between \
two evaluations accuracy is taken to rise evenly. In brackets 95 % intervals: of seconds Student's \
over seeds, of their ratio the same of logarithms, of test accuracy over seeds and documents.

{measured_on(facts)}
"""
