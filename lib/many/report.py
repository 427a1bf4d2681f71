"""What is said of many runs while they are trained."""

import sys
import time

from lib.many.workers import Job
from lib.metrics import METRICS
from lib.runs.config import RunConfig
from lib.runs.store import Run


class Report:
    """Counts runs as they end, and says how far the work is."""

    def __init__(self, name: str, total: int, missing: int):
        self.name = name
        self.total = total
        self.missing = missing
        self.ended = 0
        self.failed = 0
        self.diverged = 0
        self.best: tuple[float, str] | None = None  # dev score, the higher the better, and title
        self.start = time.perf_counter()

    def announce(self, job: Job) -> str:
        """Of a run that is trained now, by this process."""
        return f"run {job.number + 1}/{self.total}: {job.title}{self.to_go()}"

    def to_go(self) -> str:
        """How long the rest takes at the pace so far."""
        if not self.ended:
            return ""
        minutes = (time.perf_counter() - self.start) / self.ended / 60
        return f", about {minutes * (self.missing - self.ended):.1f} min to go"

    def add(self, job: Job, result: Run | None) -> None:
        """Count a run that has ended; None for one that could not be trained."""
        self.ended += 1
        if result is None:
            self.failed += 1
            return
        self.diverged += is_diverged(result)
        score = best_dev_score(result)
        if score is not None and (self.best is None or score > self.best[0]):
            self.best = score, job.title

    def show(self, line: str) -> None:
        """Print a line; at a terminal, in the place of the one before, until all have ended."""
        if sys.stdout.isatty():
            end = "\n" if self.ended == self.missing else ""
            print(f"\r\x1b[2K{line}", end=end, flush=True)
        else:
            print(line.rstrip(), flush=True)

    def summary(self) -> str:
        """Counts, the best so far, and how long the rest takes."""
        finished = self.total - self.missing + self.ended - self.failed
        line = f"{self.name or 'runs'}: {finished}/{self.total} finished, {self.failed} failed"
        if self.diverged:
            line += f", {self.diverged} diverged"
        if self.best:
            line += f", best {abs(self.best[0]):.4f} ({self.best[1]})"
        return line + self.to_go()


def is_diverged(finished: Run) -> bool:
    return "diverged" in (finished.status["status"], finished.verdict.get("outcome"))


def best_dev_score(finished: Run) -> float | None:
    """The best dev score of a run over all its evaluations, the higher the better.

    None for a baseline, and for a run that diverged or is judged by its last epoch.
    """
    metric = finished.config.select_by
    if metric == "last" or is_diverged(finished) or not len(finished.history):
        return None
    values = finished.history[f"dev_{metric}"]
    score = values.max() if METRICS[metric].higher_is_better else -values.min()
    return round(float(score), 6)  # as a page prints it: equal there is equal here


def titles_of(configs: list[RunConfig]) -> list[str]:
    """What tells each configuration from the others; of a baseline, its name."""
    models = [config for config in configs if not config.is_reference]
    varying = [
        name
        for name in RunConfig.model_fields
        if name != "schedule_args" and len({repr(getattr(config, name)) for config in models}) > 1
    ]
    titles = []
    for config in configs:
        fields = " ".join(f"{name}={getattr(config, name)}" for name in varying)
        titles.append(config.reference or fields or config.backbone)
    return titles
