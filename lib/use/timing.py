"""How fast models label texts on this machine: in PyTorch, and as they were exported."""

import json
import statistics
import time
from pathlib import Path

import pandas as pd

from lib.backbones import sha256
from lib.models import load_model
from lib.runs.files import digest, write_text
from lib.runs.machine import environment
from lib.runs.store import model_folder
from lib.use.export import EXPORTED, INT8_FILE, Batch, Runtime, batches, onnx_runtime, pytorch

EXPORTS = {"ONNX Runtime": "model.onnx", "ONNX Runtime, int8": INT8_FILE}
PYTORCH = "PyTorch"


def benchmark(
    models: dict[str, Path],
    texts: list,
    *,
    counts: tuple[int, ...] = (1, 32),
    rounds: int = 12,
    cache: Path | None = None,
) -> pd.DataFrame:
    """How fast models label texts on this CPU, a row a model, runtime and number of texts at once.

    `models` are model folders; PyTorch in 32 bits is timed, and where a folder has an export in
    `onnx/` beside it, ONNX Runtime, too. Each round takes the next batch of texts, for all in turn;
    a row has the median milliseconds for a batch, texts per second, and megabytes on disk. Texts
    are tokenized beforehand. `cache` is a folder that keeps the result, by models, texts and
    machine.
    """
    files = weight_files(models)
    path = None
    if cache:
        contents = [[*name, sha256(file)] for name, file in files.items()]
        key = digest(json.dumps([contents, texts, [*counts], rounds, environment()]))
        path = cache / f"{key[:32]}.csv"
        if path.is_file():
            return pd.read_csv(path)
    loaded = {name: load_model(model_folder(folder)) for name, folder in models.items()}
    runtimes: dict[tuple[str, str], Runtime] = {}
    for (name, kind), file in files.items():
        runtimes[name, kind] = pytorch(loaded[name][0]) if kind == PYTORCH else onnx_runtime(file)
    rows = []
    for count in counts:
        enough = (texts * (1 + rounds * count // len(texts)))[: rounds * count]
        inputs = {
            name: batches(models[name], settings, enough, count)
            for name, (_, settings) in loaded.items()
        }
        for (name, kind), seconds in time_rounds(runtimes, inputs, rounds).items():
            row = {"model": name, "runtime": kind, "texts at once": count}
            row |= {"milliseconds": 1000 * seconds, "texts per second": count / seconds}
            rows.append(row | {"MB": files[name, kind].stat().st_size / 1e6})
    table = pd.DataFrame(rows)
    if path:
        write_text(path, table.to_csv(index=False))
    return table


def weight_files(models: dict[str, Path]) -> dict[tuple[str, str], Path]:
    """The weights of each model, as (name, runtime): its own, and those of its exports."""
    files = {}
    for name, folder in models.items():
        files[name, PYTORCH] = folder / "model.safetensors"
        for kind, file in EXPORTS.items():
            if (folder.parent / EXPORTED / file).is_file():
                files[name, kind] = folder.parent / EXPORTED / file
    return files


def time_rounds(
    runtimes: dict[tuple[str, str], Runtime], inputs: dict[str, list[Batch]], rounds: int
) -> dict[tuple[str, str], float]:
    """The median seconds that each runtime takes for a batch; all take turns."""
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in runtimes}
    for name, runtime in runtimes.items():  # warms up
        runtime(*inputs[name[0]][0])
    for number in range(rounds):
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime(*inputs[name[0]][number])
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}
