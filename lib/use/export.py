"""Models for other runtimes: ONNX through torch's own exporter, checked against PyTorch on real
texts, and timed."""

import hashlib
import json
import logging
import os
import shutil
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from lib.backbones import fingerprint, sha256
from lib.errors import InputError, nearest
from lib.models import Classifier, load_model
from lib.runs.store import environment, write_json
from lib.tokenization import encode

TOLERANCE = 1e-4  # of a logit
FORMATS, QUANTIZE = ("onnx",), ("int8",)
CHECKED = 256  # texts
CARRIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "classifier.json",
    "config.json",
)


class _Logits(nn.Module):
    """What is exported: token ids and mask (batch, tokens), 64-bit, to logits (batch,
    num_labels)."""

    def __init__(self, model: Classifier):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids, attention_mask).float()


@contextmanager
def quiet(logger: str):
    """Errors alone from a logger and those below."""
    found = logging.getLogger(logger)
    level = found.level
    found.setLevel(logging.ERROR)
    try:
        yield
    finally:
        found.setLevel(level)


def write_onnx(model: Classifier, path: Path) -> None:
    """Write one file whose batch and length are free. Raises InputError where torch cannot trace
    the model."""
    ids = torch.randint(5, 9, (2, 8))
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings(), quiet("torch.onnx"):  # which tells of torchvision's operators
        warnings.simplefilter("ignore")  # of the exporter's own making
        try:
            torch.onnx.export(
                _Logits(model).eval(),
                (ids, torch.ones_like(ids)),
                path,
                dynamo=True,
                external_data=False,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                verbose=False,
                dynamic_shapes={"input_ids": free, "attention_mask": free},
            )
        except torch.onnx.OnnxExporterError as error:
            head = "native" if model.head is None else type(model.head).__name__
            raise InputError(
                f"torch cannot export this model ({model.backbone.config.model_type}, {head}) to ONNX: "
                f"{str(error.__cause__ or error).splitlines()[0]}; another head may do (an LSTM's packed texts do not)"
            ) from None


def write_int8(path: Path, out: Path) -> None:
    """Write the same model with 8-bit weights; activations are quantized as they come
    (dynamically)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    del model.graph.value_info[:]  # shapes of weights that are transposed on the way
    with quiet(""):  # it proposes a preprocessing that the exporter has done
        quantize_dynamic(model, out, weight_type=QuantType.QInt8)


def runtime(path: Path) -> Callable[[torch.Tensor, torch.Tensor], np.ndarray]:
    """ONNX Runtime on a file, as a function from ids and mask (batch, tokens) to logits; with
    torch's threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # it slows whoever is timed next
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids, mask):
        arrays = {
            "input_ids": ids.numpy().astype(np.int64),
            "attention_mask": mask.numpy().astype(np.int64),
        }
        return session.run(None, arrays)[0]

    return run


def pytorch(model: Classifier) -> Callable[[torch.Tensor, torch.Tensor], np.ndarray]:
    """The same of a model in 32 bits on the CPU."""
    model = model.cpu().eval()

    @torch.inference_mode()
    def run(ids, mask):
        return model(ids, mask).float().numpy()

    return run


def batches(
    folder: Path, about: dict, texts: list, size: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Texts as a model reads them: ids and mask (size, longest) of each batch, in the order
    given."""
    ids, mask, _ = encode(
        texts, folder, max_length=about["max_length"], truncation=about["truncation"]
    )
    parts = zip(ids.split(size), mask.split(size), strict=True)
    return [(i[:, : int(m.sum(1).max())], m[:, : int(m.sum(1).max())]) for i, m in parts]


def _decisions(logits: np.ndarray, task: str) -> np.ndarray:
    return logits > 0 if task == "multilabel" else logits.argmax(1)


def export(
    folder: Path, texts: list, out: Path, *, format: str = "onnx", quantize: str | None = None
) -> dict:
    """Export the model in `folder` to `out`, with tokenizer and labels; returns what was found,
    also in export.json.

    On the `texts` given (at most `CHECKED`), one at a time and 32 at once, the logits must be
    PyTorch's within `TOLERANCE`. `quantize` int8 adds a file with 8-bit weights: its `agreement` is
    the share of texts with the same label (of numbers, the correlation). What is there already for
    the same weights is not made again. Raises InputError.
    """
    if format not in FORMATS:
        raise InputError(f"Unknown format {format!r}.{nearest(format, FORMATS)}")
    if quantize not in (None, *QUANTIZE):
        raise InputError(f"Unknown quantize {quantize!r}.{nearest(quantize, QUANTIZE)}")
    weights, note = fingerprint(folder), out / "export.json"
    done = json.loads(note.read_text()) if note.is_file() else {}
    if done.get("weights") == weights and (quantize is None or "int8" in done):
        return done
    if not texts:
        raise InputError(
            "An export is checked on real texts, and there are none: name a file with a text a line"
        )
    model, about = load_model(folder)
    task, plain = about.get("task", "classification"), pytorch(model)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write_onnx(model, part / "model.onnx")
        parts = [
            *batches(folder, about, texts[:8], 1),
            *batches(folder, about, texts[:CHECKED], 32),
        ]
        wanted, exported = [plain(*each) for each in parts], runtime(part / "model.onnx")
        apart = max(
            float(np.abs(exported(*each) - want).max())
            for each, want in zip(parts, wanted, strict=True)
        )
        if not apart <= TOLERANCE:
            raise InputError(
                f"The ONNX model's logits differ from PyTorch's by up to {apart:.2g}, more than {TOLERANCE:g}; nothing "
                "was written"
            )
        found = {"weights": weights, "texts": min(len(texts), CHECKED), "largest_difference": apart}
        if quantize:
            write_int8(part / "model.onnx", part / "model_int8.onnx")
            small = runtime(part / "model_int8.onnx")
            logits = np.concatenate([small(*each) for each in parts[min(8, len(texts)) :]])
            want = np.concatenate(wanted[min(8, len(texts)) :])
            if task == "regression":
                same = float(np.corrcoef(logits[:, 0], want[:, 0])[0, 1])
            else:
                same = float((_decisions(logits, task) == _decisions(want, task)).mean())
            found["int8"] = {
                "agreement": same,
                "largest_difference": float(np.abs(logits - want).max()),
            }
        for name in CARRIED:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, part / name)
        write_json(part / "export.json", found)
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return found


def benchmark(
    models: dict[str, Path],
    texts: list,
    *,
    counts=(1, 32),
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
    files = {}
    for name, folder in models.items():
        files[name, "PyTorch"] = folder / "model.safetensors"
        for kind, file in (
            ("ONNX Runtime", "model.onnx"),
            ("ONNX Runtime, int8", "model_int8.onnx"),
        ):
            if (folder.parent / "onnx" / file).is_file():
                files[name, kind] = folder.parent / "onnx" / file
    key = json.dumps(
        [[*k, sha256(file)] for k, file in files.items()]
        + [texts, [*counts], rounds, environment()]
    )
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.csv" if cache else None
    if path and path.is_file():
        return pd.read_csv(path)
    loaded = {name: load_model(folder) for name, folder in models.items()}
    rows = []
    for count in counts:
        parts = {
            name: batches(
                models[name],
                about,
                (texts * (1 + rounds * count // len(texts)))[: rounds * count],
                count,
            )
            for name, (_, about) in loaded.items()
        }
        runs = {
            k: pytorch(loaded[k[0]][0]) if k[1] == "PyTorch" else runtime(file)
            for k, file in files.items()
        }
        seconds: dict[tuple, list[float]] = {k: [] for k in runs}
        for i in range(-1, rounds):  # the first round warms up
            for k, run in runs.items():
                start = time.perf_counter()
                run(*parts[k[0]][max(i, 0)])
                seconds[k] += [time.perf_counter() - start] if i >= 0 else []
        for (name, kind), taken in seconds.items():
            middle = statistics.median(taken)
            row = {
                "model": name,
                "runtime": kind,
                "texts at once": count,
                "milliseconds": 1000 * middle,
            }
            rows.append(
                row
                | {"texts per second": count / middle, "MB": files[name, kind].stat().st_size / 1e6}
            )
    table = pd.DataFrame(rows)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    return table
