"""Fine-tune transformer text classifiers, reproducibly: the parts that the notebooks are made of."""

from lib import calibration, decisions, findings, students, tables
from lib.config import RunConfig
from lib.data import DATASETS, Corpus, load_corpus
from lib.errors import InputError
from lib.heads import HEADS
from lib.loaders import make_loader
from lib.models import Classifier, build_model
from lib.optim import OPTIMIZERS, SCHEDULES
from lib.page import publish, show_audit, show_errors, show_figure, show_finding, show_table, show_text
from lib.readers import Reading
from lib.runs import run, run_all
from lib.store import Run, Runs, load_run
from lib.tokenization import Tokens, tokenize
from lib.training import Evaluation, evaluate, fit

__all__ = [
    "DATASETS", "HEADS", "OPTIMIZERS", "SCHEDULES", "Classifier", "Corpus", "Evaluation", "InputError", "Reading",
    "Run", "RunConfig", "Runs", "Tokens", "build_model", "calibration", "decisions", "evaluate", "findings", "fit",
    "load_corpus", "load_run", "make_loader", "publish", "run", "run_all", "show_audit", "show_errors", "show_figure",
    "show_finding", "show_table", "show_text", "students", "tables", "tokenize",
]  # fmt: skip
