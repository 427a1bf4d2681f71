"""The command line: `python -m lib --help` lists what it does."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lib.errors import InputError, StoppedError, reason_of, system_error, without_passwords
from lib.publish.commands import compare, pages, show, site, study, verify
from lib.publish.settings import assignments, check_run_settings, read_yaml
from lib.use import push

# beside a RunConfig's fields
HOW_TO_TRAIN = ("tracker", "checkpoint_every", "backend", "processes")
TABLES = (".csv", ".tsv", ".jsonl", ".xlsx", ".parquet")  # that may be taken for settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command("push")(push.command)
for about_pages in (study, pages, verify, compare, site, show):
    app.command()(about_pages)


def settings_in(path: Path) -> dict:
    """The settings in a YAML file. Raises InputError."""
    if path.suffix.lower() in TABLES:
        raise InputError(
            f"{path.name} is a table; name a YAML file of settings, whose dataset is {path}"
        )
    return read_yaml(path)


def set_value(values: dict, name: str, value) -> None:
    """Set `name`, or `section.name`, in nested settings. Raises InputError."""
    section, _, inner = name.rpartition(".")
    if not section:
        values[name] = value
        return
    if not isinstance(values.get(section, {}), dict):
        raise InputError(f"Unknown parameter {name!r}: {section} is {values[section]!r}")
    values[section] = values.get(section, {}) | {inner: value}


@app.command()
def train(
    config: Path,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value …")] = None,
):
    """Train one run from a YAML file; the last line is the run's folder."""
    from lib.fast.parallel import leave
    from lib.many.pool import run
    from lib.runs.config import RunConfig
    from lib.use.results import write_results

    values = settings_in(config)
    for name, value in assignments(overrides or []).items():
        set_value(values, name, value)
    check_run_settings(values, config.name)
    how = {name: values.pop(name) for name in HOW_TO_TRAIN if name in values}
    finished = run(RunConfig(**values), **how)
    write_results(finished)
    status = finished.status
    if status["status"] == "diverged":
        print(f"The run diverged: {status['reason']}")
    print(finished.folder)
    leave()


@app.command()
def sweep(
    spec: Path,
    workers: Annotated[int, typer.Option(help="processes to start on this machine")] = 1,
    cluster: Annotated[
        str | None, typer.Option(help="a Dask scheduler's address or file, for its workers")
    ] = None,
):
    """Run a search space from a YAML file; the same command elsewhere, with the same runs/, joins
    in. Ends with the best run's folder."""
    from lib.many.search import Sweep
    from lib.many.search import sweep as run_sweep
    from lib.use.results import write_results

    runs = run_sweep(Sweep(**settings_in(spec)), workers=workers, cluster=cluster)
    write_results(runs[0])
    print(runs[0].folder)


@app.command()
def predict(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [FILE]",
            help="runs, of several the mean of their logits; then a table, or a file with a text "
            "a line (-: input)",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="a file; a stopped command goes on")] = None,
    text: Annotated[str | None, typer.Option(help="a table's column; else the run's own")] = None,
    text_pair: Annotated[str | None, typer.Option(help="the second text's column")] = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: Annotated[bool | None, typer.Option(help="whether quotes enclose fields")] = None,
    escape: Annotated[str | None, typer.Option(help="one character, or backslash")] = None,
    sheet: Annotated[str | None, typer.Option(help="of an Excel workbook")] = None,
    header: Annotated[bool | None, typer.Option(help="whether line 1 names columns")] = None,
    on_bad_rows: Annotated[str | None, typer.Option(help="stop; quarantine: no label")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="a text a line, in any file")] = False,
    keep: Annotated[list[str] | None, typer.Option(help="columns to write, too: id,date")] = None,
    every: Annotated[bool, typer.Option("--all", help="every label's probability, too")] = False,
    top: Annotated[int | None, typer.Option(help="the best labels, so many")] = None,
    unsure: Annotated[int | None, typer.Option(help="so many, the least sure")] = None,
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="without dev's thresholds and temperature")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="by the run's export in 8 bits: faster, less exact")
    ] = False,
    safe_csv: Annotated[
        bool, typer.Option(help="an apostrophe before a leading = + - @ tab CR, for spreadsheets")
    ] = False,
):
    """Label texts with a run's model: CSV with text, label, probability. A file is read as the
    run's own data was, unless options say otherwise."""
    from lib.use.command import label

    reading = {"delimiter": delimiter, "encoding": encoding, "quotes": quotes, "escape": escape}
    reading |= {"text_pair": text_pair, "sheet": sheet, "header": header}
    reading |= {"on_bad_rows": on_bad_rows}
    written = {"keep": keep or (), "every": every, "top": top, "safe_csv": safe_csv}
    how = {"lines": lines, "as_trained": as_trained, "int8": int8, "unsure": unsure}
    label(words, out, text, reading=reading, **how, **written)


@app.command()
def export(
    run: str,
    format: Annotated[str, typer.Option(help="onnx")] = "onnx",
    quantize: Annotated[str | None, typer.Option(help="int8: also a file of 8-bit weights")] = None,
    texts: Annotated[
        Path | None, typer.Option(help="a file with a text a line to check the export on")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="a folder; else onnx/ in the run's")] = None,
):
    """Export a run's model for another runtime, checked on the run's dev texts, or those given."""
    from lib.reading.options import Reading
    from lib.runs.keys import corpus_of
    from lib.runs.seal import STATUS
    from lib.runs.store import load_run, model_folder
    from lib.use.export import EXPORTED
    from lib.use.export import export as export_model
    from lib.use.inputs import rows_of
    from lib.use.results import write_decisions

    folder = model_folder(run)
    if texts is None:
        documents = corpus_of(load_run(folder.parent).config).dev.documents
    elif texts.is_file():
        documents = [row.text for row in rows_of(str(texts), None, Reading())]
    else:
        raise InputError(f"There is no file {texts}")
    out = out or folder.parent / EXPORTED
    how = {"format": format, "quantize": quantize}
    if (folder.parent / STATUS).is_file():  # else it is a model without a run
        how["write_more"] = partial(write_decisions, load_run(folder.parent))
    result = export_model(folder, documents, out, **how)
    difference = f"{result['largest_difference']:.1g}"
    print(f"On {result['texts']} texts, logits are PyTorch's within {difference}")
    if quantize:
        agreement = f"agreement {result[quantize]['agreement']:.1%}"
        difference = f"{result[quantize]['largest_difference']:.2g}"
        print(f"{quantize}: {agreement}, logits within {difference}")
    print(out)


def main() -> None:
    """Run the command line; mistakes are one sentence and a status."""
    words = sys.argv[1:]
    try:
        if words[:1] == ["study"] and "-p" in words:
            raise InputError("-p is no option; write name=value, as in learning_rate=5e-5")
        app(args=words, prog_name="python -m lib")
    except (InputError, ChildProcessError) as error:
        sys.exit(f"Error: {without_passwords(str(error))}")
    except StoppedError as stop:
        print(f"Stopped: {stop}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:  # a full disk, a folder that cannot be written
        refusal = system_error(error)
        if refusal is None:
            raise
        reason = reason_of(refusal)
        sys.exit(f"Error: {refusal.filename or 'a file'} cannot be read or written: {reason}")
    finally:
        flush_printed()


def flush_printed() -> None:
    """Have what was printed read by now; where nobody reads on, as behind `| head`, end quietly."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again
        sys.exit(1)


if __name__ == "__main__":
    main()
