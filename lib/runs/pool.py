"""A run: one configuration, trained once, kept under the hash of everything its result depends
on."""

import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout

from lib import training
from lib.fast import launch
from lib.attention import compile_layers
from lib.backbones import fingerprint, resolve_backbone
from lib.runs.baselines import BASELINES
from lib.use.card import write_card
from lib.runs.checkpoints import OFTEN, Due, Record, load_newest, save_checkpoint, save_newest
from lib.runs.config import DATA_FIELDS, RunConfig
from lib.data import SPLITS, Corpus
from lib.runs.distillation import Distilling, depth_of, prepare
from lib.errors import InputError, StoppedError
from lib.runs.frozen import embed_tokens
from lib.runs.health import even_loss, prior_logits, prior_loss
from lib.loaders import make_loader
from lib.losses import Objective, make_loss
from lib.metrics import METRICS, check_metric
from lib.models import build_model, reads_pairs, save_model
from lib.optim import make_optimizer, plan
from lib.fast.parallel import team
from lib.analysis.predictions import to_frame
from lib.metrics import top_k
from lib.runs.store import EVALUATION_BATCH, Run, Runs, corpus_of, environment, model_folder, store, tokens_of, write_json
from lib.runs.tracking import check_tracker, tracking

COMPILE_FROM = 3000  # steps of a run on a GPU: fewer are done before compiling its layers pays


def run_key(config: RunConfig, corpus: Corpus) -> str:
    """SHA-256 over what the result depends on. Names of datasets and backbones count by their
    content."""
    about: dict = {"data": corpus.fingerprint, "version": training.VERSION}
    if config.backbone in BASELINES:
        about |= {"baseline": config.backbone}
    else:
        by_content = {*DATA_FIELDS, "backbone"}
        about |= config.model_dump(exclude=by_content, exclude_defaults=True)  # a new field with a default keeps keys
        about["backbone"] = fingerprint(resolve_backbone(config.backbone))
        if config.distil:
            about["distil"]["teacher"] = fingerprint(model_folder(config.distil.teacher))
        about["precision"] = training.resolve_precision(config.precision, training.default_device())
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def beginnings(config: RunConfig) -> list[str]:
    """A name for the state after each epoch: runs that share it have trained alike until then, to
    the bit.

    It is the hash of what the run depends on, with the schedule replaced by the steps it has
    planned so far.
    """
    if config.backbone in BASELINES:
        return []
    corpus = corpus_of(config)
    plan, steps = plan_of(config, len(corpus.train))
    same = {"epochs": 1, "schedule": "constant", "schedule_args": {}, "select_by": "macro_f1"}
    same |= {"stop_after": None}
    digest = hashlib.sha256(run_key(config.with_(**same), corpus).encode() + config.select_by.encode())
    names = []
    for epoch in range(config.epochs):
        digest.update(json.dumps(plan[epoch * steps : (epoch + 1) * steps]).encode())
        names.append(digest.hexdigest()[:16])
    return names


def plan_of(config: RunConfig, rows: int) -> tuple[list[dict], int]:
    """The optimizer's settings at every step, and the number of steps in an epoch."""
    steps = -(-rows // config.batch_size)
    names = ("schedule", "optimizer", "learning_rate", "epochs")
    return plan(**{n: getattr(config, n) for n in names}, steps_per_epoch=steps, **config.schedule_args), steps


def run(
    config: RunConfig,
    keep: Collection[str] = (),
    tracker: str = "tensorboard",
    *,
    checkpoint_every: str = OFTEN,
    backend: str | None = None,
    processes: int | None = None,
) -> Run:
    """The finished run of a configuration, from the store, or trained now. A run that diverges is a
    result too.

    A run that was stopped or killed goes on from its last checkpoint, written `checkpoint_every`
    (`1 epoch`, `100 steps`, `10 minutes`, `never`), to the same bytes. `keep` names beginnings (see
    `beginnings`) to leave a checkpoint of; a run goes on from the longest there is of its own.
    `tracker` (see `lib.runs.tracking`) logs what is trained now. `backend` (see
    `lib.fast.launch.BACKENDS`) sets the precision, and trains with so many `processes`. Two
    processes that ask for the same run train it once: the second waits. A dead process holds no
    lock.
    """
    check_tracker(tracker)
    due, us = Due(checkpoint_every), team()
    config, processes = launch.settle(config, backend, processes)
    corpus = corpus_of(config)
    key = run_key(config, corpus)
    folder = store() / key[:16]
    if us.agree((folder / "status.json").exists()):
        if us.leads and Run(folder).config != config and os.access(folder, os.W_OK):  # the same under another name
            write_json(folder / "config.json", config.model_dump())
        if us.leads and (folder / "checkpoint").exists() and Run(folder).status["status"] == "finished":
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)  # killed before it could
        return Run(folder)
    if processes > 1 and us.size == 1 and config.backbone not in BASELINES:
        how = {"tracker": tracker, "checkpoint_every": checkpoint_every, "keep": sorted(keep)}
        launch.start(config, processes, how, sharded=backend.startswith("fsdp"))
        return Run(folder)
    try:
        asked = _carry_out(config, corpus, key, keep, tracker, due)
    except OSError as error:
        told = f"The run {key[:16]} could not be kept in {store()} ({(error.strerror or str(error)).lower()})"
        raise InputError(f"{told}; mend that, and the same command goes on from its last checkpoint") from error
    if asked:
        raise StoppedError("after a run; the same command goes on with the next")
    return Run(folder)


def _carry_out(config: RunConfig, corpus: Corpus, key: str, keep: Collection[str], tracker: str, due: Due) -> list:
    """Train what `run` wants, unless another process has done so meanwhile; returns the signals
    that asked to stop."""
    folder, us, locks = store() / key[:16], team(), store() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with _held(FileLock(locks / f"{key[:16]}.lock"), key) if us.leads else nullcontext(), stoppable() as asked:
        if not us.agree((folder / "status.json").exists()):
            start = time.perf_counter()
            if us.leads:
                _clear(folder)  # what a killed process left
                write_json(folder / "config.json", config.model_dump())
                write_json(folder / "environment.json", environment())
            if config.backbone in BASELINES:
                result = _baseline(config, corpus, folder)
            else:
                with tracking(tracker if us.leads else "none", folder, run=key[:16], config=config.model_dump()) as log:
                    result = _train(config, corpus, folder, keep, log, due, asked)
            rows = {name: len(getattr(corpus, name)) for name in ("train", "dev", "test")}
            data = {"source": corpus.source, "fingerprint": corpus.fingerprint, "rows": rows}
            about = {"key": key, "label_names": corpus.label_names, "data": data}
            if us.leads:
                write_json(folder / "status.json", result | about | {"seconds": time.perf_counter() - start})
                if result["status"] == "finished":
                    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        us.agree(True)  # the others wait until the leading process has written all
    return asked


def _clear(folder: Path) -> None:
    """Make the folder of a run that is not finished, without anything in it but its checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and path.name != "checkpoint":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Meanwhile, Ctrl-C and SIGTERM are noted in the list that is given; a second one ends the
    process at once."""
    asked: list[int] = []

    def note(number, frame):
        if asked:
            raise StoppedError("at once; the same command goes on from the last checkpoint")
        asked.append(number)
        print("Stopping after this step; once more to stop at once", flush=True)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _held(lock: FileLock, key: str):
    """The lock, taken: a context that gives it back. Says so where it has to wait."""
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"    another process trains {key[:16]}; waiting for it", flush=True)
        return lock.acquire()


def _baseline(config: RunConfig, corpus: Corpus, folder: Path) -> dict:
    scores = BASELINES[config.backbone](corpus)
    parts = []
    for name in ("dev", "test"):
        values, ranked = scores[name], None
        if corpus.multilabel:
            ranked = top_k(values, training.kept(corpus.num_labels))
            values = np.take_along_axis(values, ranked, axis=1)
        parts.append(to_frame(name, 1, getattr(corpus, name), values, ranked))
    pd.concat(parts, ignore_index=True).to_parquet(folder / "predictions.parquet", index=False)
    return {"status": "finished", "chosen_epoch": 1, "last_epoch": 1}


def _prepare(config: RunConfig, corpus: Corpus) -> tuple:
    """The model with its new head, the optimizer, the objective, and the loaders of train, dev
    and test."""
    check_metric(config.select_by, corpus.task, corpus.num_labels)
    if config.health and corpus.task == "regression":
        raise InputError("health = True judges classifiers; the task is regression")
    by_loss = {name: getattr(config, name) for name in ("class_weight", "label_smoothing", "focal_gamma")}
    objective = Objective(make_loss(corpus.train.labels, corpus.num_labels, **by_loss))
    tokens = tokens_of(config)
    options = {"head": config.head, "dropout": config.dropout, "label_names": corpus.label_names}
    shape = {"num_labels": corpus.num_labels, "layers": depth_of(config), "seed": config.seed}
    model = build_model(config.backbone, packed=config.batching.endswith("packed"), **shape, **options)
    if config.prior_bias:
        model.start_at(prior_logits(corpus.train.labels, corpus.num_labels))
    if corpus.task == "regression":
        model.unit = (float(corpus.train.labels.mean()), float(corpus.train.labels.std()))
    if corpus.train.pairs is not None:
        reads_pairs(model, config.backbone)
    if config.distil:
        teacher = model_folder(config.distil.teacher)
        objective, tokens = prepare(config, model, teacher, objective.loss, corpus, tokens, store() / "teachers")
    if config.freeze:
        tokens = embed_tokens(model, tokens, config.backbone, precision=config.precision, cache=store() / "features")
    elif model.packed and not config.weight_decay:
        model.compact(torch.cat([getattr(tokens, name).tensors[0].unique() for name in SPLITS]).unique().long())
    on_gpu = training.default_device().type == "cuda"
    if on_gpu and not config.distil and plan_of(config, len(corpus.train))[1] * config.epochs >= COMPILE_FROM:
        compile_layers(model.backbone)
    optimizer = make_optimizer(
        config.optimizer, model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    train = make_loader(tokens.train, batch_size=config.batch_size, batching=config.batching, seed=config.seed)
    return (
        model,
        optimizer,
        objective,
        train,
        *(make_loader(part, batch_size=EVALUATION_BATCH) for part in (tokens.dev, tokens.test)),
    )


def _train(
    config: RunConfig,
    corpus: Corpus,
    folder: Path,
    keep: Collection[str],
    log: Callable,
    due: Due,
    asked: list[int],
) -> dict:
    model, optimizer, objective, train, dev, test = _prepare(config, corpus)
    names, (steps, per_epoch), us = beginnings(config), plan_of(config, len(corpus.train)), team()
    say = partial(print, flush=True) if us.leads else lambda *words: None
    result, tested = {"status": "finished"}, {}
    progress, record = training.Progress.start(len(steps), config.accumulation), Record(environment=environment())
    own, shared = folder / "checkpoint", names[: min(config.stop_after or config.epochs, config.epochs - 1)]
    places = {store() / "checkpoints" / name: i * per_epoch for i, name in enumerate(shared, 1)}
    places |= {path: int(path.name[5:]) for path in own.glob("step-?????????")}
    if found := load_newest(places, model, optimizer):
        here = record.environment
        place, progress, record = found
        epoch = f"epoch {progress.step // per_epoch}, which another run shares"
        say(f"    goes on after {f'step {progress.step} of {len(steps)}' if place.parent == own else epoch}")
        made = {"processes": 1} | record.environment
        if changed := [f"{k} {v} (now {here.get(k, 1)})" for k, v in made.items() if here.get(k, 1) != v]:
            say(f"    the checkpoint was made with {', '.join(changed)}: the result may differ in its last digits")
        for row in record.history:
            _log_epoch(log, row, progress.losses, steps, per_epoch)

    def score_test(epoch: int) -> pd.DataFrame:
        found = training.evaluate(model, test, precision=config.precision)
        tested[epoch] = found
        return to_frame("test", epoch, corpus.test, found.logits, found.ranked)

    def save(where: Callable, path: Path) -> bool:
        progress.collect()
        try:
            if us.leads:
                where(path, model, optimizer, progress, record)
            due.written()
            return True
        except OSError as error:
            say(f"    the checkpoint could not be written to {path}: {(error.strerror or str(error)).lower()}")
            return False

    def after_step(_) -> None:
        write = due(progress.step, per_epoch) and progress.step < len(steps)
        stop = bool(asked)
        if us.sharded:  # all of them bring the weights together, or none
            stop, write = us.agree(stop), us.agree(write)
        if stop:
            kept = save(save_newest, own)
            place = f"step {progress.step} of {len(steps)}" if kept else "the last checkpoint"
            raise StoppedError(f"after step {progress.step}; the same command goes on from {place}")
        if write:
            save(save_newest, own)

    try:
        fixed = {name: getattr(config, name) for name in ("clip_norm", "precision", "seed", "health")}
        fixed |= {"objective": objective, "progress": progress, "after_step": after_step}
        stop = _ends(config, record)
        for row, found, _ in () if stop else training.train_epochs(model, optimizer, steps, train, dev, **fixed):
            epoch, told = row["epoch"], "loss" if config.select_by == "last" else config.select_by
            score = row[f"dev_{told}"] = found.scores[told]
            if isinstance(objective, Distilling):
                row |= objective.measure(model, dev.dataset, precision=config.precision)
            say(f"    epoch {epoch}/{config.epochs}: dev {told} {score:.4f}, {row['samples_per_second']:.0f} samples/s")
            record.history.append(row)
            _log_epoch(log, row, progress.losses, steps, per_epoch)
            record.parts.append(to_frame("dev", epoch, corpus.dev, found.logits, found.ranked))
            score = epoch if config.select_by == "last" else score if METRICS[told].higher_is_better else -score
            if score > record.best:
                record.chosen, record.best = epoch, score
                record.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            if config.test_every_epoch and epoch < config.epochs:
                record.parts.append(score_test(epoch))
            if names[epoch - 1] in keep:
                save(save_checkpoint, store() / "checkpoints" / names[epoch - 1])
            stop = _ends(config, record)
            if stop:
                break
        if stop:
            result["stopped"] = stop
    except training.DivergedError as error:
        result = {"status": "diverged", "reason": str(error)}
        if good := sorted(own.glob("step-?????????")):
            result["checkpoint"] = good[-1].name
            say(f"    {error}; the last good checkpoint is {good[-1]}")
    if progress.halved:
        result["halved"] = progress.halved
    parts, chosen, last = record.parts, record.chosen, len(record.history)
    if result["status"] == "finished":
        parts.append(score_test(last))
    if chosen:
        model.load_state_dict(record.weights)
        if not any(part["split"].eq("test").any() and chosen in set(part["epoch"]) for part in parts):
            parts.append(score_test(chosen))
        if chosen not in tested:  # scored by the run that this one shares its beginning with
            score_test(chosen)
    opened = {int(epoch) for part in parts for epoch in part.loc[part["split"] == "test", "epoch"].unique()}
    result["test_scored"] = {"epochs": sorted(opened), "chosen_by": f"dev {config.select_by}"}  # test decides nothing
    if not us.leads:
        return result
    if chosen:
        reading = {"max_length": config.max_length, "truncation": config.truncation, "task": corpus.task}
        options = {"head": config.head, "dropout": config.dropout, "label_names": corpus.label_names}
        model.projections = None
        save_model(model, folder / "model", backbone=config.backbone, **reading, **options)
        pd.concat(parts, ignore_index=True).to_parquet(folder / "predictions.parquet", index=False)
        write_results(folder, config, record.history, chosen, tested[chosen], corpus)
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in record.history))
    if config.health:
        result["prior_loss"] = prior_loss(corpus.train.labels, corpus.dev.labels, corpus.num_labels)
        result["even_loss"] = even_loss(corpus.train.labels, corpus.num_labels)
    return result | {"chosen_epoch": chosen, "last_epoch": last}


def _ends(config: RunConfig, record: Record) -> str | None:
    """Why training ends before its plan does, after the epochs so far."""
    epoch = len(record.history)
    if not 0 < epoch < config.epochs:
        return None
    if epoch == config.stop_after:
        return "stop_after"
    return "patience" if config.patience and epoch - record.chosen >= config.patience else None


def _log_epoch(log: Callable, row: dict, losses, steps: list[dict], per_epoch: int) -> None:
    """Log an epoch's steps, and its row of the history without what trackers count themselves."""
    for step in range(row["step"] - per_epoch, row["step"]):
        log({"step_loss": float(losses[step]), "step_learning_rate": steps[step]["lr"]}, step + 1)
    log({name: value for name, value in row.items() if name not in ("epoch", "step")}, row["step"])


def write_results(
    folder: Path, config: RunConfig, history: list[dict], chosen: int, test: training.Evaluation, corpus: Corpus
) -> None:
    """The files that transformers' example scripts leave, for tools that read them: train, eval
    and test results, all of them in one, predictions as text, the trainer's state, and a model
    card."""
    last, best = history[-1], history[chosen - 1]
    seconds = sum(row["seconds"] for row in history)
    rows = len(corpus.train)
    train = {"epoch": last["epoch"], "train_loss": last["train_loss"], "train_runtime": seconds, "train_samples": rows}
    train["train_samples_per_second"] = rows * len(history) / seconds
    scores = {name.removeprefix("dev_"): value for name, value in best.items() if name.startswith("dev_")}
    results = {
        "train": train,
        "eval": {"epoch": chosen, "eval_samples": len(corpus.dev)} | {f"eval_{k}": v for k, v in scores.items()},
        "test": {"epoch": chosen, "test_samples": len(corpus.test)} | {f"test_{k}": v for k, v in test.scores.items()},
    }
    for name, values in results.items():
        write_json(folder / f"{name}_results.json", values)
    write_json(folder / "all_results.json", results["train"] | results["eval"] | results["test"])
    if corpus.task == "regression":
        rows = [[f"{value:.6g}"] for value in test.logits[:, 0]]
    else:
        ids = test.logits.argmax(1)[:, None] if test.ranked is None else test.ranked[:, : training.TOP]
        rows = [[corpus.label_names[i] for i in row] for row in ids]
    lines = [f"{i}\t" + "\t".join(row) for i, row in enumerate(rows)]
    (folder / "test_predictions.txt").write_text("\n".join(["index\tprediction", *lines]) + "\n", encoding="utf-8")
    state = {"epoch": last["epoch"], "global_step": last["step"], "best_epoch": chosen, "log_history": history}
    write_json(folder / "trainer_state.json", state)
    write_card(folder / "model", config, corpus, results)


def run_all(configs: list[RunConfig], tracker: str = "tensorboard", **how) -> Runs:
    """Every configuration's run, in order; trains only what the store lacks, and says what it does
    in plain lines.

    `how` are the options of `run` that say how to train: checkpoint_every, backend, processes. Runs
    whose first epochs are the same (schedules that part later) train those epochs once.
    """
    check_tracker(tracker)
    runs, trained, start = Runs(), 0, time.perf_counter()
    configs = [launch.settle(config, how.get("backend"), how.get("processes"))[0] for config in configs]
    configs = [config for i, config in enumerate(configs) if config not in configs[:i]]
    models = [config for config in configs if config.backbone not in BASELINES]
    varying = [name for name in RunConfig.model_fields if len({repr(getattr(c, name)) for c in models}) > 1]
    missing = [not (store() / run_key(c, corpus_of(c))[:16] / "status.json").exists() for c in configs]
    names = [beginnings(config) for config in configs] if any(missing) else [[] for _ in configs]
    for i, config in enumerate(configs):
        if missing[i]:
            minutes = (time.perf_counter() - start) / max(1, trained) * sum(missing[i:]) / 60
            fields = " ".join(f"{name}={getattr(config, name)}" for name in varying if name != "schedule_args")
            eta = f", about {minutes:.1f} min to go" if trained else ""
            about = config.backbone if config.backbone in BASELINES else fields
            print(f"run {i + 1}/{len(configs)}: {about or config.backbone}{eta}", flush=True)
            trained += 1
        later = [names[k] for k in range(i + 1, len(configs)) if missing[k]]
        shared = [sum(a == b for a, b in zip(names[i], other[:-1], strict=False)) for other in later]
        runs.append(run(config, {names[i][n - 1] for n in shared if 0 < n < len(names[i])}, tracker, **how))
        for name in set(names[i]) - {name for other in later for name in other}:  # nobody goes on from here any more
            shutil.rmtree(store() / "checkpoints" / name, ignore_errors=True)
    print(f"{len(configs)} runs: {trained} trained, {len(configs) - trained} from the store", flush=True)
    return runs
