"""Which characters make words: letters and digits in runs, those of some scripts one by one."""

import re

import numpy as np
import numpy.typing as npt

# Kana, CJK ideographs and Thai are written without spaces between words.
UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
OTHER, WORD, SINGLE = 0, 1, 2
REST = 3  # of bytes: what follows the first one of a character that is a word

_UNKNOWN = 255
_SINGLE = re.compile(f"[{UNSPACED}]")
_known = np.full(0x110000, _UNKNOWN, dtype=np.uint8)  # by code point, filled as they are met


def class_of(character: str) -> int:
    """Return whether a character is a word, a part of one, or neither."""
    if _SINGLE.match(character):
        return SINGLE
    return WORD if character.isalnum() else OTHER


_ASCII = bytes(class_of(chr(point)) for point in range(128)) + bytes(128)


def byte_classes(data: bytes) -> npt.NDArray[np.uint8]:
    """Return [bytes] the class of the character that each is a part of.

    Args:
        data: UTF-8.
    """
    classes = np.frombuffer(bytearray(data.translate(_ASCII)), np.uint8)
    if data.isascii():
        return classes
    values = np.frombuffer(data, np.uint8)
    high = np.flatnonzero(values >= 0x80)
    leads = np.flatnonzero(values[high] >= 0xC0)
    points = np.frombuffer(values[high].tobytes().decode().encode("utf-32-le"), np.uint32)
    found = classes_of(points)
    sizes = np.diff(np.append(leads, len(high)))
    classes[high] = np.repeat(np.where(found == SINGLE, REST, found), sizes)
    classes[high[leads]] = found
    return classes


def classes_of(points: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Return [characters] the class of each.

    Args:
        points: [characters] Code points.
    """
    found: npt.NDArray[np.uint8] = _known[points]
    unknown = found == _UNKNOWN
    if unknown.any():
        for point in np.unique(points[unknown]).tolist():
            _known[point] = class_of(chr(point))
        found = _known[points]
    return found
