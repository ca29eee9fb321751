"""Numbers of tokens: the tokenizer of a model, loaded without its weights."""

import functools
from collections.abc import Callable, Sequence

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine.tokenisation import PairTokenizer
from siftline.models.holding import held
from siftline.models.rendering import Prompt
from siftline.models.store.builtin import TOY, builtin_name
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.digests import ModelFolder, digest_of, unchanged
from siftline.models.store.files import find_model
from siftline.models.store.pretrained import load_tokenizer

TokenCounter = Callable[[Sequence[str]], list[int | None]]
"""Returns the number of tokens of each text; None for a text that the tokenizer refuses."""


def load_counter(spec: ModelSpec) -> TokenCounter:
    """Return the token counter of a model, which counts the special tokens before a text too.

    Args:
        spec: A model of this machine. The toy's tokens are bytes.

    Raises:
        ModelError: It is on a server, cannot be found, or has no tokenizer.
    """
    if spec.is_asked:
        raise ModelError(
            f"'{spec.name}' is on a server, which does not lend its tokenizer; name a model of "
            "this machine, such as 'builtin:smollm2'."
        )
    if builtin_name(spec.name) == TOY:
        return _count_bytes
    model, code = find_model(spec), spec.trust_remote_code
    identity = (code, digest_of(model, code, weights=False))
    return held(("counter", spec.name, spec.file), identity, lambda: _counter(spec, model))


def _counter(spec: ModelSpec, model: ModelFolder) -> TokenCounter:
    with unchanged(model, spec.trust_remote_code, weights=False):
        tokenizer = load_tokenizer(spec, loadable_folder(model))
    return functools.partial(_count_tokens, PairTokenizer(tokenizer, spec.name))


def _count_tokens(tokenizer: PairTokenizer, texts: Sequence[str]) -> list[int | None]:
    coded = tokenizer.encode_prompts([Prompt.of_text(text) for text in texts])
    return [None if ids is None else len(ids) for ids in coded]


def _count_bytes(texts: Sequence[str]) -> list[int | None]:
    return [len(text.encode()) for text in texts]
