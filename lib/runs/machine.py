"""The machine that computes a run, and the versions of what computes it."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch


def environment(processes: int = 1) -> dict:
    """Hardware and versions, and how many processes compute, where there are several."""
    packages = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "pandas", "pyarrow")
    device = _gpu() if torch.cuda.is_available() else _processor()
    machine = {
        "device": device,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    machine |= {name: version(name) for name in packages}
    if processes > 1:
        machine["processes"] = processes
    return machine


def _gpu() -> str:
    """The GPU's name, and whether its products of float32 matrices are less exact than that."""
    rounded = torch.get_float32_matmul_precision() != "highest"
    return torch.cuda.get_device_name() + " (fp32 products in TF32)" * rounded


def _processor() -> str:
    """The processor's name, as the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()
