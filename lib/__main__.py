"""The command line: `python -m lib --help` lists what it does."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lib.errors import InputError, StoppedError, reason_of, system_error
from lib.publish.settings import assignments, read_yaml
from lib.runs.secrets import without_passwords
from lib.use import push

# beside a RunConfig's fields
HOW_TO_TRAIN = ("tracker", "checkpoint_every", "backend", "processes")

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command("push")(push.command)


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
def study(
    name: str,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="override parameters")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="a YAML file that overrides parameters")
    ] = None,
    profile: Annotated[str, typer.Option(help="demo, small, full or paper")] = "demo",
    as_: Annotated[str | None, typer.Option("--as", help="the name of the page's folder")] = None,
    from_results: Annotated[
        bool, typer.Option("--from-results", help="make the page anew of what it publishes")
    ] = False,
):
    """Execute a study's notebook and publish its page in results/."""
    from lib.publish.study import publish_from_results, run_study

    if not from_results:
        folder = run_study(name, profile, assignments(words or []), as_, config=config)
        return print_page(folder)
    if words or config or as_:
        raise InputError(
            "--from-results takes a page as it is: leave parameters, --config, --as out"
        )
    folder, reasons = publish_from_results(name, profile)
    for reason in reasons:
        print(f"Kept as it was: {reason}")
    print_page(folder)


def print_page(folder: Path) -> None:
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"The page: {shown / 'README.md'}")


@app.command()
def pages(folders: list[Path]):
    """Make pages anew of what they publish: nothing is trained."""
    from lib.publish.study import publish_from_results

    for folder in folders:
        name, profile = folder.resolve().parts[-2:]
        _, reasons = publish_from_results(name, profile)
        print(f"{folder}: made anew" + "".join(f"\n  kept as it was: {line}" for line in reasons))


@app.command()
def train(
    config: Path,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value …")] = None,
):
    """Train one run from a YAML file; the last line is the run's folder."""
    from lib.fast.parallel import leave
    from lib.runs.config import RunConfig
    from lib.runs.pool import run
    from lib.use.results import write_results

    values = read_yaml(config)
    for name, value in assignments(overrides or []).items():
        set_value(values, name, value)
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
    workers: Annotated[int, typer.Option(min=1, help="processes to start on this machine")] = 1,
    cluster: Annotated[
        str | None, typer.Option(help="a Dask scheduler's address or file, for its workers")
    ] = None,
):
    """Run a search space from a YAML file; the same command elsewhere, with the same runs/, joins
    in. Ends with the best run's folder."""
    from lib.runs.search import Sweep
    from lib.runs.search import sweep as run_sweep
    from lib.use.results import write_results

    runs = run_sweep(Sweep(**read_yaml(spec)), workers=workers, cluster=cluster)
    write_results(runs[0])
    print(runs[0].folder)


@app.command()
def predict(
    run: str,
    file: Annotated[
        str, typer.Argument(help="a table, or a file with a text a line; -: input")
    ] = "-",
    out: Annotated[Path | None, typer.Option(help="a file; a stopped command goes on")] = None,
    text: Annotated[str | None, typer.Option(help="a table's column; else the run's own")] = None,
    text_pair: Annotated[str | None, typer.Option(help="the second text's column")] = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quotes: Annotated[bool | None, typer.Option(help="whether quotes enclose fields")] = None,
    escape: Annotated[str | None, typer.Option(help="one character, or backslash")] = None,
    sheet: Annotated[str | None, typer.Option(help="of an Excel workbook")] = None,
    header: Annotated[bool | None, typer.Option(help="whether line 1 names columns")] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="columns to write, too, such as id,date")
    ] = None,
    safe_csv: Annotated[
        bool, typer.Option(help="an apostrophe before a leading = + - @ tab CR, for spreadsheets")
    ] = False,
):
    """Label texts with a run's model: CSV with text, label, probability. A file is read as the
    run's own data was, unless options say otherwise."""
    from lib.runs.store import load_run
    from lib.use.inputs import describe_reading, is_table, reading_of
    from lib.use.predict import is_standard_output, predict_file

    if file != "-" and not Path(file).is_file():
        raise InputError(f"There is no file {file}")
    trained = load_run(run)
    options = {"delimiter": delimiter, "encoding": encoding, "quotes": quotes, "header": header}
    options |= {"text_pair": text_pair, "escape": escape, "sheet": sheet}
    reading = reading_of(trained.config, **options)
    column = text or (trained.config.text if is_table(file) else None)
    print(describe_reading(file, column, reading), file=sys.stderr)
    count = predict_file(trained, file, out, column, reading, keep=keep or (), safe_csv=safe_csv)
    if out and not is_standard_output(out):
        print(f"{count:,} texts: {out}")


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
    from lib.readers import Reading
    from lib.runs.keys import corpus_of
    from lib.runs.store import load_run, model_folder
    from lib.use.export import export as export_model
    from lib.use.inputs import rows_of

    folder = model_folder(run)
    if texts is None:
        documents = corpus_of(load_run(folder.parent).config).dev.documents
    elif texts.is_file():
        documents = [row.text for row in rows_of(str(texts), None, Reading())]
    else:
        raise InputError(f"There is no file {texts}")
    out = out or folder.parent / "onnx"
    result = export_model(folder, documents, out, format=format, quantize=quantize)
    difference = f"{result['largest_difference']:.1g}"
    print(f"On {result['texts']} texts, logits are PyTorch's within {difference}")
    if quantize:
        agreement = f"agreement {result[quantize]['agreement']:.1%}"
        difference = f"{result[quantize]['largest_difference']:.2g}"
        print(f"{quantize}: {agreement}, logits within {difference}")
    print(out)


@app.command()
def verify(folders: list[Path]):
    """Make published pages again of what they publish, and compare every byte."""
    from lib.publish.verify import MEANING, describe
    from lib.publish.verify import verify as verify_page

    failed = False
    for folder in folders:
        try:
            check = verify_page(folder)
        except InputError as error:
            print(f"{folder}: {error}")
            failed = True
            continue
        print("\n".join(describe(folder, check)), flush=True)
        failed = failed or bool(check.wrong)
    print(MEANING)
    raise typer.Exit(code=int(failed))


@app.command()
def site(out: Annotated[Path, typer.Argument(help="the folder to build it in")] = Path("site")):
    """Build the published pages as a static site."""
    from lib.publish.site import build

    print(f"{build(out)} pages: {out / 'index.html'}")


@app.command()
def show(key: Annotated[str, typer.Argument(help="a run's key, or its beginning")]):
    """Say what a run is: how it ended, its configuration against the defaults, its curves, the
    pages that show it."""
    from lib.publish.describe import describe

    print(describe(key))


def main() -> None:
    """Run the command line; mistakes are one sentence and a status."""
    words = sys.argv[1:]
    try:
        if words[:1] == ["study"] and "-p" in words:
            raise InputError("-p is no option; write name=value, as in learning_rate=5e-5")
        app(args=words, prog_name="python -m lib")
    except (InputError, ChildProcessError) as error:
        sys.exit(f"Error: {without_passwords(str(error))}")
    except BrokenPipeError:
        sys.exit(1)
    except StoppedError as stop:
        print(f"Stopped: {stop}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:  # a full disk, a folder that cannot be written
        refusal = system_error(error)
        if refusal is None:
            raise
        reason = reason_of(refusal)
        sys.exit(f"Error: {refusal.filename or 'a file'} cannot be read or written: {reason}")


if __name__ == "__main__":
    main()
