"""Which epoch of a run is chosen, on dev, and when training ends before its plan."""

from lib.evaluation import Evaluation
from lib.metrics import METRICS
from lib.runs.config import RunConfig


def selection_score(select_by: str, epoch: int, evaluation: Evaluation) -> float:
    """What chooses the epoch, the higher the better; the epoch's number where the last one is."""
    if select_by == "last":
        return epoch
    score = evaluation.scores[select_by]
    return score if METRICS[select_by].higher_is_better else -score


def early_end(config: RunConfig, epochs_done: int, chosen_epoch: int) -> str | None:
    """Why training ends after so many epochs, before its plan does; None where it goes on."""
    if not 0 < epochs_done < config.epochs:
        return None
    if epochs_done == config.stop_after:
        return "stop_after"
    if config.patience and epochs_done - chosen_epoch >= config.patience:
        return "patience"
    return None
