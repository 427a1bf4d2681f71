"""A notebook's blocks, and its execution in this process, which leaves no trace."""

import builtins
import os
import signal
import sys
from importlib import import_module
from types import ModuleType

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from lib.errors import InputError, StoppedError
from lib.publish.notebook import (
    ADDRESSES,
    blocks_of,
    error_of_cell,
    execute_here,
    signals_to_kernel,
    without_address_grammars,
)
from lib.publish.page import BLOCK_MIME

SHOW = "from lib.publish.page import show_text"


def save(tmp_path, *cells) -> str:
    """A notebook of cells: a source, or a tag and a source; Markdown where it starts with #."""
    made = []
    for cell in cells:
        tag, source = cell if isinstance(cell, tuple) else ("", cell)
        is_text = source.startswith("# ")
        new_cell = nbformat.v4.new_markdown_cell if is_text else nbformat.v4.new_code_cell
        made.append(new_cell(source, metadata={"tags": [tag] if tag else []}))
    path = tmp_path / "heads.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def test_blocks_of_an_executed_notebook():
    output = nbformat.v4.new_output
    shown = [
        output("display_data", {BLOCK_MIME: {"kind": "finding", "text": "a"}, "text/plain": "a"}),
        output("display_data", {"text/markdown": "only here"}),
        output("stream", text="printed"),
        output("display_data", {BLOCK_MIME: {"kind": "text", "text": "b"}}),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Which?\n"),
        nbformat.v4.new_code_cell("", outputs=shown, metadata={"tags": ["parameters", "answer"]}),
        nbformat.v4.new_code_cell("", metadata={"tags": ["details"]}),
    ]
    assert blocks_of(nbformat.v4.new_notebook(cells=cells)) == [
        {"kind": "text", "name": "", "section": "", "text": "# Which?"},
        {"kind": "finding", "text": "a", "section": "answer"},
        {"kind": "text", "text": "b", "section": "answer"},
    ]


def test_no_grammars_of_addresses_are_compiled_to_read_a_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, ADDRESSES, raising=False)
    with without_address_grammars(), pytest.raises(ModuleNotFoundError):
        import_module(ADDRESSES)
    assert ADDRESSES not in sys.modules
    module = ModuleType(ADDRESSES)
    monkeypatch.setitem(sys.modules, ADDRESSES, module)
    with without_address_grammars():
        assert import_module(ADDRESSES) is module
    assert sys.modules[ADDRESSES] is module


def test_parameters_replace_those_of_their_cell(tmp_path):
    show = f"{SHOW}\nshow_text(str((a, b)))"
    path = save(tmp_path, "# Which?", ("parameters", "a = 1\nb = 2"), ("details", show))
    assert execute_here(path, {"b": 3}) == [
        {"kind": "text", "name": "", "section": "", "text": "# Which?"},
        {"kind": "text", "name": "", "text": "(1, 3)", "section": "details"},
    ]
    assert execute_here(path, {})[1]["text"] == "(1, 2)"


def test_nothing_is_left_of_it(tmp_path, capsys):
    before = dict(vars(builtins)), sys.modules["__main__"], sys.displayhook, sys.excepthook
    path = save(tmp_path, "a = 1\nprint(a)\na", "del a", SHOW, "show_text('x')")
    blocks = execute_here(path, {})
    assert [block["text"] for block in blocks] == ["x"]
    after = dict(vars(builtins)), sys.modules["__main__"], sys.displayhook, sys.excepthook
    assert before == after
    assert not InteractiveShell.initialized()
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InputError, match="NameError: name 'a' is not defined"):
        execute_here(save(tmp_path, "a"), {})
    assert sys.modules["__main__"] is before[1] and not InteractiveShell.initialized()
    assert capsys.readouterr() == ("", "")


def test_a_notebook_in_which_it_is_called_is_left_alone(tmp_path):
    main = sys.modules["__main__"]
    shell = InteractiveShell.instance()
    try:
        shell.run_cell("mine = 1")
        execute_here(save(tmp_path, "mine = 2"), {})
        assert InteractiveShell.instance() is shell and shell.user_ns["mine"] == 1
    finally:
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = main


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "The notebook heads.ipynb failed with ZeroDivisionError: division by zero"),
        ("a = (", "The notebook heads.ipynb failed with SyntaxError: incomplete input"),
        ("from lib import InputError\nraise InputError('No rows')", "No rows"),
    ],
)
def test_an_error_in_a_cell_is_one_sentence(tmp_path, capsys, source, message):
    with pytest.raises(InputError) as error:
        execute_here(save(tmp_path, "# Which?", source, "print('not reached')"), {})
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert capsys.readouterr() == ("", "")


def test_an_error_in_a_kernel_is_the_sentence_that_it_was_raised_with(tmp_path):
    for name in ("InputError", "BadRowError"):
        error = error_of_cell(name, "a.csv, line 2: no label", tmp_path)
        assert isinstance(error, InputError) and str(error) == "a.csv, line 2: no label"
    assert isinstance(error_of_cell("StoppedError", "go on", tmp_path), StoppedError)
    error = error_of_cell("KeyError", "'a'", tmp_path)
    assert str(error) == f"The notebook failed with KeyError: 'a'. See cell outputs in {tmp_path}"


def test_a_stop_stops_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        execute_here(save(tmp_path, "raise KeyboardInterrupt"), {})


def test_signals_go_to_the_kernel_and_a_third_ends_this_process(monkeypatch):
    sent = []

    class Child:
        def send_signal(self, number) -> None:
            sent.append(number)

    monkeypatch.setattr("psutil.Process.children", lambda self: [Child()])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), signals_to_kernel():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
    assert sent == [signal.SIGINT] * 3
    assert signal.getsignal(signal.SIGTERM) is before
