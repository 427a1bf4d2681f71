"""The classifier: a backbone with a head, and how it is built, saved and loaded."""

import json
from pathlib import Path

import torch
from torch import nn

from lib.attention import FastDropout, Packing, first_token_only, pack_attention, register_attention
from lib.backbones import load_tokenizer, resolve_backbone
from lib.errors import InputError, lookup
from lib.heads import HEADS, first_token

CLASSIFIER_FILE = "classifier.json"


class Classifier(nn.Module):
    """A backbone and a head; `native` is the transformers sequence-classification class, head
    included.

    `separator` is the token after which the second text of a pair begins, for backbones that tell
    the two apart; `unit` (shift, scale) is that of the numbers a regression predicts. `projections`
    are trained with a student whose hidden states are narrower or wider than its teacher's, and not
    kept.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module | None, num_labels: int):
        super().__init__()
        self.backbone, self.head, self.num_labels = backbone, head, num_labels
        self.separator: int | None = None
        self.unit: tuple[float, float] | None = None
        self.projections: nn.ModuleList | None = None
        self.packed = False
        self.vocabulary: tuple | None = None  # see `compact`
        if attach := getattr(
            head, "attach", None
        ):  # a head that has a say in what the backbone reads
            attach(backbone)
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Dropout):
                    setattr(module, name, FastDropout(child.p))

    def pack(self) -> "Classifier":
        """Compute without padding from here on: the real tokens of a batch are one row everywhere
        but in attention.

        Where only the first token is read, the last layer computes only that one. Outputs and
        gradients stay what they were, but for rounding; dropout draws other numbers. Raises
        InputError for a backbone it is not written for.
        """
        pack_attention(self.backbone)
        if self.head is None or type(self.head).pool is first_token:
            first_token_only(self.backbone)
        self.packed = True
        return self

    @torch.no_grad()
    def compact(self, used: torch.Tensor) -> None:
        """Keep the embeddings of the tokens `used` only, until `expand`: for training without
        weight decay, which does not move the others. On a CPU an optimizer's step over tens of
        thousands of words takes long."""
        table = self.backbone.get_input_embeddings()
        place = torch.full(
            (len(table.weight),), -1
        )  # an index that fails, for tokens that are not there
        place[used] = torch.arange(len(used))
        self.vocabulary = table, used, place
        self.backbone.set_input_embeddings(
            nn.Embedding.from_pretrained(table.weight[used], freeze=False)
        )

    @torch.no_grad()
    def expand(self) -> None:
        """Put the embeddings of all tokens back, the trained ones in their places."""
        if self.vocabulary:
            table, used, _ = self.vocabulary
            table.weight[used] = self.backbone.get_input_embeddings().weight.to(table.weight.device)
            self.backbone.set_input_embeddings(table)
            self.vocabulary = None

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Document embeddings (batch, size): what the head pools; of a native model, the first
        token's last state."""
        if self.head is None:
            return self.backbone.base_model(**self._inputs(ids, mask)).last_hidden_state[:, 0]
        return self.head.pool(*self._hidden(ids, mask))

    @torch.no_grad()
    def start_at(self, logits) -> None:
        """Set the output layer's bias (num_labels,). Raises InputError for a native head: its
        layer has many names."""
        if self.head is None:
            raise InputError(
                f"prior_bias needs a head of {', '.join(HEADS)}; this model has its native one"
            )
        self.head.out.bias.copy_(torch.as_tensor(logits))

    def _segments(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Which tokens are of a pair's second text: those after the first separator."""
        if self.separator is None:
            return {}
        ends = (ids == self.separator).int()
        return {"token_type_ids": ((ends.cumsum(1) - ends) > 0).int()}

    def _inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict:
        """What the backbone is called with."""
        inputs = {"input_ids": ids, **self._segments(ids)}
        if not self.packed:
            return inputs | {"attention_mask": mask.to(ids.device)}
        packing = Packing(mask, ids.device)
        inputs["position_ids"] = packing.positions(ids, self.backbone.config)
        if self.vocabulary:
            inputs["input_ids"] = self.vocabulary[2].to(ids.device)[ids.long()]
        return {name: packing.pack(value) for name, value in inputs.items()} | {"packing": packing}

    def _hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The hidden states (batch, tokens, size) that the head reads, and their mask; packed,
        maybe of one token."""
        own = mask.to(ids.device)
        if ids.is_floating_point():
            return ids, own
        inputs = self._inputs(ids, mask)
        hidden = self.backbone(**inputs).last_hidden_state
        if not self.packed:
            return hidden, own
        if type(self.head).pool is first_token:
            return hidden, own[:, :1]
        return inputs["packing"].pad(hidden), own

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, inside: bool = False):
        """Logits (batch, num_labels), or the number (batch, 1), for token ids and mask (batch,
        tokens); the mask may stay on the CPU, where lengths are told from it.

        In the place of ids, a head also takes the vector of each document, (batch, 1, size) (see
        `lib.runs.frozen`). With `inside`, what that method gives.
        """
        if inside:
            return self.inside(ids, mask)
        if self.head is None:
            logits = self.backbone(**self._inputs(ids, mask)).logits
        else:
            logits = self.head(*self._hidden(ids, mask))
        return logits if self.unit is None else logits.float() * self.unit[1] + self.unit[0]

    def inside(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple:
        """Logits, hidden states, embeddings first, each (batch, tokens, size), and where
        attention is recorded, that of each layer (batch, heads, tokens, tokens). Not for packed
        models."""
        recorded = self.backbone.config._attn_implementation == "recorded"
        found = self.backbone(
            **self._inputs(ids, mask), output_hidden_states=True, output_attentions=recorded
        )
        logits = (
            found.logits
            if self.head is None
            else self.head(found.last_hidden_state, mask.to(ids.device))
        )
        logits = logits if self.unit is None else logits.float() * self.unit[1] + self.unit[0]
        return logits, found.hidden_states, found.attentions

    def record_attention(self) -> None:
        """Compute attention in a way that can hand out its weights."""
        self.backbone.set_attn_implementation("recorded")

    @torch.no_grad()
    def fold_unit(self) -> None:
        """Put the unit into the output layer, so that the weights alone predict the numbers."""
        if self.unit is not None:
            shift, scale = self.unit
            linear = [module for module in self.modules() if isinstance(module, nn.Linear)]
            output = [module for module in linear if module.out_features == 1][-1]
            output.weight.mul_(scale)
            output.bias.mul_(scale).add_(shift)
            self.unit = None


def _quiet():
    """No progress bar and no report of the head's missing weights: a new head is what is wanted
    here."""
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
    layers: int | None = None,
    packed: bool = False,
    seed: int = 0,
) -> Classifier:
    """A classifier with pretrained backbone and a new head, its weights drawn from `seed`.

    `layers` keeps that many of the backbone's layers, from the bottom; `packed` computes without
    padding (`Classifier.pack`). Raises InputError.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    _quiet()
    folder, options = (
        resolve_backbone(backbone),
        {"attn_implementation": register_attention(), "dtype": torch.float32},
    )
    if layers is not None:
        depth = AutoConfig.from_pretrained(folder).num_hidden_layers
        if layers > depth:
            raise InputError(f"layers is {layers}; the backbone {backbone} has {depth}")
        options["num_hidden_layers"] = layers
    torch.manual_seed(seed)
    if head == "native":
        names = dict(enumerate(label_names or map(str, range(num_labels))))
        options |= {
            "num_labels": num_labels,
            "id2label": names,
            "label2id": {v: k for k, v in names.items()},
        }
        options |= {
            "ignore_mismatched_sizes": True
        }  # a backbone that was fine-tuned before gets a new final layer
        model = Classifier(
            AutoModelForSequenceClassification.from_pretrained(folder, **options), None, num_labels
        )
        return model.pack() if packed else model
    make_head = lookup({"native": None} | HEADS, head, "head")
    model = AutoModel.from_pretrained(folder, **options)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # the heads read the hidden states; an unused layer would only confuse weight decay
    model = Classifier(model, make_head(model.config.hidden_size, num_labels, dropout), num_labels)
    return model.pack() if packed else model


def reads_pairs(model: Classifier, backbone: str | Path) -> None:
    """Prepare a model for pairs of texts."""
    config = model.backbone.config
    if getattr(config, "type_vocab_size", 0) > 1:
        model.separator = load_tokenizer(resolve_backbone(backbone)).sep_token_id


PROBLEMS = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
}


def save_model(
    model: Classifier,
    folder: Path,
    *,
    head: str,
    dropout: float,
    label_names,
    backbone,
    task="classification",
    **reading,
):
    """Write weights (safetensors), configuration and tokenizer; a `native` model loads in
    transformers as it is.

    `reading` (max_length, truncation) says how texts are to be encoded for it, and what else to
    know of them.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    model.fold_unit()
    model.expand()
    model.backbone.config.problem_type = PROBLEMS.get(task, task)
    if head == "native":
        model.backbone.save_pretrained(folder)
    else:
        model.backbone.config.save_pretrained(folder)
        save_file(
            {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors"
        )
    load_tokenizer(resolve_backbone(backbone)).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_max_length"] = reading[
        "max_length"
    ]  # a pipeline that truncates then does it where training did
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    )
    about = {
        "head": head,
        "dropout": dropout,
        "task": task,
        "label_names": list(label_names),
    } | reading
    about |= {"separator": model.separator} if model.separator is not None else {}
    (folder / CLASSIFIER_FILE).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def load_model(folder: Path) -> tuple[Classifier, dict]:
    """The classifier that `save_model` wrote, in evaluation mode, and what is said of it
    (labels, max_length)."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    about = json.loads((Path(folder) / CLASSIFIER_FILE).read_text())
    if about["head"] == "native":
        model = build_model(
            folder, num_labels=len(about["label_names"]), label_names=tuple(about["label_names"])
        )
    else:
        config = AutoConfig.from_pretrained(folder)
        backbone = AutoModel.from_config(config, attn_implementation=register_attention())
        backbone.pooler = None
        labels = len(about["label_names"])
        model = Classifier(
            backbone, lookup(HEADS, about["head"], "head")(config.hidden_size, labels, 0.0), labels
        )
        model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    model.separator = about.get("separator")
    return model.eval(), about
