"""Labelling: texts in, labels out, by `python -m lib predict`'s code and by transformers'
pipeline."""

import dataclasses
import io
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV

from lib.models import Classifier, build_model, save_model
from lib.reading.options import Reading
from lib.runs.config import RunConfig
from lib.runs.files import write_json
from lib.runs.machine import environment
from lib.runs.seal import seal
from lib.runs.store import Run, load_run
from lib.tokenization import encode
from lib.use.export import EXPORTED, export
from lib.use.int8 import Int8Run
from lib.use.predict import predict_file
from tests.bench.documents import Work
from tests.bench.intervals import Interval, measured_on, median_interval, pipe
from tests.bench.settings import DEVICE, NotEqualError, native_precision
from tests.bench.speed import DTYPES

BATCH = 32  # texts that the pipeline labels at once
SEVERAL, ALONE = f"{BATCH} at once", "one at a time"
PIPELINE, OURS = "pipeline", "ours"
FITTED = 512  # texts that the output layer is fitted to


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to label texts."""

    by: str  # pipeline or ours
    precision: str  # fp32, bf16 or int8
    texts: str  # SEVERAL or ALONE
    label: Callable[[list[str]], list[str]] = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.by}, {self.precision}" + (f", {ALONE}" if self.texts == ALONE else "")


def measure(work: Work) -> tuple[dict[str, pd.DataFrame], dict]:
    """A row a round and arm: texts, seconds, and the share of labels that are those of the
    pipeline in fp32. Raises NotEqualError where ours in fp32 differ."""
    settings = work.settings
    texts = work.corpus.test.texts[: settings.label_texts]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run = save_run(Path(folder), work)
        arms = arms_of(run, texts)
        labels = {}
        for number in range(settings.label_rounds + 1):  # round 0 warms up
            for arm in random.Random(number).sample(arms, len(arms)):
                some = texts if arm.texts == SEVERAL else texts[: settings.single_texts]
                start, start_of_cpu = time.perf_counter(), time.process_time()
                labels[arm.name] = arm.label(some)
                seconds, cpu = time.perf_counter() - start, time.process_time() - start_of_cpu
                row = {"round": number, "configuration": arm.name, "by": arm.by}
                row |= {"precision": arm.precision, "at_once": arm.texts, "texts": len(some)}
                rows.append(row | {"seconds": seconds, "cpu_seconds": cpu})
            if number == 0:
                agreements = agreements_of(labels)
            print(f"labelling, round {number} of {settings.label_rounds}", flush=True)
    frame = pd.DataFrame(rows)
    frame["agreement"] = frame["configuration"].map(agreements)
    facts = {"source": work.corpus.source, "texts": len(texts)}
    return {"labelling": frame[frame["round"] > 0]}, facts


def save_run(folder: Path, work: Work) -> Run:
    """A model as a finished run: a backbone as it is, and an output layer fitted to what it makes
    of some documents, so that labels are as sure as a trained model's."""
    settings, corpus = work.settings, work.corpus
    config = RunConfig(backbone=settings.backbone, max_length=settings.max_length)
    names = corpus.label_names
    model = build_model(config.backbone, num_labels=len(names), label_names=names)
    fit_output(model, corpus.train.texts[:FITTED], corpus.train.labels[:FITTED], config)
    reading = {"max_length": config.max_length, "truncation": config.truncation}
    made = {"backbone": config.backbone, "head": config.head, "dropout": config.dropout}
    save_model(model, folder / "model", label_names=names, **made, **reading)
    write_json(folder / "config.json", config.model_dump(mode="json"))
    write_json(folder / "environment.json", environment())
    seal(folder, {"status": "finished", "key": "0" * 64, "chosen_epoch": 1})
    return load_run(folder)


def fit_output(model: Classifier, texts: list[str], labels: np.ndarray, config: RunConfig) -> None:
    """Set the output layer by ridge regression on what it reads of each text."""
    linear = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    output = [module for module in linear if module.out_features == model.num_labels][-1]
    ids, mask, _ = encode(texts, config.backbone, max_length=config.max_length)
    inputs = []
    handle = output.register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    with torch.inference_mode():
        model.eval()(ids, mask)
    handle.remove()
    one_hot = np.eye(model.num_labels)[labels]
    ridge = RidgeCV(alphas=(1, 10, 100, 1000)).fit(inputs[0].numpy(), one_hot)
    with torch.no_grad():
        output.weight.copy_(torch.from_numpy(ridge.coef_))
        output.bias.copy_(torch.from_numpy(ridge.intercept_))


# ---- the ways to label


def arms_of(run: Run, texts: list[str]) -> list[Arm]:
    """The pipeline and ours, in fp32 and, where the processor has it, bf16; ours in int8."""
    source = write_texts(run.folder / "texts.csv", texts)
    arms = [
        Arm(OURS, "fp32", SEVERAL, partial(predicted, run, source)),
        Arm(OURS, "fp32", ALONE, partial(predicted_alone, run)),
        Arm(OURS, "int8", SEVERAL, partial(predicted, int8_of(run, texts), source)),
    ]
    for precision in dict.fromkeys(["fp32", native_precision()]):
        arms.append(Arm(PIPELINE, precision, SEVERAL, pipeline_of(run, precision)))
    return [*arms, Arm(PIPELINE, "fp32", ALONE, one_by_one(pipeline_of(run, "fp32")))]


def write_texts(path: Path, texts: list[str]) -> Path:
    pd.DataFrame({"text": texts}).to_csv(path, index=False)
    return path


def predicted(run: Run, source: Path, texts: list[str]) -> list[str]:
    """The labels that `predict` writes for a file of the texts; reading and writing count."""
    out = run.folder / "labels.csv"
    predict_file(run, str(source), out, "text", Reading())
    labels = pd.read_csv(out, dtype=str)["label"].tolist()
    out.unlink()
    return labels


def predicted_alone(run: Run, texts: list[str]) -> list[str]:
    return [run.predict([text])[0][0] for text in texts]


def int8_of(run: Run, texts: list[str]) -> Run:
    """The run as its export in 8 bits, which is made of it and checked on the texts."""
    with redirect_stdout(io.StringIO()):
        export(run.folder / "model", texts, run.folder / EXPORTED, quantize="int8")
    return Int8Run(run.folder)


def pipeline_of(run: Run, precision: str) -> Callable[[list[str]], list[str]]:
    """Labels by transformers' pipeline."""
    from transformers import pipeline

    model = str(run.folder / "model")
    how = {"batch_size": BATCH, "device": DEVICE, "dtype": DTYPES[precision]}
    classify = pipeline("text-classification", model=model, **how)

    def label(texts: list[str]) -> list[str]:
        return [answer["label"] for answer in classify(texts, truncation=True)]

    return label


def one_by_one(label: Callable[[list[str]], list[str]]) -> Callable[[list[str]], list[str]]:
    return lambda texts: [label([text])[0] for text in texts]


# ---- what the rounds say


def agreements_of(labels: dict[str, list[str]]) -> dict[str, float]:
    """The share of labels that are the pipeline's in fp32, by arm. Raises NotEqualError where ours
    in fp32 differ from them."""
    reference = labels[f"{PIPELINE}, fp32"]
    shares = {}
    for name, given in labels.items():
        pairs = zip(given, reference[: len(given)], strict=True)
        shares[name] = float(np.mean([one == other for one, other in pairs]))
        if name.startswith(f"{OURS}, fp32") and shares[name] < 1:
            raise NotEqualError(
                f"Labelling ({name}): {1 - shares[name]:.2%} of {len(given)} labels are not those "
                "of the pipeline: nothing is measured"
            )
    return shares


def ratio(table: pd.DataFrame, name: str, other: str) -> Interval:
    """How many times as many texts a second one labels as another, over rounds."""
    each = table.assign(cost=table["seconds"] / table["texts"])
    cost = each.pivot(index="round", columns="configuration", values="cost")
    return median_interval(cost[other] / cost[name])


def ratios(table: pd.DataFrame) -> dict[str, Interval]:
    """Ours to the pipeline: in the same precision where it has it, else in fp32. By the name of
    ours."""
    there = set(table["configuration"])
    results = {}
    for name in table.loc[table["by"] == OURS, "configuration"].unique():
        other = name.replace(OURS, PIPELINE)
        results[name] = ratio(table, name, other if other in there else f"{PIPELINE}, fp32")
    return results


def measures(folder: Path, facts: dict) -> dict[str, Interval]:
    table = pd.read_csv(folder / "labelling.csv")
    results = {f"labelling, {name}, × pipeline": value for name, value in ratios(table).items()}
    in_bf16 = f"{PIPELINE}, bf16"
    if in_bf16 in set(table["configuration"]):
        value = ratio(table, f"{OURS}, fp32", in_bf16)
        results[f"labelling, {OURS}, fp32, × {in_bf16}"] = value
    return results


def section(folder: Path, facts: dict) -> str:
    table = pd.read_csv(folder / "labelling.csv")
    against = ratios(table)
    in_bf16 = measures(folder, facts).get(f"labelling, {OURS}, fp32, × {PIPELINE}, bf16")
    beside = "" if in_bf16 is None else f" Ours in fp32 is {in_bf16} times the pipeline in bf16."
    rows = []
    for name, part in table.groupby("configuration"):
        rate = median_interval(part["texts"] / part["seconds"])
        ratio = str(against[name]) if name in against else ""
        cpu = 1000 * (part["cpu_seconds"] / part["texts"]).median()
        cells = [f"{rate.middle:.1f} [{rate.low:.1f}, {rate.high:.1f}]", ratio, f"{cpu:.1f}"]
        rows.append([name, *cells, f"{part['agreement'].iloc[0]:.1%}"])
    header = ["configuration", "texts/s", "× pipeline", "CPU ms a text", "same label"]
    return f"""
## Labelling

{pipe(header, rows)}
{facts["texts"]} test texts of {facts["source"]}, in {table["round"].nunique()} rounds of all in \
shuffled order, after one that warms up. Ours is `python -m lib predict` (in 8 bits: `--int8`) \
from a CSV file to a CSV file, or `Run.predict` where texts come one at a time; the pipeline is \
transformers' `text-classification` with batches of {BATCH}, on a list. Loading the model counts \
for neither. Ratios are of the same precision, and of int8 (ONNX Runtime) to the pipeline in fp32; \
in brackets 95 % bootstrap intervals of the median over rounds. Same label: the share of texts \
with the label of the pipeline in fp32; where ours in fp32 had another one, there would be no \
page. The model is the backbone with an output layer fitted to {FITTED} texts at most.{beside}

{measured_on(facts)}
"""
