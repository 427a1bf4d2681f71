"""A run's model shared on the Hugging Face Hub: weights, tokenizer, a model card with its scores,
and the settings that train it again."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from lib.errors import InputError, first_line

SETTINGS = "settings.yaml"


def command(
    run: Annotated[str, typer.Argument(help="a run's folder, or its key")],
    name: Annotated[str, typer.Argument(help="user/name on the Hub")],
    public: Annotated[bool, typer.Option(help="for all to see; else private")] = False,
    dry_run: Annotated[
        Path | None, typer.Option(help="write the files to this folder, and send nothing")
    ] = None,
):
    """Put a run's model on the Hugging Face Hub, with a card of its data, scores and commands."""
    print(push(run, name, public=public, dry_run=dry_run))


def push(run, name: str, *, public: bool = False, dry_run: Path | None = None) -> str:
    """Upload a finished run's model as the repository `name` (user/name), private unless `public`;
    returns its address. With `dry_run`, write a new folder of these files alone, and return it.

    Its data is named, not sent; the names of its labels are. Raises InputError.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        name = ""
    if name.count("/") != 1:
        raise InputError("The name on the Hub is user/name: letters, digits and - _ . in each")
    if dry_run is not None:
        if dry_run.exists():
            raise InputError(f"{dry_run} is there already; name a new folder")
        write_folder(run, name, dry_run)
        return str(dry_run)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "model"
        write_folder(run, name, folder)
        return _upload(folder, name, public=public)


def write_folder(run, name: str, folder: Path) -> None:
    """Write the files that the Hub gets into a new folder. Raises InputError."""
    from lib.runs.files import write_text
    from lib.runs.store import Run, load_run, model_folder
    from lib.use.card import card, front_matter
    from lib.use.results import write_decisions

    run = run if isinstance(run, Run) else load_run(run)
    shutil.copytree(model_folder(run.folder), folder)
    write_decisions(run, folder)  # which runs of a study lack
    write_text(folder / "README.md", card(run, name=name))
    write_text(folder / SETTINGS, front_matter(settings_of(run.config)) + "\n")


def settings_of(config) -> dict:
    """A configuration's fields that differ from the defaults, as JSON has them; files and folders
    by their names alone."""
    return _without_places(config.model_dump(mode="json", exclude_defaults=True))


def _without_places(value):
    if isinstance(value, dict):
        return {name: _without_places(inner) for name, inner in value.items()}
    if isinstance(value, str) and ("/" in value or "\\" in value) and Path(value).exists():
        return Path(value).name
    return value


def _upload(folder: Path, name: str, *, public: bool) -> str:
    """Upload a folder. Raises InputError where the Hub does not take it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
    from huggingface_hub.utils import get_token

    if not get_token():
        raise InputError("The Hub wants to know who you are: hf auth login, or set HF_TOKEN")
    hub = HfApi()
    try:
        address = hub.create_repo(name, private=not public, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload a model")
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        raise InputError(
            f"The Hub did not take {name} ({first_line(error)}); --dry-run FOLDER writes what it "
            "would get"
        ) from None
    return str(address)
