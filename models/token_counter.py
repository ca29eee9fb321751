"""The tokenizer of a model by itself, to count tokens: no weights are loaded."""

import functools
from collections.abc import Callable, Sequence

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine.tokenisation import PairTokenizer
from siftline.models.rendering import Prompt
from siftline.models.store.builtin import TOY, builtin_name
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.files import find_model
from siftline.models.store.packages import require

Count = Callable[[Sequence[str]], list[int | None]]


def load_counter(spec: ModelSpec) -> Count:
    """Return what counts the tokens of texts, special ones at their head included.

    Args:
        spec: A model of this machine. The toy's tokens are bytes.

    Raises:
        ModelError: It is on a server, cannot be found, or has no tokenizer.
    """
    if spec.server is not None:
        raise ModelError(
            f"'{spec.name}' is on a server, which does not lend its tokenizer; name a model of "
            "this machine, such as 'builtin:smollm2'."
        )
    if builtin_name(spec.name) == TOY:
        return lambda texts: [len(text.encode()) for text in texts]
    return _counter(spec)


@functools.lru_cache(maxsize=4)
def _counter(spec: ModelSpec) -> Count:
    require("transformers")
    import transformers  # an optional dependency, and slow to import

    folder = loadable_folder(find_model(spec).folder)
    options = {"trust_remote_code": spec.trust_remote_code, "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"'{spec.name}' has no tokenizer that can be loaded; expected its files beside the "
            "weights. The error above says what is missing."
        ) from error
    pairs = PairTokenizer(tokenizer, spec.name)
    return functools.partial(_lengths, pairs)


def _lengths(pairs: PairTokenizer, texts: Sequence[str]) -> list[int | None]:
    coded = pairs.encode_prompts([Prompt(text, "", special=False, ending=None) for text in texts])
    return [None if ids is None else len(ids) for ids in coded]
