"""Names of this project's own choices, as a person writes them. A name that is not here, such as a
user's, is shown as it is."""

from lib.markdown import escape
from lib.references.baselines import NAMES

MINUS = " − "  # between the two names of a comparison
ENSEMBLE = ", ensemble of "  # between a choice and its number of seeds
SPELLED = {
    # heads
    "cls": "CLS",
    "first_token": "first token",
    "lstm": "LSTM",
    "mean": "mean pooling",
    "mean_linear": "mean pooling, linear",
    "native": "fine-tuned",
    "weighted_average": "weighted average",
    # optimizers
    "adadelta": "Adadelta",
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamw": "AdamW",
    "amsgrad": "AMSGrad",
    "sgd": "SGD",
    # what is kept of a long text, and how texts come into batches
    "head_tail": "head and tail",
    "grouped_packed": "grouped, packed",
    # pretrained models
    "all-MiniLM-L6-v2": "MiniLM-L6",
    "sentence-transformers/all-MiniLM-L6-v2": "MiniLM-L6",
    "sentence-transformers/all-mpnet-base-v2": "MPNet-base",
    "roberta-base": "RoBERTa-base",
    "FacebookAI/roberta-base": "RoBERTa-base",
    "distilbert-base-uncased": "DistilBERT",
}
WORDS_OF_STUDIES = {"ag": "AG", "news": "News", "imdb": "IMDB", "eurlex": "EURLex"}
COLUMNS = ("head", "optimizer", "schedule", "truncation", "batching", "backbone", "compared")


def display_name(group: str) -> str:
    """A group as a page's tables name it: a reference by its title."""
    return NAMES.get(group, group)


def spelled(name: str) -> str:
    """A head, optimizer, reference or other choice, or the ensemble of one, as a person writes
    it."""
    choice, ensemble, seeds = name.partition(ENSEMBLE)
    return (NAMES.get(choice) or SPELLED.get(choice, choice)) + ensemble + seeds


def spelled_in(column: str, cell: str) -> str:
    """A cell of a table as a person writes it, where its column holds names of ours."""
    if column not in COLUMNS:
        return cell
    return MINUS.join(map(spelled, cell.split(MINUS)))


def study_name(study: str) -> str:
    """A study as a person names it: `AG News`, `Grid search`."""
    name = " ".join(WORDS_OF_STUDIES.get(word, word) for word in study.split("_"))
    return name[:1].upper() + name[1:]


def short_name(reference: str) -> str:
    """A reference's display name as a sentence has room for it, as Markdown: without what is
    usual of it."""
    return escape(reference.removesuffix(" + linear SVM").removesuffix(", whole text"))
