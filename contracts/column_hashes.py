"""The hashes of plain rows in columns: one user's text, one answer.

They are those of :func:`siftline.contracts.examples.hashes`, which says what is hashed, to the bit.
"""

import hashlib
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.examples import normalise

_DIGITS = 32
# As `json.encoder` escapes them; the other control characters have numbers.
_ESCAPES = (
    ("\\", "\\\\"),
    ('"', '\\"'),
    ("\n", "\\n"),
    ("\r", "\\r"),
    ("\t", "\\t"),
    ("\b", "\\b"),
    ("\f", "\\f"),
)
_NUMBERED = "[\x00-\x07\x0b\x0e-\x1f]"
# Anything but words of printable ASCII with single spaces between them.
_MAY_FOLD = "[^!-~ ]|  |^ | $"


def has_numbered(texts: pa.Array) -> pa.Array:
    """Return [rows] whether a text holds a character that :func:`escaped` cannot escape."""
    return pc.match_substring_regex(texts, _NUMBERED)


def escaped(texts: pa.Array) -> pa.Array:
    """Return what stands between the quotes of a text's JSON, outside ASCII as it is.

    Args:
        texts: [rows] Without what :func:`has_numbered` finds.
    """
    held = texts.buffers()[2]
    data = held.to_pybytes() if held else b""
    for plain, written in _ESCAPES:
        if plain.encode() in data:
            texts = pc.replace_substring(texts, plain, written)
    return texts


def normalised(texts: pa.Array) -> pa.Array:
    """Return :func:`siftline.contracts.examples.normalise` of each text; none is null."""
    odd = pc.match_substring_regex(texts, _MAY_FOLD)
    if not pc.any(odd).as_py():
        return texts
    folded = [normalise(text) for text in texts.filter(odd).to_pylist()]
    return pc.replace_with_mask(texts, odd, pa.array(folded, pa.string()))


def plain_hashes(prompts: pa.Array, responses: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the content hash and the prompt's hash of conversations of two turns.

    Args:
        prompts: [rows] What the user says; without what :func:`has_numbered` finds.
        responses: [rows] What the assistant says; likewise.
    """
    asked, said = escaped(prompts), escaped(responses)
    content = _joined('[[["user", "', asked, '"], ["assistant", "', said, '"]], null, null]')
    folded = normalised(prompts)
    asked = asked if folded is prompts else escaped(folded)
    return _digests(content), _digests(_joined('[[["user", "', asked, '"]], null, null]'))


def _joined(*pieces: pa.Array | str) -> pa.Array:
    scalars = [pa.scalar(piece) if isinstance(piece, str) else piece for piece in pieces]
    return pc.binary_join_element_wise(*scalars, "")


def _digests(texts: pa.Array) -> pa.Array:
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    view, digest = memoryview(data), hashlib.sha256
    digits = "".join(
        [digest(view[begin:end]).hexdigest()[:_DIGITS] for begin, end in itertools.pairwise(ends)]
    )
    places = np.arange(0, len(digits) + 1, _DIGITS, dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(places.tobytes()), pa.py_buffer(digits.encode())
    )
