"""GGUF files of the tiny models: weights, tokenizer and chat template in one file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import tiny_model, tiny_tokenizer

gguf = pytest.importorskip("gguf")

CHAT = (
    "{% for m in messages %}{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}the cat{% endif %}"
)
_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    path: Path, turn_end: int | None = None, rotary: Sequence[float] = (), scaling: str = ""
) -> Any:
    """Write the tiny Llama, and return its model of `transformers`.

    Args:
        path: The file.
        turn_end: A token that ends a turn, beside that which ends a text.
        rotary: Factors of the turns of places.
        scaling: The kind of scaling of places that it states.
    """
    model = _model()
    writer = _writer(path)
    _add_settings(writer, model.config, turn_end)
    if scaling:
        writer.add_string("llama.rope.scaling.type", scaling)
    if rotary:
        writer.add_tensor("rope_freqs.weight", np.array(rotary, np.float32))
    for name, data in _tensors(model):
        writer.add_tensor(name, data)
    _close(writer)
    return model


def write_split_gguf(folder: Path, stem: str) -> Any:
    """Write the tiny Llama in two parts, as llama.cpp splits a model."""
    model = _model()
    tensors = _tensors(model)
    for number, part in enumerate((tensors[:5], tensors[5:])):
        writer = _writer(folder / f"{stem}-{number + 1:05d}-of-00002.gguf")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(tensors))
        if number == 0:
            _add_settings(writer, model.config, None)
        for name, data in part:
            writer.add_tensor(name, data)
        _close(writer)
    return model


def _model() -> Any:
    """Return the tiny Llama, with as many embeddings as its tokenizer has tokens."""
    return tiny_model("Llama", vocab_size=len(tiny_tokenizer()))


def _writer(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return gguf.GGUFWriter(str(path), "llama")


def _close(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_settings(writer: Any, config: Any, turn_end: int | None) -> None:
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    tokens, merges = _vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, *[1] * (len(tokens) - 2)])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    if turn_end is not None:
        writer.add_eot_token_id(turn_end)
    writer.add_chat_template(CHAT)


def _vocabulary() -> tuple[Sequence[str], Sequence[str]]:
    """Return the tokens and the merges of the tiny tokenizer."""
    stated = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    tokens = sorted(stated["vocab"], key=stated["vocab"].__getitem__)
    return tokens, [" ".join(merge) for merge in stated["merges"]]


def _tensors(model: Any) -> list[tuple[str, Any]]:
    config = model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    found = []
    for name, weight in model.state_dict().items():
        data = weight.float().numpy()
        for projection, count in heads.items():
            if projection in name:  # llama.cpp turns pairs of places that are beside each other
                data = data.reshape(count, 2, -1, data.shape[1]).swapaxes(1, 2).reshape(data.shape)
        found.append((_renamed(name), data.copy()))
    return found


def _renamed(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_LAYER[rest.removesuffix('.weight')]}.weight"
