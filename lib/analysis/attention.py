"""What a model attends to in a document."""

import numpy as np
import torch

from lib.runs.keys import tokens_of
from lib.runs.store import Run


@torch.inference_mode()
def attention_maps(model, ids: torch.Tensor) -> torch.Tensor:
    """What each token of one document, ids (tokens,), attends to: (layers, tokens, tokens).

    The mean over heads; a row sums to one.
    """
    encoder = model.backbone.base_model
    kind = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")  # the one that hands its weights out
    try:
        output = encoder(
            input_ids=ids[None],
            attention_mask=torch.ones_like(ids)[None],
            output_attentions=True,
        )
    finally:
        encoder.set_attn_implementation(kind)
    return torch.stack([layer[0].mean(0) for layer in output.attentions])


def first_document_attention(run: Run, most: int = 48) -> np.ndarray:
    """What a run's model attends to in the first dev document, up to `most` tokens.

    (layers, tokens, tokens).
    """
    ids, mask = (tensor[0] for tensor in tokens_of(run.config).dev.tensors[:2])
    model, _ = run.model
    return attention_maps(model, ids[mask.bool()][:most]).numpy()
