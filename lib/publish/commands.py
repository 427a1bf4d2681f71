"""The commands about pages: study, pages, verify, compare, site and show."""

from pathlib import Path
from typing import Annotated

import typer

from lib.errors import InputError
from lib.publish.settings import assignments


def study(
    name: str,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="override parameters")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="a YAML file that overrides parameters")
    ] = None,
    profile: Annotated[str, typer.Option(help="demo, small, base, full or paper")] = "demo",
    as_: Annotated[str | None, typer.Option("--as", help="the name of the page's folder")] = None,
    from_results: Annotated[
        bool, typer.Option("--from-results", help="make the page anew of what it publishes")
    ] = False,
):
    """Execute a study's notebook and publish its page in results/."""
    from lib.publish.study import publish_from_results, run_study

    if not from_results:
        folder = run_study(name, profile, assignments(words or []), as_, config=config)
    elif words or config or as_:
        raise InputError(
            "--from-results takes a page as it is: leave parameters, --config, --as out"
        )
    else:
        folder, reasons = publish_from_results(name, profile)
        for reason in reasons:
            print(f"Kept as it was: {reason}")
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"The page: {shown / 'README.md'}")


def pages(folders: list[Path]):
    """Make pages anew of what they publish: nothing is trained."""
    from lib.publish.study import publish_from_results

    for folder in folders:
        name, profile = folder.resolve().parts[-2:]
        _, reasons = publish_from_results(name, profile)
        print(f"{folder}: made anew" + "".join(f"\n  kept as it was: {line}" for line in reasons))


def verify(folders: list[Path]):
    """Make published pages again of what they publish, and compare every byte."""
    from lib.publish.verify import MEANING, verify_all

    all_well = True
    for lines, is_well in verify_all(folders):
        print("\n".join(lines), flush=True)
        all_well = all_well and is_well
    print(MEANING)
    raise typer.Exit(code=int(not all_well))


def compare(
    page: Annotated[Path, typer.Argument(help="the folder of a published page")],
    other: Annotated[Path, typer.Argument(help="a page of the same study, made elsewhere")],
):
    """Say whether a page was reproduced: which scores of another lie within its intervals, and
    which verdicts and findings are the same."""
    from lib.publish.reproduced import compare_published, describe

    print("\n".join(describe(compare_published(page, other), str(page))))


def site(out: Annotated[Path, typer.Argument(help="the folder to build it in")] = Path("site")):
    """Build the published pages as a static site."""
    from lib.publish.site import build

    print(f"{build(out)} pages: {out / 'index.html'}")


def show(
    key: Annotated[str, typer.Argument(help="a run's key, or its beginning")],
    other: Annotated[str | None, typer.Argument(help="another run, to see both beside")] = None,
):
    """Say what a run is: how it ended, its configuration against the defaults, its curves, the
    pages that show it. Of two runs: what differs, in settings, scores and labels."""
    if other is None:
        from lib.publish.describe import describe

        print(describe(key))
        return
    from lib.publish.side_by_side import compare_runs

    print(compare_runs([key, other]))
