"""A study's notebook executed: by papermill in a kernel, or in this process; and its blocks."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil

from lib.errors import InputError, StoppedError, reason_of

SECTIONS = ("answer", "details")  # tags of cells; the others are the study itself
ADDRESSES = "rfc3987_syntax"
QUIET = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def blocks_of(executed) -> list[dict]:
    """The blocks of an executed notebook in reading order, each with its `section`."""
    blocks = []
    for cell in executed.cells:
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        blocks += blocks_of_cell(cell, outputs)
    return blocks


def blocks_of_cell(cell, outputs: Iterable[dict]) -> list[dict]:
    """The blocks of a cell: of Markdown itself, of code those that it has shown."""
    from lib.publish.page import BLOCK_MIME  # which imports torch: a kernel starts without

    tags = [tag for tag in cell.metadata.get("tags", []) if tag in SECTIONS]
    section = tags[0] if tags else ""
    if cell.cell_type == "markdown":
        return [{"kind": "text", "name": "", "section": section, "text": cell.source.strip()}]
    shown = [data[BLOCK_MIME] for data in outputs if BLOCK_MIME in data]
    return [{**block, "section": section} for block in shown]


@contextmanager
def without_address_grammars() -> Iterator[None]:
    """Meanwhile, what reads notebooks is imported without the grammars of web addresses.

    jsonschema would compile 39 of them for most of a second; no notebook is checked for addresses.
    """
    if ADDRESSES in sys.modules:
        yield
        return
    sys.modules[ADDRESSES] = None  # whoever imports it is told that there is none
    try:
        yield
    finally:
        del sys.modules[ADDRESSES]


@contextmanager
def signals_to_kernel() -> Iterator[None]:
    """Meanwhile, Ctrl-C and SIGTERM go to the kernel, which stops after its step.

    A third ends this process too.
    """
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


def execute(notebook: Path, parameters: dict, output: Path, beside: Callable):
    """The notebook, executed by papermill in a kernel of its own; `beside` is done meanwhile.

    Raises InputError or StoppedError with the notebook's own sentence where it ended by one.
    """
    with without_address_grammars():
        import papermill
        from nbclient.exceptions import DeadKernelError
        from papermill.exceptions import PapermillExecutionError

    os.environ.update(QUIET)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with signals_to_kernel(), ThreadPoolExecutor(1) as thread:
            thread.submit(beside)
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
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # what a cell raises is told
            )
    except BrokenPipeError:  # nobody reads what the notebook prints
        raise
    except OSError as error:  # papermill writes the notebook after each cell
        raise InputError(
            f"The notebook could not be kept as {output} ({reason_of(error)}); mend that, and "
            "start the study again: finished runs are kept"
        ) from None
    except DeadKernelError:
        raise InputError(
            f"The kernel of {notebook.stem} was killed, perhaps for want of memory; start it again"
        ) from None
    except PapermillExecutionError as error:
        raise error_of_cell(error.ename, error.evalue, output) from None


def error_of_cell(name: str, text: str, output: Path) -> InputError | StoppedError:
    """What a cell of a kernel ended by, from the error's name and text."""
    from lib.reading.options import BadRowError

    if name == StoppedError.__name__:
        return StoppedError(text)
    if name in (InputError.__name__, BadRowError.__name__):
        return InputError(text)
    return InputError(f"The notebook failed with {name}: {text}. See cell outputs in {output}")


def execute_here(notebook: Path, parameters: dict) -> list[dict]:
    """The blocks of a notebook that is executed in this process, without a kernel.

    For notebooks that train nothing. Raises InputError with the notebook's own sentence, or what
    failed in it.
    """
    with without_address_grammars():
        import nbformat
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    main = sys.modules["__main__"]  # which a shell replaces
    another = InteractiveShell._instance  # this process may be a notebook's, or a test's
    InteractiveShell._instance = None
    no_history = Config(HistoryManager={"enabled": False})
    shell = InteractiveShell.instance(config=no_history)
    blocks = []
    try:
        for cell in nbformat.read(notebook, as_version=4).cells:
            shown = []
            if cell.cell_type == "code":
                with capture_output() as captured:
                    result = shell.run_cell(cell.source)
                _raise_error(result, notebook)
                shown = [output.data for output in captured.outputs]
            if "parameters" in cell.metadata.get("tags", []):
                shell.user_ns.update(parameters)
            blocks += blocks_of_cell(cell, shown)
    finally:
        InteractiveShell.clear_instance()
        InteractiveShell._instance = another
        sys.modules["__main__"] = main
    return blocks


def _raise_error(result, notebook: Path) -> None:
    """Raise what a cell ended by, if it did."""
    error = result.error_before_exec or result.error_in_exec
    if isinstance(error, (InputError, KeyboardInterrupt)):
        raise error
    if error is not None:
        raise InputError(
            f"The notebook {notebook.name} failed with {type(error).__name__}: {error}"
        ) from error
