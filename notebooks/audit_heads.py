"""Faults of the original studies, on purpose: the study of them registers them, and nothing else
knows them.

`notebooks.audit.register_heads` makes the faulty heads rows of `lib.heads.HEADS`, so that a run is
kept under its head's name. The other faults of that study are settings that every run has, or are
computed from stored predictions.
"""

import torch
from torch.nn import functional as F

from lib.analysis.names import spelled
from lib.errors import InputError
from lib.heads import LstmHead, WeightedAverageHead

UNMASKED, WRONG_PAD = "_unmasked", "_wrong_pad"  # ends of a faulty head's name


def head_name(head: str) -> str:
    """A head, faulty or not, as a person writes it: `unmasked LSTM, wrong pad token`."""
    padded = head.removesuffix(WRONG_PAD)
    clean = padded.removesuffix(UNMASKED)
    text = spelled(clean) if clean == padded else f"unmasked {spelled(clean)}"
    return text if padded == head else f"{text}, wrong pad token"


class Padded:
    """Makes a head of `lib.heads` that of a model which pads every document to `max_length`
    tokens, as the original on film reviews did. The backbone's attention leaves the padding out."""

    max_length: int
    unmasked: bool  # the head reads padding as if it were text
    # padded with each document's first token (<s>, whose id is 0 in RoBERTa's tokenizer), not [PAD]
    wrong_pad: bool

    def attach(self, backbone: torch.nn.Module) -> None:
        """Pad what the backbone reads from here on; `lib.models.Classifier` calls this."""
        backbone.register_forward_pre_hook(self._widen, with_kwargs=True)

    def _widen(self, backbone, arguments, inputs: dict):
        ids = inputs["input_ids"]
        mask = inputs.get("attention_mask")
        if mask is None:
            raise InputError(
                "batching = 'packed' leaves no padding to read; choose grouped or random"
            )
        more = self.max_length - ids.shape[1]
        pad = ids[:, :1]
        if not self.wrong_pad:
            pad = torch.full_like(pad, backbone.config.pad_token_id)
        mask = F.pad(mask, (0, more))
        ids = torch.where(mask.bool(), F.pad(ids, (0, more)), pad)
        return arguments, inputs | {"input_ids": ids, "attention_mask": mask}

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mask = F.pad(mask, (0, hidden.shape[1] - mask.shape[1]))
        return super().pool(hidden, torch.ones_like(mask) if self.unmasked else mask)


def padded_heads(max_length: int) -> dict[str, type]:
    """Faulty heads by name: `lstm_unmasked`, `lstm_wrong_pad`, `lstm_unmasked_wrong_pad`, and
    the same of the weighted average; made and started like the clean ones. Only the unmasked
    ones can tell what a document is padded with."""
    faulty = {}
    for name, clean in (("weighted_average", WeightedAverageHead), ("lstm", LstmHead)):
        for unmasked, wrong_pad in ((True, False), (False, True), (True, True)):
            fault = {"max_length": max_length, "unmasked": unmasked, "wrong_pad": wrong_pad}
            ends = UNMASKED * unmasked + WRONG_PAD * wrong_pad
            faulty[name + ends] = type(f"Padded{clean.__name__}", (Padded, clean), fault)
    return faulty
