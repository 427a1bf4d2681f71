"""What is trained on and with: documents, and the same model for both loops."""

import dataclasses
import os
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import TensorDataset

from lib.backbones import load_tokenizer, resolve_backbone
from lib.data import Corpus, load_corpus
from lib.demo import news
from lib.errors import InputError
from lib.fast.packing import PackedClassifier, pack
from lib.models import Classifier, build_model
from lib.tokenization import encode
from tests.bench.settings import DEVICE, Settings

# tokens of AG News' items at every 5 % of a 26,843-row sample, special tokens included, cut at 128
AG_NEWS_LENGTHS = (
    *(16, 31, 35, 38, 41, 43, 44, 46, 48, 49, 51, 52, 54, 56, 58, 60, 62, 66, 71, 84, 128),
)


@dataclasses.dataclass(frozen=True)
class Work:
    """What the parts have in common; each piece is made when a part first asks for it."""

    settings: Settings
    folder: Path  # of the page, whose tables may be there

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus to learn and to label, and, if it is real, to measure speed on."""
        return corpus_of(self.settings)

    @cached_property
    def documents(self) -> tuple[TensorDataset, str]:
        """The documents that speed is measured on, and where they come from. Raises InputError."""
        settings = self.settings
        dataset, source = documents_of(settings, self.corpus)
        most_steps = max(settings.steps, settings.warm_up, settings.gate_steps)
        if len(dataset) < settings.batch_size * most_steps:
            raise InputError(
                f"{len(dataset)} documents are too few for {most_steps} steps of "
                f"{settings.batch_size}"
            )
        return dataset, source

    @cached_property
    def start(self) -> Classifier:
        """The model that everything starts from."""
        return new_model(self.settings, self.corpus.num_labels)

    @cached_property
    def equality(self) -> pd.DataFrame:
        """What the equality gate saw (`tests.bench.gate`). Raises NotEqualError."""
        from tests.bench.gate import gate

        table = gate(self.settings, self.start, self.documents[0])
        print(f"equality gate passed: losses within {table['difference'].max():.1e}", flush=True)
        return table


def corpus_of(settings: Settings) -> Corpus:
    """The corpus that the settings name. Raises InputError."""
    data = os.environ.get("DATA_DIR")
    name = settings.dataset
    if name is None and not data:
        name = "demo_news"
    elif name is None:
        there = [name for name in ("ag_news", "ag_news_26k") if (Path(data) / name).is_dir()]
        if not there:
            raise InputError(
                f"DATA_DIR = {data} has neither ag_news nor ag_news_26k; name another one: "
                "--dataset"
            )
        name = there[0]
    rows = {name: getattr(settings, name) for name in ("train_rows", "dev_rows", "test_rows")}
    return load_corpus(name, data_dir=data, **rows)


def documents_of(settings: Settings, corpus: Corpus) -> tuple[TensorDataset, str]:
    """Tokenized documents of the corpus, and where they come from; for the demo corpus, made-up
    ones with the lengths of AG News' items."""
    if corpus.name == "demo_news":
        return news_like(settings), "made-up documents with the lengths of AG News' items"
    every = load_corpus(corpus.name, data_dir=os.environ.get("DATA_DIR"))
    texts = every.train.texts[: settings.pool]
    labels = every.train.labels[: settings.pool].astype("i4")
    ids, mask, _ = encode(texts, settings.backbone, max_length=settings.max_length)
    return TensorDataset(ids, mask, torch.from_numpy(labels)), every.source


def news_like(settings: Settings) -> TensorDataset:
    """`pool` documents with the lengths of AG News' items, cut from the demo corpus: ids and mask
    (pool, longest), labels (pool,)."""
    dice = np.random.default_rng(0)
    texts, _, _ = news(2000, 0)
    ids, mask, _ = encode(texts, settings.backbone, max_length=min(settings.max_length, 64))
    rows = [row[real.bool()].tolist() for row, real in zip(ids, mask, strict=True)]
    first = rows[0][0]
    last = rows[0][-1]
    stream = [token for row in rows for token in row[1:-1]]
    shares = np.linspace(0, 1, len(AG_NEWS_LENGTHS))
    lengths = np.interp(dice.random(settings.pool), shares, AG_NEWS_LENGTHS).round().astype(int)
    lengths = lengths.clip(3, settings.max_length)
    padding = load_tokenizer(resolve_backbone(settings.backbone)).pad_token_id
    ids = torch.full((settings.pool, int(lengths.max())), padding)
    for row, length in zip(ids, lengths, strict=True):
        start = dice.integers(len(stream) - length)
        row[:length] = torch.tensor([first, *stream[start : start + length - 2], last])
    mask = torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]
    labels = torch.from_numpy(dice.integers(4, size=settings.pool))
    return TensorDataset(ids.int(), mask.int(), labels.int())


def new_model(
    settings: Settings, num_labels: int, *, seed: int = 0, batching: str = "random"
) -> Classifier:
    model = build_model(settings.backbone, num_labels=num_labels, seed=seed)
    if batching.endswith("packed"):
        model = pack(model)
    return model.to(DEVICE)


def with_weights_of(
    start: Classifier, settings: Settings, batching: str, dataset: TensorDataset | None = None
) -> Classifier:
    """A new model for this batching, with the weights of another; where it is packed, with the
    embeddings of the words of a `dataset` alone, as a run trains it, until it is expanded."""
    model = new_model(settings, start.num_labels, batching=batching)
    model.load_state_dict(start.state_dict())
    if dataset is not None and isinstance(model, PackedClassifier):
        model.compact(dataset.tensors[0].unique().long())
    return model


def huggingface_twin(model: Classifier, settings: Settings) -> torch.nn.Module:
    """transformers' own model, as its scripts make it, with our model's weights."""
    from transformers import AutoModelForSequenceClassification

    folder = resolve_backbone(settings.backbone)
    twin = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=model.num_labels, dtype=torch.float32, ignore_mismatched_sizes=True
    )
    twin.load_state_dict(model.backbone.state_dict())
    return twin.to(DEVICE)


def huggingface_rows(dataset: TensorDataset, settings: Settings, *, padded: bool):
    """The same documents as a `datasets.Dataset` with the columns that the tokenizer gives."""
    import datasets

    tokenizer = load_tokenizer(resolve_backbone(settings.backbone))
    ids, mask, labels = dataset.tensors
    rows = [row[real.bool()].tolist() for row, real in zip(ids, mask, strict=True)]
    room = [settings.max_length - len(row) if padded else 0 for row in rows]
    pad = tokenizer.pad_token_id
    columns = {"input_ids": [row + [pad] * n for row, n in zip(rows, room, strict=True)]}
    if "token_type_ids" in tokenizer.model_input_names:
        columns["token_type_ids"] = [[0] * len(row) for row in columns["input_ids"]]
    masks = [[1] * len(row) + [0] * n for row, n in zip(rows, room, strict=True)]
    columns |= {"attention_mask": masks, "label": labels.tolist()}
    return datasets.Dataset.from_dict(columns)
