"""Run a study: its notebook executed with checked parameters, and its page published."""

import re
import time
from pathlib import Path

from lib.errors import InputError
from lib.publish.checks import check_study
from lib.publish.parameters import (
    as_words,
    checked,
    defaults,
    folder_as,
    folder_of,
    notebook_of,
    profiles,
    read_profile,
    without_engine,
)
from lib.publish.places import places_of, published
from lib.publish.settings import read_yaml, to_parameters
from lib.runs.paths import ROOT, store

RESULTS = ROOT / "results"


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
    or `publish_as`; with a file of one's own, to one that Git ignores. Raises InputError.
    """
    notebook = notebook_of(name)
    allowed = defaults(notebook)
    parameters = read_profile(name, profile, allowed)
    changed = _changes(allowed, config, overrides or {})
    parameters |= changed
    shown = without_engine(changed)
    _check_columns(changed, parameters)
    _check_folder_name(publish_as, name, profile, shown)
    dataset = (allowed | parameters).get("dataset", "")
    folder_name = folder_as(publish_as, dataset) if publish_as else folder_of(profile, shown)
    folder = RESULTS / name / folder_name
    check_study(name, allowed | parameters, changed)
    from lib.publish.notebook import blocks_of, execute  # mistakes are told before

    start = time.perf_counter()
    output = store() / "notebooks" / f"{name}-{folder.name}.ipynb"
    executed = execute(notebook, parameters, output, import_publisher)
    from lib.publish.folder import command_of, publish_runs

    blocks = blocks_of(executed)
    words = as_words(published(shown, places_of(allowed | parameters)))
    words = f"{words} --as {publish_as}".strip() if publish_as else words
    header = {
        "study": name,
        "folder": folder.name,
        "profile": profile,
        "command": command_of(name, profile, words, needs_data=needs_data(blocks)),
        "parameters": without_engine(allowed | parameters),
    }
    publish_runs(blocks, folder, header, time.perf_counter() - start)
    return folder


def _changes(allowed: dict, config: Path | None, overrides: dict) -> dict:
    """The parameters that a file of settings and then the command line change, checked."""
    sources = [(read_yaml(config), config.name)] if config else []
    changed: dict = {}
    for values, where in [*sources, (overrides, "command line")]:
        changed |= checked(to_parameters(values, allowed, where), allowed, where)
    return changed


def import_publisher() -> None:
    """Import what publishes a page, with torch and what it uses later, which takes seconds."""
    import matplotlib.backends.backend_agg  # noqa: F401
    import sklearn.model_selection  # noqa: F401

    import lib.publish.folder  # noqa: F401


def publish_from_results(name: str, profile: str = "demo") -> tuple[Path, list[str]]:
    """Publish a page again from what it publishes; returns its folder and what was kept as it was.

    Nothing is trained, and no store is needed. Raises InputError.
    """
    from lib.publish.blocks import read_page
    from lib.publish.folder import publish_again

    notebook_of(name)
    folder = RESULTS / name / profile
    read_page(folder)  # raises where it is damaged, or no page
    return folder, publish_again(folder)


def needs_data(blocks: list[dict]) -> bool:
    """Whether the runs that blocks name were trained on a folder below DATA_DIR."""
    from lib.runs.store import load_run

    keys = [key for block in blocks if block["kind"] == "runs" for key in block["keys"]]
    return any("$DATA_DIR" in load_run(key).status["data"]["source"] for key in keys)


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
