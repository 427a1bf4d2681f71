"""The named corpora: made-up ones, and real ones in a folder below DATA_DIR or on the Hub."""

import dataclasses
from collections.abc import Callable

from lib.demo import ACT_LABELS, NEWS_LABELS, REVIEW_LABELS, acts, news, reviews


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A row of `DATASETS`: a generator, or a folder below DATA_DIR and its twin on the Hub."""

    about: str
    label_names: tuple[str, ...] | None = None
    make: Callable | None = None  # (rows, seed) -> texts, labels, true labels
    make_rows: tuple[int, int] = (4000, 1000)  # of train and test, where they are generated
    folder: str | None = None
    hub: str | None = None
    revision: str | None = None  # of the Hub's repository: a commit
    label: str = "label"  # column
    title: str = ""  # as people name it


DATASETS = {
    "demo_news": Dataset(
        "a made-up demo corpus of short news items, generated from a seed",
        NEWS_LABELS,
        news,
        title="Made-up news",
    ),
    "ag_news": Dataset(
        "AG News: 120,000 news items in four classes, with the official test set "
        "(Zhang et al. 2015)",
        NEWS_LABELS,
        folder="ag_news",
        title="AG News",
        hub="fancyzhx/ag_news",
        revision="eb185aade064a813bc0b7f42de02595523103ca4",
    ),
    "ag_news_26k": Dataset(
        "a 26,843-row sample of AG News' train set, with the official test set of 7,600 rows "
        "(Zhang et al. 2015)",
        NEWS_LABELS,
        folder="ag_news_26k",
        title="AG News",
    ),
    "demo_reviews": Dataset(
        "a made-up demo corpus of long film reviews, generated from a seed",
        REVIEW_LABELS,
        reviews,
        title="Made-up film reviews",
    ),
    "imdb": Dataset(
        "IMDB: 25,000 film reviews to train on and 25,000 to test, the official split "
        "(Maas et al. 2011)",
        REVIEW_LABELS,
        folder="imdb",
        title="IMDB",
        hub="stanfordnlp/imdb",
        revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    ),
    "demo_acts": Dataset(
        "a made-up demo corpus of legal acts with several labels each, generated from a seed",
        ACT_LABELS,
        acts,
        title="Made-up legal acts",
    ),
    "eurlex57k": Dataset(
        "EURLEX57K: 57,000 legal acts of the European Union with EUROVOC concepts, the official "
        "split (Chalkidis et al. 2019)",
        folder="eurlex57k",
        title="EURLEX57K",
        label="labels",
    ),
    "eurlex4k_10k": Dataset(
        "the 10,251 documents of EURLex-4K (Loza Mencía and Fürnkranz 2008) whose text was "
        "recovered, not its split",
        folder="eurlex4k_10k",
        title="EURLex-4K",
        label="labels",
    ),
}


def is_generated(dataset: str) -> bool:
    """Whether a corpus is made up."""
    return dataset in DATASETS and DATASETS[dataset].make is not None


def is_own(dataset: str) -> bool:
    """Whether a corpus is none of ours: a file, a folder, or a dataset of the Hub."""
    return dataset not in DATASETS


def may_quote(dataset: str) -> bool:
    """Whether a page may quote a corpus: a made-up one, or one's own, whose pages Git ignores."""
    return is_generated(dataset) or is_own(dataset)
