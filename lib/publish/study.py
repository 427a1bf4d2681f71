"""Execute a study's notebook with papermill, strictly, and publish its page."""

import os
import re
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

from lib.errors import InputError, StoppedError, nearest
from lib.publish.folder import publish
from lib.publish.parameters import (
    NOTEBOOKS,
    as_words,
    checked,
    defaults,
    folder_of,
    profiles,
    read_profile,
)
from lib.publish.settings import read_yaml, to_parameters
from lib.runs.store import ROOT, store

RESULTS = ROOT / "results"
QUIET = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def run_study(
    name: str,
    profile: str = "demo",
    overrides: dict | None = None,
    publish_as: str | None = None,
    *,
    config: Path | None = None,
) -> Path:
    """Execute notebooks/<name>.ipynb and publish results/<name>/<profile>/; returns that folder.

    `overrides` are parameters that go before the profile's; so do those of the YAML file `config`,
    after which `overrides` come. With either, the page goes to a folder that is named after them,
    or `publish_as`; with a file of one's own, after that file. Raises InputError.
    """
    studies = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    if name not in studies:
        raise InputError(f"There is no study {name!r}.{nearest(name, studies)}")
    notebook = NOTEBOOKS / f"{name}.ipynb"
    allowed = defaults(notebook)
    parameters = read_profile(name, profile, allowed)
    sources = [(read_yaml(config), config.name)] if config else []
    sources.append((overrides or {}, "command line"))
    changed: dict = {}
    for values, where in sources:
        changed |= checked(to_parameters(values, allowed, where), allowed, where)
    parameters |= changed
    _check_columns(changed, parameters)
    _check_folder_name(publish_as, name, profile, changed)
    folder = RESULTS / name / (publish_as or folder_of(profile, changed))
    words = as_words(changed)
    if publish_as:
        words = f"{words} --as {publish_as}".strip()
    start = time.perf_counter()
    executed = execute(notebook, parameters, store() / "notebooks" / f"{name}-{folder.name}.ipynb")
    return publish(
        executed,
        folder,
        profile=profile,
        words=words,
        parameters=allowed | parameters,
        seconds=time.perf_counter() - start,
    )


def _check_columns(overrides: dict, parameters: dict) -> None:
    names_columns = {"text", "label"} & set(overrides)
    if names_columns and parameters.get("dataset", "demo_").startswith("demo_"):
        raise InputError(
            "text and label name columns of a file, and there is none; name it: "
            "dataset=reviews.csv, or with make DATA=reviews.csv"
        )


def _check_folder_name(publish_as: str | None, study: str, profile: str, overrides: dict) -> None:
    if not publish_as:
        return
    names = list(profiles(study))
    taken = [name for name in names if overrides or name != profile]
    if not re.fullmatch(r"\w[\w.=-]*", publish_as) or publish_as in taken:
        raise InputError(
            f"--as {publish_as}: choose a plain name that is no profile's "
            f"(those are {', '.join(names)})"
        )


@contextmanager
def signals_to_kernel():
    """Meanwhile, Ctrl-C and SIGTERM go to the kernel, which stops after its step; a third ends
    this process too."""
    count = 0

    def pass_on(number, frame):
        nonlocal count
        count += 1
        for child in psutil.Process().children():
            child.send_signal(signal.SIGINT)
        if count > 2:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def execute(notebook: Path, parameters: dict, output: Path):
    """The executed notebook. Raises InputError or StoppedError with the notebook's own sentence
    where it ended by one."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(QUIET)
    try:
        with signals_to_kernel():
            return papermill.execute_notebook(
                notebook,
                output,
                parameters=parameters,
                kernel_name="python3",
                cwd=Path.cwd(),
                progress_bar=False,
                log_output=True,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                extra_arguments=["--IPKernelApp.log_level=ERROR"],
            )
    except DeadKernelError:
        raise InputError(
            f"The kernel of {notebook.stem} was killed, perhaps for want of memory; start it again"
        ) from None
    except PapermillExecutionError as error:
        for kind in (InputError, StoppedError):
            if error.ename == kind.__name__:
                raise kind(error.evalue) from None
        raise InputError(
            f"The notebook failed with {error.ename}: {error.evalue}. See cell outputs in {output}"
        ) from None
