"""Models of a few thousand random weights, of the shapes that matter, and their tokenizer."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXT = "the cat sat on the mat. a cat! cafe\u0301 cafe\u0301 Question: Answer: xab xab ab ab"


def tiny_tokenizer(bos: bool = False, words: bool = True) -> Any:
    """A byte-level BPE; unless it keeps to words, it merges whatever is frequent."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=words
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<bos>", "<end>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([word + " " for word in TEXT.split(" ")] * 3, trainer)
    if bos:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 0)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<end>"
    )


def tiny_model(kind: str, **changes: Any) -> Any:
    sizes: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.5,
    }
    if kind == "GPT2":
        sizes = {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
        sizes["initializer_range"] = 0.5
    if kind == "Gemma2":
        sizes["head_dim"] = 8
    names = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    config = getattr(transformers, f"{kind}Config")(**{**sizes, **names, **changes})
    torch.manual_seed(7)
    name = "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    return getattr(transformers, name)(config).float()


def engine(kind: str = "Llama", bos: bool = False, words: bool = True, **changes: Any) -> Any:
    from siftline.models.engine.transformer import TransformerModel

    return TransformerModel(tiny_model(kind, **changes), tiny_tokenizer(bos, words), kind)
