"""Run a study in JupyterLab in headless Chromium and look at what it shows:
`python -m tests.lab_check [PICTURE]`.

The notebook is opened from a copy of its folder, with parameters that make it a matter of a minute
and an empty store, and all its cells are run. Wrong is: a cell that fails or does not run, a
progress bar that does not move, a table or figure that does not appear, a widget that shows as
plain text, a table that is shown twice, anything on stderr (a red strip), an error in the browser's
console.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from lib.runs.paths import ROOT
from lib.runs.store import store
from tests.site_check import Tab, browser, open_tab

STUDY = "ag_news"
PARAMETERS = {
    "train_rows": 64,
    "dev_rows": 20,
    "test_rows": 60,
    "max_length": 32,
    "epochs": 2,
    "milestones": [1],
    "batch_size": 8,
    "seeds": [1, 2],
}
WIDTH, HEIGHT = 1280, 16_000  # tall enough for a whole study
SECONDS = 600  # that all cells may take
SETTINGS = {  # of JupyterLab: cells out of sight are in the document, too; no question about news
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false"},
}
# what is shown of a bar, such as "epoch 1 of 2:  25%|"
WATCH = r"""window.bars = new Set();
new MutationObserver(() => document.querySelectorAll('.jp-OutputArea-output').forEach(e => {
  for (const [bar] of e.textContent.matchAll(/\d+%\|/g)) bars.add(bar); }))
  .observe(document.body, {childList: true, subtree: true, characterData: true})"""
NOTEBOOK = "jupyterapp.shell.currentWidget"
READY = f"!!window.jupyterapp && {NOTEBOOK}?.sessionContext?.session?.kernel?.status == 'idle'"
DONE = f"""(() => {{
  const cells = {NOTEBOOK}.content.model.toJSON().cells.filter(c => c.cell_type == 'code');
  const failed = cells.some(c => c.outputs.some(o => o.output_type == 'error'));
  const ran = cells.every(c => c.execution_count);
  return {NOTEBOOK}.sessionContext.session.kernel.status == 'idle' && (failed || ran); }})()"""
SHOWN = """[...document.querySelectorAll('.jp-CodeCell')].map(cell => ({
  tables: [...cell.querySelectorAll('.jp-OutputArea table')].map(t => ({
    frame: t.classList.contains('dataframe'),
    rows: [...t.querySelectorAll('tr')].map(r => [...r.cells].map(c => c.innerText.trim()))})),
  figures: [...cell.querySelectorAll('.jp-OutputArea img')].map(i => i.naturalWidth),
  text: [...cell.querySelectorAll('.jp-OutputArea-output')].map(o => o.innerText)}))"""
HEIGHT_OF_CELLS = """Math.ceil(Math.max(
  ...[...document.querySelectorAll('.jp-Cell')].map(c => c.getBoundingClientRect().bottom)))"""
WIDGETS = (
    "HBox(",
    "VBox(",
    "FloatProgress(",
    "IntProgress(",
    "displaying widget",
    "Loading widget",
)


@contextlib.contextmanager
def jupyter(folder: Path, home: Path):
    """The address of a JupyterLab on `folder`, with a token of its own and on loopback only."""
    for name, values in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    folders = {
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "RUNS_DIR": "runs",
    }
    options = (
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        f"--notebook-dir={folder}",
        "--expose-app-in-browser",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    )
    variables = {name: str(home / value) for name, value in folders.items()}
    with (home / "jupyter.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            env=os.environ | variables,
            stdout=log,
            stderr=log,
        )
        try:
            yield address(home / "runtime", server)
        finally:
            server.terminate()
            server.wait()


def address(runtime: Path, server: subprocess.Popen) -> str:
    """Where a server listens, with its token, as soon as it says so. Raises RuntimeError."""
    for _ in range(600):
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # half written
                told = json.loads(file.read_text())
                return f"{told['url']}lab/tree/{STUDY}.ipynb?token={told['token']}"
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError((runtime.parent / "jupyter.log").read_text())


def wait(tab: Tab, condition: str, seconds: float) -> None:
    """Until a JavaScript expression is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not tab.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(f"After {seconds:.0f} s this is not true: {condition}")
        time.sleep(0.5)


def run_all_cells(tab: Tab, url: str) -> None:
    """Open a notebook, run all its cells and wait for their end."""
    screen = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    tab.send("Emulation.setDeviceMetricsOverride", **screen)
    tab.send("Page.navigate", url=url)
    wait(tab, READY, 120)
    tab.evaluate(WATCH)
    tab.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    wait(tab, DONE, SECONDS)
    time.sleep(2)  # what came last is being drawn


def wrong_cells(cells: list[dict]) -> list[str]:
    """What is wrong with the code cells of an executed notebook."""
    wrong = []
    for number, cell in enumerate(cells, 1):
        if not cell["execution_count"]:
            wrong.append(f"code cell {number} did not run")
        for output in cell["outputs"]:
            text = "".join(output.get("text", ""))
            if output["output_type"] == "error":
                wrong.append(f"code cell {number}: {output['ename']}: {output['evalue']}")
            if output.get("name") == "stderr":  # a warning, or the red strip that a bar leaves
                wrong.append(f"code cell {number} writes to stderr: {text.strip()[:200]!r}")
    return wrong


def wrong_views(views: list[dict]) -> list[str]:
    """What is wrong with what code cells show: their tables, figures' widths and texts."""
    wrong = []
    for number, view in enumerate(views, 1):
        tables = view["tables"]
        for index, table in enumerate(tables):
            if any(is_twin(table, other) for other in tables[:index]):
                wrong.append(f"code cell {number} shows a table twice: {table['rows'][0]}")
        if not all(view["figures"]):
            wrong.append(f"code cell {number} has a figure that does not show")
        for text in view["text"]:
            if any(word in text for word in WIDGETS):
                wrong.append(f"code cell {number} shows a widget as text: {text[:80]}")
    for kind in ("tables", "figures"):
        if not any(view[kind] for view in views):
            wrong.append(f"no cell shows {kind}")
    return wrong


def is_twin(table: dict, other: dict) -> bool:
    """Whether one table is the other again: the same, or as a data frame, which has its row
    numbers first, other digits, and perhaps not all rows."""
    if table["frame"] == other["frame"]:
        return table["rows"] == other["rows"]
    frame, shown = (table, other) if table["frame"] else (other, table)
    same_start = frame["rows"][0][1].replace("_", " ") == shown["rows"][0][0]
    return same_start or len(frame["rows"]) == len(shown["rows"])


def look(picture: Path) -> list[str]:
    """What is wrong with the study in JupyterLab; what it shows goes to `picture`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        copy = shutil.copytree(ROOT / "notebooks", home / "notebooks")
        path = copy / f"{STUDY}.ipynb"
        notebook = parameterize_notebook(load_notebook_node(str(path)), PARAMETERS)
        nbformat.write(notebook, path)
        with jupyter(copy, home) as url, open_tab() as tab:
            run_all_cells(tab, url)
            model = tab.evaluate(f"{NOTEBOOK}.content.model.toJSON()")
            views = tab.evaluate(SHOWN)
            bars = tab.evaluate("[...bars]")
            take_picture(tab, picture)
            errors = console_errors(tab.events)
    cells = [cell for cell in model["cells"] if cell["cell_type"] == "code"]
    tables = sum(len(view["tables"]) for view in views)
    figures = sum(len(view["figures"]) for view in views)
    print(f"{len(cells)} code cells, {tables} tables, {figures} figures; bars at {sorted(bars)}")
    wrong = wrong_cells(cells) + wrong_views(views) + errors
    if len(bars) < 3:
        wrong.append(f"no progress bar was seen moving: {bars}")
    return wrong


def take_picture(tab: Tab, file: Path) -> None:
    """Write the notebook that is shown, as far down as it goes, as a picture."""
    height = min(HEIGHT, tab.evaluate(HEIGHT_OF_CELLS) + 40)
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
    picture = tab.send("Page.captureScreenshot", clip=clip)
    file.write_bytes(base64.b64decode(picture["data"]))


def console_errors(events: list[dict]) -> list[str]:
    """The errors that a browser reports from scripts."""
    entries = [e["params"]["entry"] for e in events if e.get("method") == "Log.entryAdded"]
    return [f"{e['text']} {e.get('url', '')}" for e in entries if e["level"] == "error"]


def main(picture: Path | None = None) -> None:
    """Look at the study in JupyterLab; the status says whether anything is wrong."""
    if not browser():
        sys.exit("There is no Chromium here; on Debian or Ubuntu: apt install chromium")
    picture = picture or store() / "lab_check.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    wrong = look(picture)
    print("\n".join(wrong))
    print(f"{STUDY} in JupyterLab: {len(wrong)} things are wrong; {picture} shows it")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
