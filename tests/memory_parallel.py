"""How much memory each of two processes needs with ddp and with fsdp:
`python -m tests.memory_parallel` (about a minute, 6 GB).

A random BERT-base (110 million parameters) takes a few steps of Adam on tiny batches, on the CPU.
"""

import tempfile
from pathlib import Path

import torch
from torch.nn import functional as F

from lib.fast.launch import launch
from lib.fast.parallel import leave, processes

STEPS = 3
MB = 1e6


def resident() -> dict[str, float]:
    """Megabytes of memory of this process: now, and at most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {name: int(values[name].split()[0]) * 1024 / MB for name in ("VmRSS", "VmHWM")}


def megabytes(tensors) -> float:
    """Of what this process holds of tensors, whole or sharded."""
    local = [getattr(tensor, "_local_tensor", tensor) for tensor in tensors]
    return sum(tensor.numel() * tensor.element_size() for tensor in local) / MB


def random_bert():
    """A classifier with a random BERT-base."""
    from transformers import BertConfig, BertModel

    from lib.heads import HEADS
    from lib.models import Classifier

    torch.manual_seed(0)
    backbone = BertModel(BertConfig(), add_pooling_layer=False)
    return Classifier(backbone, HEADS["mean"](768, 4, 0.1), 4)


def measure(out: str) -> None:
    """Write what a process holds after some steps."""
    group = processes()
    before = resident()["VmRSS"]
    model = random_bert()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5, fused=True)
    called = group.prepare(model, optimizer)
    ids = torch.randint(5, 30_000, (4, 16), generator=torch.Generator().manual_seed(group.rank))
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(called(ids, torch.ones_like(ids)), torch.tensor([0, 1, 2, 3]))
        loss.backward()
        optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values()]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    rows = {
        "weights": megabytes(model.parameters()),
        "gradients": megabytes(gradients),
        "moments": megabytes(moments),
        "resident": resident()["VmRSS"] - before,
        "at most": resident()["VmHWM"] - before,
    }
    torch.save(rows, f"{out}-{group.rank}")
    leave()


def main() -> None:
    from tests.memory_parallel import measure  # by the name that other processes know it by

    with tempfile.TemporaryDirectory() as folder:
        for backend in ("ddp", "fsdp"):
            out = str(Path(folder, backend))
            launch(measure, {"out": out}, processes=2, sharded=backend == "fsdp")
            for rank in (0, 1):
                rows = torch.load(f"{out}-{rank}")
                values = ", ".join(f"{name} {value:,.0f}" for name, value in rows.items())
                print(f"{backend}, process {rank}, MB: {values}")


if __name__ == "__main__":
    main()
