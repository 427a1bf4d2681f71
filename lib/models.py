"""The classifier: a backbone with a head, and how it is built, saved and loaded."""

import json
from pathlib import Path

import torch
from torch import nn

from lib.attention import RECORDED, FastDropout
from lib.backbones import WEIGHTS, load_tokenizer, read_description, resolve_backbone
from lib.devices import to_device
from lib.errors import InputError, lookup
from lib.heads import HEADS
from lib.padding import check_padding, check_words
from lib.pretrained import (
    check_layers,
    distinct,
    load_pretrained,
    load_weights,
    native_options,
    new_backbone,
    save_tokenizer,
    width_of,
    without_pooler,
)
from lib.products import speed_up_products
from lib.windows import averaged, window_of

CLASSIFIER_FILE = "classifier.json"
PROBLEMS = {  # transformers' names of tasks
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
}


class Classifier(nn.Module):
    """A backbone and a head; without a head, the backbone is a sequence-classification model of
    transformers, its own (`native`) head included.

    `separator` is the token after which the second text of a pair begins, for backbones that tell
    the two apart; `unit` (shift, scale) is that of the numbers a regression predicts; rows longer
    than `window` tokens are of several windows, over which logits and embeddings are means.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module | None, num_labels: int):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.num_labels = num_labels
        self.separator: int | None = None
        self.unit: tuple[float, float] | None = None
        self.window: int | None = None
        if hasattr(head, "attach"):  # a head that has a say in what the backbone reads
            head.attach(backbone)
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Dropout):
                    setattr(module, name, FastDropout(child.p))
        speed_up_products(self)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, with_states: bool = False):
        """Logits (batch, num_labels), or the number (batch, 1), for token ids and mask (batch,
        tokens); the mask may stay on the CPU. With `with_states`, what `all_states` gives."""
        if with_states:
            return self.all_states(ids, mask)
        return averaged(self._logits, ids, mask, self.window)

    def _logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.head is None:
            logits = self.backbone(**self.inputs(ids, mask)).logits
        else:
            logits = self.head(*self.last_states(ids, mask))
        return self.in_unit(logits)

    def all_states(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple:
        """Logits, hidden states (batch, tokens, size) from the embeddings to the last layer, and
        where attention is recorded, its weights (batch, heads, tokens, tokens) in each layer."""
        recorded = self.backbone.config._attn_implementation in (RECORDED, "eager")
        options = {"output_hidden_states": True, "output_attentions": recorded}
        outputs = self.backbone(**self.inputs(ids, mask), **options)
        if self.head is None:
            logits = outputs.logits
        else:
            logits = self.head(outputs.last_hidden_state, to_device(mask, ids.device))
        return self.in_unit(logits), outputs.hidden_states, outputs.attentions

    def last_states(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple:
        """The hidden states (batch, tokens, size) that the head reads, and their mask."""
        states = self.backbone(**self.inputs(ids, mask)).last_hidden_state
        return states, to_device(mask, ids.device)

    def embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Document embeddings (batch, size): what the head pools, or a native head reads."""
        return averaged(self._embed, ids, mask, self.window)

    def _embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.head is None:
            return self.backbone.base_model(**self.inputs(ids, mask)).last_hidden_state[:, 0]
        return self.head.pool(*self.last_states(ids, mask))

    def inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict:
        """What the backbone is called with; padding is its own padding token, by which some tell
        where a text ends."""
        mask = to_device(mask, ids.device)
        padding = getattr(self.backbone.config.get_text_config(), "pad_token_id", None)
        if padding is not None:
            ids = ids.masked_fill(mask == 0, padding)
        return {"input_ids": ids, **self._segments(ids), "attention_mask": mask}

    def _segments(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Which tokens are of a pair's second text: those after the first separator."""
        if self.separator is None:
            return {}
        ends = (ids == self.separator).int()
        return {"token_type_ids": ((ends.cumsum(1) - ends) > 0).int()}

    def in_unit(self, logits: torch.Tensor) -> torch.Tensor:
        """A regression's output in the unit of its numbers; other logits as they are."""
        if self.unit is None:
            return logits
        shift, scale = self.unit
        return logits.float() * scale + shift

    @torch.no_grad()
    def start_at(self, logits) -> None:
        """Set the output layer's bias (num_labels,). Raises InputError for a native head."""
        if self.head is None:
            raise InputError(
                f"prior_bias needs a head of {', '.join(HEADS)}; this model has its native one"
            )
        self.head.out.bias.copy_(torch.as_tensor(logits))

    @torch.no_grad()
    def scale_output(self, shift: float, scale: float) -> None:
        """Let the output layer of a regression give shift + scale times what it gives now."""
        linear = (module for module in self.modules() if isinstance(module, nn.Linear))
        output = [module for module in linear if module.out_features == 1][-1]
        output.weight.mul_(scale)
        output.bias.mul_(scale).add_(shift)

    def finish(self) -> None:
        """Put into the weights what training keeps beside them; `save_model` calls this."""
        if self.unit is not None:
            self.scale_output(*self.unit)
            self.unit = None


def build_model(
    backbone: str | Path,
    *,
    head: str = "native",
    num_labels: int,
    label_names: tuple[str, ...] | None = None,
    dropout: float = 0.1,
    layers: int | None = None,
    seed: int = 0,
) -> Classifier:
    """A classifier with a pretrained backbone and a new head, its weights drawn from `seed`.

    `layers` keeps that many of the backbone's layers, from the bottom. Raises InputError.
    """
    from transformers import AutoModel, AutoModelForSequenceClassification

    folder = resolve_backbone(backbone)
    options = {}
    if layers is not None:
        check_layers(layers, backbone)
        options["num_hidden_layers"] = layers
    torch.manual_seed(seed)
    if head == "native":
        options |= native_options(num_labels, label_names)
        model = load_pretrained(AutoModelForSequenceClassification, folder, **options)
        classifier = Classifier(model, None, num_labels)
    else:
        make_head = lookup({"native": None} | HEADS, head, "head")
        model = without_pooler(load_pretrained(AutoModel, folder, **options))
        size = width_of(model.config, folder)
        classifier = Classifier(model, make_head(size, num_labels, dropout), num_labels)
    check_padding(classifier, folder)
    check_words(classifier, folder)
    return classifier


def reads_pairs(model: Classifier, backbone: str | Path) -> None:
    """Prepare a model for pairs of texts."""
    if getattr(model.backbone.config, "type_vocab_size", 0) > 1:
        model.separator = load_tokenizer(resolve_backbone(backbone)).sep_token_id


def save_model(
    model: Classifier,
    folder: Path,
    *,
    head: str,
    dropout: float,
    label_names,
    backbone,
    max_length: int,
    task: str = "classification",
    **more,
) -> None:
    """Write weights (safetensors), configuration and tokenizer; a `native` model loads in
    transformers as it is.

    `max_length` (tokens) and `more` (truncation, stride, windows) say how texts are to be encoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.finish()
    # transformers calls a choice among one class no classification
    one_class = task == "classification" and model.num_labels == 1
    model.backbone.config.problem_type = None if one_class else PROBLEMS.get(task, task)
    _save_weights(model, folder)
    save_tokenizer(backbone, folder, max_length)
    description = {"head": head, "dropout": dropout, "task": task}
    description |= {"label_names": list(label_names), "max_length": max_length} | more
    if model.separator is not None:
        description["separator"] = model.separator
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (folder / CLASSIFIER_FILE).write_text(text, encoding="utf-8")


def _save_weights(model: Classifier, folder: Path) -> None:
    from safetensors.torch import save_file

    if model.head is None:
        model.backbone.save_pretrained(folder)
        return
    model.backbone.config.save_pretrained(folder)
    save_file(distinct(model.state_dict()), folder / WEIGHTS)


def load_model(folder: Path) -> tuple[Classifier, dict]:
    """The classifier that `save_model` wrote, in evaluation mode, and its description. Raises
    InputError."""
    folder = resolve_backbone(Path(folder))
    description = read_description(folder / CLASSIFIER_FILE)
    for name in ("head", "label_names"):
        if name not in description:
            raise InputError(f"{folder / CLASSIFIER_FILE} has no {name}; train the run again")
    label_names = tuple(description["label_names"])
    if description["head"] == "native":
        from transformers import AutoModelForSequenceClassification

        options = native_options(len(label_names), label_names)
        backbone = load_pretrained(AutoModelForSequenceClassification, folder, **options)
        model = Classifier(backbone, None, len(label_names))
    else:
        model = _load_with_head(folder, description["head"], len(label_names))
    check_padding(model, folder)
    model.separator = description.get("separator")
    model.window = window_of(description)
    return model.eval(), description


def _load_with_head(folder: Path, head: str, num_labels: int) -> Classifier:
    backbone = without_pooler(new_backbone(folder))
    new_head = lookup(HEADS, head, "head")(width_of(backbone.config, folder), num_labels, 0.0)
    model = Classifier(backbone, new_head, num_labels)
    load_weights(model, folder)
    return model
