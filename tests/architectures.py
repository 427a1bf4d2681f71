"""Tiny models of every architecture that transformers has a text classifier of."""

import torch

from tests.conftest import save_tiny

# Sizes by the names that configurations have for them; one takes those that it knows.
SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size"), 16),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_inner", "hidden_dim", "d_ff", "dff"), 16),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "n_inner", "ffn_hidden_size"), 16),
    **dict.fromkeys(("input_embedding_size", "output_embedding_size"), 16),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_layers"), 1),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 1),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head", "num_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 2),
    **dict.fromkeys(("num_experts_per_tok", "n_shared_experts", "n_group", "topk_group"), 1),
    **dict.fromkeys(("head_dim", "d_kv", "v_head_dim", "kv_lora_rank", "q_lora_rank"), 8),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 64),
    "num_key_value_heads": 2,
    "first_k_dense_replace": 0,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
TEXT = {name: SIZES[name] for name in ("hidden_size", "intermediate_size", "vocab_size")}
TEXT |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
TEXT |= {"max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
IMAGE = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
IMAGE |= {"num_attention_heads": 2, "image_size": 16, "patch_size": 8}
LINEAR = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
LINEAR |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
LINEAR |= {"linear_num_key_heads": 2, "linear_num_value_heads": 2}
FULL = {"layer_types": ["full_attention"]}
MORE = {  # what an architecture needs besides
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}},
    "funnel": {"block_sizes": [1, 1], "n_head": 2},
    "gemma3": {"text_config": TEXT, "vision_config": IMAGE},
    "gpt_neo": {"attention_types": [[["global"], 1]]},
    "jamba": {"num_hidden_layers": 2, "attn_layer_period": 2, "attn_layer_offset": 1},
    "layoutlmv3": {"coordinate_size": 3, "shape_size": 2, "input_size": 32},
    "lilt": {"hidden_size": 24},
    "llama": {"num_key_value_heads": 1},
    "luke": {"entity_vocab_size": 4, "entity_emb_size": 8},
    "mobilebert": {"true_hidden_size": 16, "intra_bottleneck_size": 16},
    "modernvbert": {"text_config": TEXT | {"model_type": "modernbert"}, "vision_config": IMAGE},
    "mt5": {"decoder_start_token_id": 0},
    "perceiver": {"num_latents": 4, "d_latents": 16, "num_blocks": 1}
    | {"num_self_attends_per_block": 1, "num_self_attention_heads": 2}
    | {"num_cross_attention_heads": 2},
    "qwen2": {"num_key_value_heads": 1},
    "qwen3_5": {
        "text_config": TEXT | FULL,
        "vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2}
        | {"intermediate_size": 16, "out_hidden_size": 16},
    },
    "qwen3_5_text": LINEAR,
    "qwen3_next": LINEAR,
    "reformer": {"axial_pos_embds": False, "attention_head_size": 8, "feed_forward_size": 16}
    | {"attn_layers": ["local"], "local_attn_chunk_length": 8, "is_decoder": False},
    "roc_bert": {"pronunciation_vocab_size": 50, "shape_vocab_size": 50},
    "t5": {"decoder_start_token_id": 0},
    "t5gemma": {"encoder": TEXT | FULL, "decoder": TEXT | FULL},
    "t5gemma2": {
        "encoder": {"text_config": TEXT | FULL, "vision_config": IMAGE, "vocab_size": 50},
        "decoder": TEXT | FULL,
    },
    "ultravbert": {"text_config": TEXT | {"model_type": "ultrabert"}, "vision_config": IMAGE},
    "umt5": {"decoder_start_token_id": 0},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "hybrid"]}
    | {"attention_hidden_size": 32, "attention_head_dim": 16, "n_mamba_heads": 1},
    "zamba2": {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "hybrid"]}
    | {"n_mamba_heads": 2, "mamba_headdim": 16},
}
LESS = {  # what an architecture derives from other sizes, or names in another way
    "axk1": ("head_dim",),
    "deepseek_v3": ("head_dim",),
    "falcon": ("head_dim",),
    "funnel": ("num_hidden_layers", "num_attention_heads", "hidden_size"),
    "perceiver": ("pad_token_id", "num_hidden_layers", "num_attention_heads", "hidden_size"),
    "xlnet": ("max_position_embeddings",),
}
NOT_MADE = {  # and why
    "layoutlmv2": "needs detectron2, for images",
}


def kinds() -> list[str]:
    """The names of all architectures that transformers has a text classifier of."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as NAMES,
    )

    return list(NAMES)


def small_config(kind: str):
    """A tiny configuration of an architecture."""
    from transformers import AutoConfig

    config_class = type(AutoConfig.for_model(kind))
    known = config_class()
    left_out = LESS.get(kind, ())
    sizes = {k: size for k, size in SIZES.items() if hasattr(known, k) and k not in left_out}
    return config_class(num_labels=2, architectures=[], **sizes | MORE.get(kind, {}))


def save_architecture(folder, kind: str, auto) -> str:
    """A random model of an architecture, as a folder with a tokenizer; `auto` is the class of
    transformers that chooses the model's. Its weights are large, so that whatever it reads
    shows."""
    save_tiny(folder)
    torch.manual_seed(0)
    model = auto.from_config(small_config(kind))
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    return str(folder)
