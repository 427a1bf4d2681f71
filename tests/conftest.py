"""Shared parts: tiny real transformers and tokenizers, built here; a run store of each test's
own; no network."""

import os

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # the models are tiny: a second thread would only wait, and longer beside other work
}

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = [
    f"{a}{b}"
    for a in ("ka", "lo", "mi", "nu", "pe", "ri", "so", "ta")
    for b in ("na", "be", "ci", "do", "fu")
]
SPECIAL = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    "roberta": ("<s>", "<pad>", "</s>", "<unk>"),
}


def save_tiny(folder, kind: str = "bert", hidden: int = 32, layers: int = 2):
    """A random transformer of `kind` with its tokenizer, as a folder that transformers loads."""
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    special = SPECIAL["roberta" if kind == "roberta" else "bert"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    names = {
        "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
        "roberta": ("<pad>", "<unk>", "<s>", "</s>"),
    }
    pad, unknown, start, end = names["roberta" if kind == "roberta" else "bert"]
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])],
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    )
    wrapped.save_pretrained(folder)
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    if kind == "distilbert":
        sizes = {"dim": hidden, "n_layers": layers, "n_heads": 4, "hidden_dim": 64}
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(vocabulary),
        max_position_embeddings=70,
        pad_token_id=vocabulary[pad],
        **sizes,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folders of tiny backbones by architecture."""
    root = tmp_path_factory.mktemp("backbones")
    return {kind: str(save_tiny(root / kind, kind)) for kind in ("bert", "roberta", "distilbert")}


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("DATA_DIR", raising=False)


def learnable(rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 3 to 12 words whose label is told by one of two words."""
    generator = torch.Generator().manual_seed(seed)

    def below(n):
        return int(torch.randint(n, (1,), generator=generator))

    texts, labels = [], []
    for i in range(rows):
        words = [WORDS[2 + below(len(WORDS) - 2)] for _ in range(2 + below(10))]
        words.insert(below(len(words) + 1), WORDS[i % 2])
        texts.append(" ".join(words))
        labels.append(("no", "yes")[i % 2])
    return texts, labels


def save_learnable(path, train: int = 60, test: int = 21):
    """A data folder with train.csv and test.csv of so many rows."""
    path.mkdir()
    for name, rows, seed in (("train", train, 1), ("test", test, 2)):
        lines = [f"{text},{label}" for text, label in zip(*learnable(rows, seed), strict=True)]
        (path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return path


@pytest.fixture
def folder(tmp_path):
    return save_learnable(tmp_path / "data")
