"""A run being trained: from its beginning, or its last checkpoint, to the files that it leaves."""

from collections.abc import Callable, Collection
from pathlib import Path

from lib.devices import OneProcess
from lib.errors import StoppedError, reason_of
from lib.evaluation import Evaluation, evaluate
from lib.fast.parallel import unshard
from lib.runs.keys import Prepared, prefix_hashes
from lib.runs.machine import environment
from lib.runs.predictions_table import to_frame
from lib.runs.store import store
from lib.session.artifacts import describe_end, tested_epochs, write_model, write_record
from lib.session.building import build
from lib.session.checkpoints import (
    CheckpointTimer,
    Record,
    TrainingState,
    candidates,
    environment_changes,
    load_furthest,
    restore,
    save_checkpoint,
    save_newest,
    steps_in,
)
from lib.session.distillation import Distilling
from lib.session.embedding_health import health_of_epoch
from lib.session.selection import early_end, selection_score
from lib.training import DivergedError, Progress, train_epochs


def train(session: "Session") -> dict:
    """Train a run, or go on with it; returns what its status says."""
    session.begin_or_resume()
    try:
        for row, evaluation in session.epochs():
            session.record_epoch(row, evaluation)
            if session.early_end():
                break
    except DivergedError as error:
        session.note_divergence(error)
    return session.finish()


class Session:
    """A run being trained."""

    def __init__(
        self,
        prepared: Prepared,
        *,
        log: Callable[[dict, int], None],
        timer: CheckpointTimer,
        signals: list[int],
        keep: Collection[str] = (),
        processes: OneProcess,
    ):
        """`log` gets values and their step (`lib.session.tracking`); `signals` are those that asked
        to stop, so far; `keep` names prefix hashes after whose epochs a checkpoint is left for
        others; `processes` are those that train the run together.
        """
        self.prepared = prepared
        self.config = prepared.config
        self.log = log
        self.timer = timer
        self.signals = signals
        self.keep = keep
        self.processes = processes
        self.trained = build(prepared)
        self.model = self.trained.model
        self.prefix_hashes = prefix_hashes(prepared)
        steps = len(prepared.settings_by_step)
        self.progress = Progress.start(steps, self.config.accumulation)
        self.record = Record(environment=environment(processes.size))
        self.test_evaluations: dict[int, Evaluation] = {}  # by epoch
        self.diverged: str | None = None  # why

    def say(self, text: str) -> None:
        """Print a line, once for all processes."""
        if self.processes.leads:
            print(f"    {text}", flush=True)

    # Beginning

    def begin_or_resume(self) -> None:
        """Go on from the checkpoint that came furthest: this run's, or one that it shares."""
        checkpoint = load_furthest(candidates(self.prepared, self.prefix_hashes))
        if checkpoint is None:
            return
        folder, state = checkpoint
        restore(state, self.model, self.trained.optimizer)
        environment_here = self.record.environment
        self.progress = state.progress
        self.record = state.record
        steps = self.prepared.steps_per_epoch
        where = f"epoch {self.progress.step // steps}, which another run shares"
        if folder.parent == self.prepared.folder / "checkpoint":
            where = f"step {self.progress.step} of {len(self.prepared.settings_by_step)}"
        self.say(f"goes on after {where}")
        changes = environment_changes(self.record.environment, environment_here)
        if changes:
            self.say(
                f"the checkpoint was made with {', '.join(changes)}: "
                "the result may differ in its last digits"
            )
        for row in self.record.history:
            self._log_epoch(row)

    # Training

    def epochs(self):
        """Train: rows of the history with their evaluations on dev, an epoch at a time."""
        if self.early_end():
            return iter(())
        config = self.config
        return train_epochs(
            self.model,
            self.trained.optimizer,
            self.prepared.settings_by_step,
            self.trained.train,
            self.trained.dev,
            objective=self.trained.objective,
            clip_norm=config.clip_norm,
            precision=config.precision,
            seed=config.seed,
            progress=self.progress,
            after_step=self.after_step,
            processes=self.processes,
        )

    def after_step(self) -> None:
        """Write a checkpoint where one is due; stop where a signal asks for it."""
        steps = len(self.prepared.settings_by_step)
        step = self.progress.step
        is_due = step < steps and self.timer.is_due(step, self.prepared.steps_per_epoch)
        # all processes write a checkpoint, or none: they bring the weights together for it
        is_due = self.processes.agree(is_due)
        stops = self.processes.agree(bool(self.signals))
        if not stops and not is_due:
            return
        written = self._save(save_newest, self.prepared.folder / "checkpoint")
        self.processes.agree(True)  # who ends has the others ended: not before it is written
        if stops:
            place = f"step {step} of {steps}" if written else "the last checkpoint"
            raise StoppedError(f"after step {step}; the same command goes on from {place}")

    def _save(self, save: Callable[[Path, TrainingState], None], folder: Path) -> bool:
        """Write a checkpoint; says so and returns False where it cannot be written."""
        model = self.processes.model_state(self.model)
        optimizer = self.processes.optimizer_state(self.model, self.trained.optimizer)
        self.timer.written()
        if not self.processes.leads:
            return True
        try:
            save(folder, TrainingState(model, optimizer, self.progress, self.record))
            return True
        except OSError as error:
            self.say(f"the checkpoint could not be written to {folder}: {reason_of(error)}")
            return False

    def record_epoch(self, row: dict, evaluation: Evaluation) -> None:
        """Add an epoch to the record: scores, predictions, and its weights if it is the best."""
        config = self.config
        epoch = row["epoch"]
        metric = "loss" if config.select_by == "last" else config.select_by
        if config.health:
            steps = self.prepared.steps_per_epoch
            dev = self.trained.dev.dataset
            health = health_of_epoch(
                self.model, dev, evaluation, self.progress, steps, precision=config.precision
            )
            row = health | row
        row[f"dev_{metric}"] = evaluation.scores[metric]
        if isinstance(self.trained.objective, Distilling):
            dev = self.trained.dev.dataset
            row |= self.trained.objective.measure(self.model, dev, precision=config.precision)
        self.say(
            f"epoch {epoch}/{config.epochs}: dev {metric} {evaluation.scores[metric]:.4f}, "
            f"{row['samples_per_second']:.0f} samples/s"
        )
        self.record.history.append(row)
        self._log_epoch(row)
        corpus = self.prepared.corpus
        frame = to_frame("dev", epoch, corpus.dev, evaluation.logits, evaluation.ranked)
        self.record.predictions.append(frame)
        score = selection_score(config.select_by, epoch, evaluation)
        if score > self.record.best_score:
            self.record.chosen_epoch = epoch
            self.record.best_score = score
            weights = self.processes.model_state(self.model)
            self.record.best_weights = {k: v.detach().clone() for k, v in weights.items()}
        if config.test_every_epoch and epoch < config.epochs:
            self._score_test(epoch)
        name = self.prefix_hashes[epoch - 1]
        if name in self.keep:
            self._save(save_checkpoint, store() / "checkpoints" / name)

    def early_end(self) -> str | None:
        """Why training ends here, before its plan does; None where it goes on."""
        return early_end(self.config, len(self.record.history), self.record.chosen_epoch)

    def note_divergence(self, error: DivergedError) -> None:
        self.diverged = str(error)
        good = steps_in(self.prepared.folder / "checkpoint")
        if good:
            self.say(f"{error}; the last good checkpoint is {good[-1]}")

    def _log_epoch(self, row: dict) -> None:
        """Log an epoch's steps and its row, without what trackers count themselves."""
        settings = self.prepared.settings_by_step
        for step in range(row["step"] - self.prepared.steps_per_epoch, row["step"]):
            loss = float(self.progress.losses[step])
            self.log({"step_loss": loss, "step_learning_rate": settings[step]["lr"]}, step + 1)
        values = {name: value for name, value in row.items() if name not in ("epoch", "step")}
        self.log(values, row["step"])

    # The end

    def finish(self) -> dict:
        """Score test, write the run's files but for its status, and return what that says."""
        if not self.diverged:
            self._score_test(len(self.record.history))
        chosen = self.record.chosen_epoch
        if chosen:
            self.processes.load_model_state(self.model, self.record.best_weights)
            if chosen not in self.test_evaluations:
                self._score_test(chosen)
        if self.processes.leads:
            if chosen:
                if self.processes.sharded:
                    unshard(self.model, self.record.best_weights)
                write_model(self.model, self.prepared)
            write_record(self.record, self.prepared)
        status = describe_end(self.prepared, self.record, self.progress, self.diverged)
        if not self.diverged and self.early_end():
            status["stopped"] = self.early_end()
        if chosen:
            status["test_scores"] = self.test_evaluations[chosen].scores
        return status

    def _score_test(self, epoch: int) -> None:
        """Score the model, which has an epoch's weights, on test; its predictions are kept once."""
        evaluation = evaluate(
            self.model,
            self.trained.test,
            precision=self.config.precision,
            processes=self.processes,
        )
        self.test_evaluations[epoch] = evaluation
        if epoch not in tested_epochs(self.record):
            test = self.prepared.corpus.test
            frame = to_frame("test", epoch, test, evaluation.logits, evaluation.ranked)
            self.record.predictions.append(frame)
