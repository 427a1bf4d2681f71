"""Labels by a run's model in 8 bits."""

import dataclasses
import sys
from contextlib import redirect_stdout
from functools import cached_property
from pathlib import Path

import torch

from lib.backbones import read_description
from lib.fast.labelling import Compute, sorted_logits
from lib.models import CLASSIFIER_FILE
from lib.runs.keys import corpus_of
from lib.runs.store import Run, model_folder
from lib.use.export import EXPORTED, INT8_FILE, earlier_export, export, onnx_runtime

BATCH_TOKENS = 512  # with 8-bit products, smaller batches are the faster ones


@dataclasses.dataclass(frozen=True)
class Int8Run(Run):
    """A finished run that labels by its 8-bit export, through ONNX Runtime on the CPU; where there
    is none, it is made, and compared with 32 bits on the run's dev texts. Raises InputError."""

    @property
    def key(self) -> str:
        return f"{super().key}-int8"

    @cached_property
    def model(self) -> tuple:
        """No model of PyTorch's, and what is said of it."""
        return None, read_description(model_folder(self.folder) / CLASSIFIER_FILE)

    @cached_property
    def exported(self) -> tuple[Path, dict]:
        """The file of the 8-bit model, and how it compares with 32 bits (`lib.use.export`)."""
        folder = model_folder(self.folder)
        out = self.folder / EXPORTED
        with redirect_stdout(sys.stderr):  # labels may go to standard output
            documents = []
            if not earlier_export(folder, out, "int8", []):
                print(f"Exports the model to {out}", flush=True)
                documents = corpus_of(self.config).dev.documents
            comparison = export(folder, documents, out, quantize="int8")
        return out / INT8_FILE, comparison

    @cached_property
    def _compute(self) -> Compute:
        runtime = onnx_runtime(self.exported[0])
        return lambda ids, mask: torch.from_numpy(runtime(ids, mask))

    def _logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return sorted_logits(self._compute, ids, mask, most=BATCH_TOKENS)

    @property
    def agreement(self) -> str:
        """How often labels are those in 32 bits, in words."""
        comparison = self.exported[1]
        share = comparison["int8"]["agreement"]
        texts = f"{comparison['texts']:,} texts"
        if self.model[1].get("task") == "regression":
            return f"on {texts}, numbers correlate with those in 32 bits by {share:.4f}"
        return f"on {texts}, {share:.1%} of the labels are those in 32 bits"
