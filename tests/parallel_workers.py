"""What the processes do that tests/test_parallel.py starts: a plain training loop, alone or with
others, and failures."""

import importlib
import json
import os
import signal
import time
import warnings
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from torch.distributed.elastic.multiprocessing import start_processes
from torch.nn import functional as F

from lib.errors import InputError, StoppedError
from lib.fast import launch
from lib.fast.parallel import Processes, processes, unshard
from lib.models import Classifier, build_model

ROWS = (7, 7, 1, 7)  # of each batch: an odd number, and fewer than there are processes
STEPS = 12
MIDDLE = 6  # steps, after which the state is taken


def batch_of(step: int) -> tuple[torch.Tensor, ...]:
    """Ids and mask (rows, 9), labels (rows,), drawn from the step."""
    generator = torch.Generator().manual_seed(step)
    rows = ROWS[step % len(ROWS)]
    ids = torch.randint(4, 40, (rows, 9), generator=generator)
    return ids, torch.ones_like(ids), torch.randint(3, (rows,), generator=generator)


def make(backbone: str) -> tuple[Classifier, torch.optim.Optimizer]:
    model = build_model(backbone, head="mean", num_labels=3, dropout=0.0)
    torch.manual_seed(0)
    model.projections = torch.nn.ModuleList([torch.nn.Linear(32, 5)])  # as a student has them
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)


def loss_of(called, ids, mask, labels) -> torch.Tensor:
    """The sum over documents of the loss of their labels, and of projected hidden states."""
    logits, hidden, _ = called(ids, mask, with_states=True)
    projected = getattr(called, "module", called).projections[0](hidden[1])
    labelled = F.cross_entropy(logits, labels, reduction="sum")
    return labelled + projected.square().mean((1, 2)).sum()


def train(called, optimizer, steps: range, group: Processes | None) -> torch.Tensor:
    """Loss and gradient norm of each step, (steps, 2); every batch is computed in two parts where
    it can be."""
    seen = []
    for step in steps:
        batch = batch_of(step)
        rows, counts = group.share(batch) if group else (batch, 1.0)
        pieces = list(zip(*(tensor.split(2) for tensor in rows), strict=True))
        loss = torch.zeros(())
        called.train()
        for number, (ids, mask, labels) in enumerate(pieces, 1):
            part = loss_of(called, ids, mask, labels) * counts / len(batch[0])
            if group and number < len(pieces):
                with group.alone(called):
                    (part * group.size).backward()
            else:
                (part * (group.size if group else 1)).backward()
            loss += part.detach()
        norm = torch.nn.utils.clip_grad_norm_(called.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if group:
            loss, norm = group.sum(loss), group.norm(norm)
        seen.append(torch.stack([loss, norm]))
    return torch.stack(seen)


def evaluate(model: Classifier, group: Processes | None) -> torch.Tensor:
    """Logits (rows, 3) of three batches, each computed by one process, and of embeddings."""
    batches = [batch_of(100 + number) for number in range(3)]
    own = group.evaluation_batches(batches) if group else batches
    rank, size = (group.rank, group.size) if group else (0, 1)
    model.eval()
    with torch.inference_mode():
        model.embed(*batches[0][:2])  # as the health of embeddings is looked at
        parts = {rank + i * size: model(*batch[:2]).numpy() for i, batch in enumerate(own)}
    if not group:
        return torch.cat([torch.from_numpy(parts[number]) for number in sorted(parts)])
    sizes = [len(batch[0]) for batch in batches]
    return torch.from_numpy(group.gather(parts, sizes, parts[rank][:0]))


def held(model: Classifier, optimizer: torch.optim.Optimizer) -> int:
    """Bytes of parameters and optimizer state in this process."""
    tensors = [*model.parameters()]
    tensors += [value for state in optimizer.state.values() for value in state.values()]
    local = [getattr(tensor, "_local_tensor", tensor) for tensor in tensors]
    return sum(tensor.untyped_storage().nbytes() for tensor in local)


def study(backbone: str) -> dict:
    """Train, take the state in the middle, evaluate, and go on."""
    group = processes()
    model, optimizer = make(backbone)
    called = group.prepare(model, optimizer) if group else model
    first = train(called, optimizer, range(MIDDLE), group)
    middle = evaluate(model, group)
    weights = group.model_state(model) if group else model.state_dict()
    weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
    state = group.optimizer_state(model, optimizer) if group else optimizer.state_dict()
    moments = {i: {k: v.clone() for k, v in s.items()} for i, s in state.get("state", {}).items()}
    second = train(called, optimizer, range(MIDDLE, STEPS), group)
    result = {
        "steps": torch.cat([first, second]),
        "middle": middle,
        "logits": evaluate(model, group),
        "weights": weights,
        "moments": moments,
        "held": held(model, optimizer),
        "names": [name for name, _ in model.named_parameters()],
    }
    if group:
        group.load_model_state(model, weights)
        result["again"] = evaluate(model, group)
        if group.leads:
            unshard(model, weights)
            result["saved"] = dict(model.state_dict())
    return result


def go_on(backbone: str, start: dict) -> dict:
    """Go on from the state that `study` took in the middle, as a run does from its checkpoint."""
    group = processes()
    model, optimizer = make(backbone)
    model.load_state_dict(start["weights"])
    optimizer.load_state_dict(optimizer.state_dict() | {"state": start["moments"]})
    called = group.prepare(model, optimizer) if group else model
    steps = train(called, optimizer, range(MIDDLE, STEPS), group)
    return {"steps": steps, "held": held(model, optimizer)}


def study_together(backbone: str, start: str, out: str) -> None:
    """What each process found in `study`, and going on from what one process wrote."""
    group = processes()
    result = study(backbone)
    result["went_on"] = go_on(backbone, torch.load(start))
    result["agreed"] = [group.agree(group.rank == rank) for rank in range(group.size)]
    result["threads"] = torch.get_num_threads()
    torch.save(result, f"{out}-{group.rank}")


def misbehave(how: str, folder: str = "") -> None:
    """Exchange numbers for some time; process 1 does something wrong after nine steps."""
    group, signals = processes(), []
    if how == "stops":
        signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
        Path(folder, f"ready-{group.rank}").touch()
    for step in range(2000):
        group.sum(torch.zeros(1))
        if group.agree(bool(signals)):
            time.sleep(0.5 * group.rank)  # as long as another one writes
            if len(signals) == 1:
                Path(folder, f"stopped-once-{group.rank}").touch()
            raise StoppedError("after a step; the same command goes on")
        if step == 9 and group.rank == 1:
            fail(how)
        time.sleep(0.01)


def fail(how: str) -> None:
    if how == "fails":
        raise ValueError("of process 1")
    if how == "refuses":
        raise InputError("what process 1 has to say: a colon")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hangs":
        time.sleep(100)


def start_copies(name: str, entrypoint: str, args: dict, **options):
    """In the place of torch's `start_processes`: copies of this process instead of new ones, which
    would import for seconds what this one has imported."""
    calls = {rank: command[-2:] for rank, command in args.items()}  # of `lib.fast.launch.work`
    with warnings.catch_warnings():  # from Python 3.12 on: of threads, which the copies have not
        warnings.simplefilter("ignore", DeprecationWarning)
        return start_processes(name, call_in_copy, calls, start_method="fork", **options)


def call_in_copy(name: str, arguments: str) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # this process was alone
    launch._call(name, json.loads(arguments))


def die_at_nine(name: str, arguments: dict) -> None:
    """Train a run as `name` does; process 1 is killed when it has done nine steps."""
    from lib import training

    seed_step = training.seed_step

    def dies(seed: int, step: int, rank: int = 0) -> None:
        if step == 9 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        seed_step(seed, step, rank)

    training.seed_step = dies
    module, _, function = name.partition(":")
    getattr(importlib.import_module(module), function)(**arguments)
