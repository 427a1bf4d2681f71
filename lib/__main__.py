"""The command line: python -m lib study | train | sweep | predict | export | verify | site |
show."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from lib.errors import InputError, StoppedError
from lib.publish.settings import assignments, read_value, read_yaml

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def pairs(tokens: list[str]) -> dict:
    """`name value name value` as a dictionary, the values read as YAML."""
    return {
        name: read_value(name, value) for name, value in zip(tokens[::2], tokens[1::2], strict=True)
    }


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
    p: Annotated[
        list[str] | None, typer.Option("-p", help="-p NAME VALUE overrides one parameter")
    ] = None,
    as_: Annotated[str | None, typer.Option("--as", help="the name of the page's folder")] = None,
):
    """Execute a study's notebook and publish its page in results/."""
    from lib.publish.study import run_study

    settings = [(read_yaml(config), config.name)] if config else []
    settings.append((pairs([part for item in p or [] for part in item.split("\0", 1)]), "-p"))
    settings.append((assignments(words or []), "command line"))
    folder = run_study(name, profile, settings, as_)
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"The page: {shown / 'README.md'}")


@app.command()
def train(
    config: Path,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value …")] = None,
):
    """Train one run from a YAML file; the last line is the run's folder."""
    from lib.fast.parallel import leave
    from lib.runs.config import RunConfig
    from lib.runs.pool import run

    values = read_yaml(config)
    for key, value in assignments(overrides or []).items():
        outer, _, inner = key.rpartition(".")
        if outer:
            if not isinstance(values.get(outer, {}), dict):
                raise InputError(f"Unknown parameter {key!r}: {outer} is {values[outer]!r}")
            values[outer] = values.get(outer, {}) | {inner: value}
        else:
            values[key] = value
    how = {
        name: values.pop(name)
        for name in ("tracker", "checkpoint_every", "backend", "processes")
        if name in values
    }
    finished = run(RunConfig(**values), **how)
    status = finished.status
    if status["status"] == "diverged":
        print(f"The run diverged: {status['reason']}")
    print(finished.folder)
    leave()


@app.command()
def sweep(
    spec: Path,
    workers: Annotated[int, typer.Option(min=1, help="processes to start on this machine")] = 1,
    storage: Annotated[
        str | None, typer.Option(help="a database URL; without it a journal file in runs/")
    ] = None,
):
    """Run a search space from a YAML file; the same command elsewhere joins in. Ends with the
    best run's folder."""
    from lib.runs.sweep import Sweep
    from lib.runs.sweep import sweep as run_sweep

    runs = run_sweep(Sweep(**read_yaml(spec)), workers=workers, storage=storage)
    print(runs[0].folder if runs else "All runs are on other machines")


@app.command()
def predict(
    run: str,
    file: Annotated[
        str, typer.Argument(help="a file with a text a line, or a table with --text; - for input")
    ] = "-",
    out: Annotated[
        Path | None, typer.Option(help="the file to write; a stopped command goes on with it")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="the column of a CSV, TSV, JSON or Parquet file")
    ] = None,
    text_pair: Annotated[Optional[str], typer.Option(help="the column of the second text")] = None,  # noqa: UP045
    delimiter: Annotated[Optional[str], typer.Option(help="of CSV")] = None,  # noqa: UP045
    encoding: str = "utf-8",
    header: Annotated[bool, typer.Option(help="whether the first line names the columns")] = True,
):
    """Label texts with a run's model; CSV with text, label and probability."""
    from lib.readers import Reading
    from lib.runs.store import load_run
    from lib.use.predict import predict_file

    if file != "-" and not Path(file).is_file():
        raise InputError(f"There is no file {file}")
    reading = Reading(text_pair=text_pair, delimiter=delimiter, encoding=encoding, header=header)
    count = predict_file(load_run(run), file, out, text, reading)
    if out:
        print(f"{count:,} texts: {out}")


@app.command()
def export(
    run: str,
    format: Annotated[str, typer.Option(help="onnx")] = "onnx",
    quantize: Annotated[
        str | None, typer.Option(help="int8: a second file, with 8-bit weights")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="a file with a text a line to check the export on")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="a folder; without it, onnx/ in the run's own")
    ] = None,
):
    """Export a run's model for another runtime, checked on the run's dev texts, or those given."""
    from lib.readers import Reading
    from lib.runs.store import corpus_of, load_run, model_folder
    from lib.use.export import export as export_model
    from lib.use.predict import texts_of

    folder = model_folder(run)
    if texts and not texts.is_file():
        raise InputError(f"There is no file {texts}")
    given = [text for _, text in texts_of(str(texts), None, Reading())] if texts else None
    given = given or corpus_of(load_run(folder.parent).config).dev.documents
    out = out or folder.parent / "onnx"
    found = export_model(folder, given, out, format=format, quantize=quantize)
    print(
        f"On {found['texts']} texts, logits are PyTorch's within {found['largest_difference']:.1g}"
    )
    if quantize:
        told = found[quantize]
        print(
            f"{quantize}: agreement {told['agreement']:.1%}, logits within {told['largest_difference']:.2g}"
        )
    print(out)


@app.command()
def verify(folders: list[Path]):
    """Compute every table and finding of published pages again from their predictions; check
    histories and figures."""
    from lib.publish.verify import verify as verify_page

    failed = 0
    for folder in folders:
        compared, wrong, left = verify_page(folder)
        print(f"{folder}: {compared} cells, sentences and figures checked, {len(wrong)} differ")
        for line in left:
            print(f"  not checked here: {line}")
        for line in wrong:
            print(f"  {line}")
        failed += bool(wrong)
    raise typer.Exit(code=1 if failed else 0)


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


def join_pairs(arguments: list[str]) -> list[str]:
    """`-p name value` as one word, because an option of a command line takes a single value."""
    joined, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        joined.append(word)
        if word == "-p":
            if len(rest) < 2:
                raise InputError("-p wants a name and a value: -p learning_rate 5e-5")
            joined.append(f"{rest.pop(0)}\0{rest.pop(0)}")
    return joined


def main() -> None:
    try:
        app(args=join_pairs(sys.argv[1:]), prog_name="python -m lib")
    except InputError as error:
        sys.exit(f"Error: {error}")
    except BrokenPipeError:
        sys.exit(1)
    except ChildProcessError as error:
        sys.exit(f"Error: {error}")
    except StoppedError as stop:
        print(f"Stopped: {stop}", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # a full disk, a folder that cannot be written
        sys.exit(
            f"Error: {error.filename or 'a file'} cannot be read or written: {(error.strerror or str(error)).lower()}"
        )


if __name__ == "__main__":
    main()
