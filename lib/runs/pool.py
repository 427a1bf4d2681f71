"""Many runs: what the store lacks is trained, and what runs begin alike is trained once."""

import time

from lib.runs.baselines import BASELINES
from lib.runs.config import RunConfig
from lib.runs.files import remove
from lib.runs.keys import Prepared, prefix_hashes, prepare
from lib.runs.published import published_page, published_runs
from lib.runs.single import run, with_backend
from lib.runs.store import Runs, store
from lib.runs.tracking import check_tracker


class SharedBeginnings:
    """Which runs of a list begin alike, and after which epochs they part."""

    def __init__(self, prepared: list[Prepared], is_missing: list[bool]):
        some_missing = any(is_missing)
        self.hashes = [prefix_hashes(p) if some_missing else [] for p in prepared]
        self.is_missing = is_missing

    def _later(self, position: int) -> list[list[str]]:
        """The hashes of the runs after a position that are still to be trained."""
        positions = range(position + 1, len(self.hashes))
        return [self.hashes[i] for i in positions if self.is_missing[i]]

    def to_keep(self, position: int) -> set[str]:
        """The states of a run that others go on from, each at the last epoch that they share."""
        hashes = self.hashes[position]
        names = set()
        for other in self._later(position):
            pairs = zip(hashes, other[:-1], strict=False)
            shared = sum(ours == theirs for ours, theirs in pairs)
            if 0 < shared < len(hashes):
                names.add(hashes[shared - 1])
        return names

    def forget(self, position: int) -> None:
        """Remove the checkpoints of a run that nobody goes on from any more."""
        needed = {name for hashes in self._later(position) for name in hashes}
        for name in set(self.hashes[position]) - needed:
            remove(store() / "checkpoints" / name)


def run_all(configs: list[RunConfig], tracker: str = "tensorboard", **options) -> Runs:
    """Every configuration's run, in order; trains only what the store lacks, and says what it does.

    The other options are those of `run` that say how to train: checkpoint_every, backend,
    processes. Runs whose first epochs are the same (schedules that part later) train those once.
    """
    check_tracker(tracker)
    backend, processes = options.get("backend"), options.get("processes")
    configs = [with_backend(config, backend, processes)[0] for config in configs]
    configs = [config for i, config in enumerate(configs) if config not in configs[:i]]
    page = published_page()
    if page:
        return published_runs(page, configs)
    prepared = [prepare(config) for config in configs]
    is_missing = [not p.is_finished for p in prepared]
    beginnings = SharedBeginnings(prepared, is_missing)
    titles = titles_of(configs)
    runs = Runs()
    start = time.perf_counter()
    for i, config in enumerate(configs):
        if is_missing[i]:
            line = f"run {i + 1}/{len(configs)}: {titles[i]}"
            trained = sum(is_missing[:i])
            if trained:
                left = (time.perf_counter() - start) / trained * sum(is_missing[i:]) / 60
                line += f", about {left:.1f} min to go"
            print(line, flush=True)
        runs.append(run(config, beginnings.to_keep(i), tracker, **options))
        beginnings.forget(i)
    trained = sum(is_missing)
    print(
        f"{len(configs)} runs: {trained} trained, {len(configs) - trained} from the store",
        flush=True,
    )
    return runs


def titles_of(configs: list[RunConfig]) -> list[str]:
    """What tells each configuration from the others; of a baseline, its name."""
    models = [config for config in configs if config.backbone not in BASELINES]
    varying = [
        name
        for name in RunConfig.model_fields
        if name != "schedule_args" and len({repr(getattr(config, name)) for config in models}) > 1
    ]
    titles = []
    for config in configs:
        fields = " ".join(f"{name}={getattr(config, name)}" for name in varying)
        titles.append(
            config.backbone if config.backbone in BASELINES else fields or config.backbone
        )
    return titles
