"""Processes that are started for a run: by which backend, and what is said when one fails."""

import os
import signal
import threading
import time

import pytest

from lib.errors import InputError, StoppedError
from lib.fast.launch import launch, resolve_backend
from lib.fast.parallel import Processes
from tests import parallel_workers


def test_backends_are_names_for_precision_and_processes():
    def resolve(backend, processes, precision="fp32"):
        return resolve_backend(backend, processes, precision=precision, batch_size=7)

    assert resolve(None, None, "bf16") == ("bf16", 1)
    assert resolve("sp", None, "bf16") == ("fp32", 1)
    assert resolve("sp-amp", None) == ("auto", 1)
    assert resolve("ddp", 3) == ("fp32", 3)
    assert resolve("fsdp-amp", 3) == ("auto", 3)
    for backend, count, sentence in (
        ("dpp", None, "Unknown backend 'dpp'. Did you mean ddp"),
        (None, 2, "processes = 2 needs a backend of several: ddp, ddp-amp, fsdp, fsdp-amp"),
        ("sp", 2, r"processes = 2 needs a backend of several \(ddp, .*\); sp has one"),
        ("ddp", 8, r"processes = 8 is more than the batch has documents \(7\)"),
    ):
        with pytest.raises(InputError, match=sentence):
            resolve(backend, count)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2", [2], 2**62, 1025])
def test_a_number_of_processes_is_a_whole_number(count):
    for backend in (None, "sp", "ddp"):
        with pytest.raises(InputError, match=r"^processes = .*: it wants a whole number from 1 to"):
            resolve_backend(backend, count, precision="fp32", batch_size=2**31)


@pytest.mark.parametrize("backend", [["sp"], 3, {}, "", True])
def test_a_backend_is_a_name(backend):
    with pytest.raises(InputError, match=r"^Unknown backend "):
        resolve_backend(backend, None, precision="fp32", batch_size=8)


def test_a_backend_has_the_processes_that_were_started_from_outside():
    options = {"precision": "bf16", "batch_size": 7}
    assert resolve_backend("ddp", None, started=Processes(0, 4), **options) == ("fp32", 4)
    assert resolve_backend("fsdp", None, started=Processes(0, 4, True), **options) == ("fp32", 4)
    assert resolve_backend(None, None, started=Processes(0, 4, True), **options) == ("bf16", 1)
    for backend, started, how in (
        ("fsdp", Processes(0, 4), "without"),
        ("ddp", Processes(0, 4, True), "with"),
    ):
        with pytest.raises(InputError, match=f"were started {how} accelerate's FSDP"):
            resolve_backend(backend, None, started=started, **options)


@pytest.mark.parametrize(
    ("how", "error", "sentence"),
    [
        (
            "fails",
            ChildProcessError,
            r"(?s)\nprocess 1: Traceback.*in fail\n.*ValueError: of process",
        ),
        ("refuses", InputError, "^what process 1 has to say: a colon$"),
        ("killed", ChildProcessError, r"\nprocess 1 was killed \(SIGKILL\)\n"),
        ("hangs", ChildProcessError, r"(?s)\nprocess 0: Traceback.*in misbehave.*[Tt]imed out"),
    ],
)
def test_what_fails_in_a_process_is_said(how, error, sentence, monkeypatch):
    if how == "hangs":
        monkeypatch.setenv("PROCESS_TIMEOUT", "5")
    began = time.monotonic()
    with pytest.raises(error, match=sentence) as raised:
        launch(parallel_workers.misbehave, {"how": how}, processes=2)
    assert time.monotonic() - began < 30
    if error is ChildProcessError:
        assert str(raised.value).startswith(
            "Training on 2 processes failed; the same command goes on from the last checkpoint.\n"
        )


def test_a_signal_reaches_all_processes_once(tmp_path):
    def stop_when_ready():
        while len(list(tmp_path.glob("ready-*"))) < 2:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop_when_ready, daemon=True).start()
    arguments = {"how": "stops", "folder": str(tmp_path)}
    with pytest.raises(StoppedError, match="^after a step; the same command goes on$"):
        launch(parallel_workers.misbehave, arguments, processes=2)
    assert len(list(tmp_path.glob("stopped-once-*"))) == 2
    assert signal.getsignal(signal.SIGTERM) is handler
