"""Models for other runtimes: ONNX through torch's own exporter, checked against PyTorch on real
texts."""

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lib.backbones import CONFIG, TOKENIZER_FILES, fingerprint
from lib.errors import InputError, first_line, nearest, system_error
from lib.models import CLASSIFIER_FILE, Classifier, load_model
from lib.runs.files import content_digest, file_digests, read_json, whole_folder, write_json
from lib.tokenization import encode, reading_of
from lib.use.decisions import DECISIONS

TOLERANCE = 1e-4  # of a logit
FORMATS = ("onnx",)
QUANTIZE = ("int8",)
CHECKED = 256  # texts
EXPORTED = "onnx"  # in a run's folder
INT8_FILE = "model_int8.onnx"
NOTE = "export.json"  # how an export compares with PyTorch
ALONE = 8  # texts that are checked one at a time, too
CARRIED = (*TOKENIZER_FILES, CLASSIFIER_FILE, CONFIG, DECISIONS)
Batch = tuple[torch.Tensor, torch.Tensor]  # ids and mask (texts, tokens)
Runtime = Callable[[torch.Tensor, torch.Tensor], np.ndarray]  # a batch -> logits (texts, labels)


class _Logits(nn.Module):
    """What is exported: token ids and mask (batch, tokens), 64-bit, to logits (batch,
    num_labels)."""

    def __init__(self, model: Classifier):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids, attention_mask).float()


@contextmanager
def quiet(name: str):
    """Errors alone from a logger and those below."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


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
            if system_error(error):  # a full disk
                raise
            head = "native" if model.head is None else type(model.head).__name__
            reason = first_line(error.__cause__ or error)
            raise InputError(
                f"torch cannot export this model ({model.backbone.config.model_type}, {head}) to "
                f"ONNX: {reason}; another head may do (an LSTM's packed texts do not)"
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


def onnx_runtime(path: Path) -> Runtime:
    """ONNX Runtime on a file, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    spinning = "session.intra_op.allow_spinning"
    options.add_session_config_entry(spinning, "0")  # it slows whoever is timed next
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def logits_of(ids, mask):
        arrays = {
            "input_ids": ids.numpy().astype(np.int64),
            "attention_mask": mask.numpy().astype(np.int64),
        }
        return session.run(None, arrays)[0]

    return logits_of


def pytorch(model: Classifier) -> Runtime:
    """The model itself, in 32 bits on the CPU."""
    model = model.cpu().eval()

    @torch.inference_mode()
    def logits_of(ids, mask):
        return model(ids, mask).float().numpy()

    return logits_of


def batches(folder: Path, settings: dict, texts: list, size: int) -> list[Batch]:
    """Texts as the model in a folder reads them, so many at once, each batch as long as its
    longest; in the order given."""
    all_ids, all_masks, _ = encode(texts, folder, **reading_of(settings))
    result = []
    for ids, mask in zip(all_ids.split(size), all_masks.split(size), strict=True):
        longest = int(mask.sum(1).max())
        result.append((ids[:, :longest], mask[:, :longest]))
    return result


def export(
    folder: Path,
    texts: list,
    out: Path,
    *,
    format: str = "onnx",
    quantize: str | None = None,
    write_more: Callable[[Path], None] = lambda folder: None,
) -> dict:
    """Export the model in `folder` to `out`, with tokenizer and labels; returns how it compares
    with PyTorch, also in export.json.

    On the `texts` given (at most `CHECKED`), one at a time and 32 at once, the logits must be
    PyTorch's within `TOLERANCE`. `quantize` int8 adds a file with 8-bit weights: its `agreement` is
    the share of texts with the same label (of numbers, the correlation). What is there already for
    the same weights, checked on the same texts, is not made again. `write_more` may add files to
    the folder. Raises InputError.
    """
    if format not in FORMATS:
        raise InputError(f"Unknown format {format!r}.{nearest(format, FORMATS)}")
    if quantize not in (None, *QUANTIZE):
        raise InputError(f"Unknown quantize {quantize!r}.{nearest(quantize, QUANTIZE)}")
    if done := earlier_export(folder, out, quantize, texts):
        return done
    if not texts:
        raise InputError("An export is checked on texts, and there are none: name a file of some")
    with whole_folder(out) as part:
        comparison = write_checked(folder, texts, part, quantize)
        comparison["weights"] = fingerprint(folder)
        comparison["checked"] = digest_of(texts)
        for name in CARRIED:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, part / name)
        write_more(part)
        comparison["files"] = file_digests(part)
        write_json(part / NOTE, comparison)
    return comparison


def earlier_export(folder: Path, out: Path, quantize: str | None, texts: list) -> dict:
    """How the export in `out` compares; empty where there is none of the model in `folder` that
    has what is wanted, checked on these texts, or where there are none, on any."""
    done = _whole_export(out)
    is_current = done.get("weights") == fingerprint(folder)
    is_checked = not texts or done.get("checked") == digest_of(texts)
    return done if is_current and is_checked and (quantize is None or quantize in done) else {}


def digest_of(texts: list) -> str:
    return content_digest(json.dumps(texts[:CHECKED]).encode())


def _whole_export(out: Path) -> dict:
    """How the export in a folder compares; empty where there is none, or its files are damaged."""
    try:
        comparison = read_json(out / NOTE)
    except FileNotFoundError:
        return {}
    except ValueError:
        comparison = None
    # an earlier version wrote no digests
    digests = (None, file_digests(out, leave_out=NOTE))
    if isinstance(comparison, dict) and comparison.get("files") in digests:
        return comparison
    print(f"The export {out} is damaged: made again", flush=True)
    return {}


def write_checked(folder: Path, texts: list, out: Path, quantize: str | None) -> dict:
    """Write model.onnx, and model_int8.onnx where that is wanted, to the folder `out`; returns how
    they compare with PyTorch. Raises InputError where model.onnx differs."""
    model, settings = load_model(folder)
    if model.window:
        raise InputError(
            "This model averages over windows of a text (truncation = 'windows'), which an "
            "exported file does not; export one trained with head, tail or head_tail"
        )
    write_onnx(model, out / "model.onnx")
    single = batches(folder, settings, texts[:ALONE], 1)
    several = batches(folder, settings, texts[:CHECKED], 32)
    reference, exported = pytorch(model), onnx_runtime(out / "model.onnx")
    expected = [reference(*batch) for batch in [*single, *several]]
    difference = max(
        float(np.abs(exported(*batch) - wanted).max())
        for batch, wanted in zip([*single, *several], expected, strict=True)
    )
    if not difference <= TOLERANCE:
        raise InputError(
            f"The ONNX model's logits differ from PyTorch's by up to {difference:.2g}, more than "
            f"{TOLERANCE:g}; nothing was written"
        )
    comparison: dict = {"texts": min(len(texts), CHECKED), "largest_difference": difference}
    if quantize:
        write_int8(out / "model.onnx", out / INT8_FILE)
        runtime = onnx_runtime(out / INT8_FILE)
        logits = np.concatenate([runtime(*batch) for batch in several])
        wanted = np.concatenate(expected[len(single) :])
        comparison[quantize] = {
            "agreement": agreement(logits, wanted, settings.get("task", "classification")),
            "largest_difference": float(np.abs(logits - wanted).max()),
        }
    return comparison


def agreement(logits: np.ndarray, expected: np.ndarray, task: str) -> float:
    """The share of texts (or of their labels) that logits (texts, labels) decide alike; of numbers,
    the correlation."""
    if task == "regression":
        return float(np.corrcoef(logits[:, 0], expected[:, 0])[0, 1])
    if task == "multilabel":
        return float(((logits > 0) == (expected > 0)).mean())
    return float((logits.argmax(1) == expected.argmax(1)).mean())
