"""What a GGUF file says beside its weights, and parts that are joined into one file."""

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Tokens that end a turn or a message, beside the one that ends a text. `transformers` reads the
# latter alone, and a model that ends its turns with another would answer until it is cut.
_ENDS = ("tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
_OF_PARTS = "split."  # keys that number the parts, and count what is in all of them
# By its number, the bytes of a value; texts and lists are of no size of their own.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _LIST = 8, 9
_MOST_VALUES = 1 << 22  # in all lists; 262,144 tokens with scores, types and merges are 1.3 million


def require_bounded(gguf: Path) -> None:
    """Check that a file has what its head says it has, before anybody counts by that.

    Raises:
        ValueError: A text or a list of its settings ends beyond the file, or there is no end to
            them.
    """
    with gguf.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        order = "<" if data[4:6] != b"\0\0" else ">"  # the version is a small number
        at, values = 24, 0
        (settings,) = struct.unpack_from(f"{order}Q", data, 16)
        for _ in range(settings):
            at, _ = _past(data, at, _TEXT, order)
            (kind,) = struct.unpack_from(f"{order}I", data, at)
            at, more = _past(data, at + 4, kind, order)
            values += more
            if values > _MOST_VALUES:
                raise ValueError(f"its lists hold more than {_MOST_VALUES:,} values")


def _past(data: mmap.mmap, at: int, kind: int, order: str) -> tuple[int, int]:
    """Return where what follows a value begins, and the number of values in a list."""
    count = 0
    if kind == _TEXT:
        at += 8 + struct.unpack_from(f"{order}Q", data, at)[0]
    elif kind == _LIST:
        kind, count = struct.unpack_from(f"{order}IQ", data, at)
        at += 12
        if kind != _TEXT:
            at += count * _size(kind)
        else:
            for _ in range(min(count, _MOST_VALUES + 1)):
                at, _ = _past(data, at, kind, order)
    else:
        at += _size(kind)
    if at > len(data):
        raise ValueError("its settings end beyond the file")
    return at, count


def _size(kind: int) -> int:
    if kind not in _SIZES:  # lists of lists do not occur
        raise ValueError(f"its settings hold a value of the kind {kind}")
    return _SIZES[kind]


def end_tokens(gguf: Path) -> list[int]:
    """Return the tokens at which a response may end, beside that which ends a text."""
    import gguf as library  # an optional dependency

    fields = library.GGUFReader(gguf).fields
    return [int(_value(fields[name], library)) for name in _ENDS if name in fields]


def rotary_factors(gguf: Path) -> list[float]:
    """Return by what a GGUF file divides the turns of its tokens' places; empty where it has none.

    Some models have factors for long contexts and others for short ones, one after the other here.
    """
    import gguf as library  # an optional dependency

    found = [
        tensor.data.ravel().tolist()
        for tensor in library.GGUFReader(gguf).tensors
        if tensor.name.startswith(("rope_freqs.", "rope_factors_"))
    ]
    return [float(factor) for factors in found for factor in factors]


def rotary_scaling(gguf: Path) -> str:
    """Return the kind of scaling of places that a GGUF file states; empty where it states none."""
    import gguf as library  # an optional dependency

    fields = library.GGUFReader(gguf).fields
    name = f"{_value(fields['general.architecture'], library)}.rope.scaling.type"
    return str(_value(fields[name], library)) if name in fields else ""


def vocabulary_size(gguf: Path) -> int:
    """Return how many tokens a GGUF file has."""
    import gguf as library  # an optional dependency

    return len(library.GGUFReader(gguf).fields["tokenizer.ggml.tokens"].data)


def join_parts(parts: Sequence[Path], target: Path) -> None:
    """Write the parts of a model as one file, which `transformers` can read.

    Args:
        parts: All of them; the first one says everything but the weights.
        target: The file to write.
    """
    import gguf as library  # an optional dependency

    readers = [library.GGUFReader(part) for part in parts]
    first = readers[0]
    architecture = str(_value(first.fields["general.architecture"], library))
    writer = library.GGUFWriter(target, architecture, endianess=first.endianess)
    for name, field in first.fields.items():
        own = name.startswith(("GGUF.", _OF_PARTS)) or name == "general.architecture"
        value = None if own else _value(field, library)
        if value is not None and value != []:  # an empty list has no type
            writer.add_key_value(name, value, field.types[0])
    tensors = [tensor for reader in readers for tensor in reader.tensors]
    for tensor in tensors:
        data = tensor.data
        writer.add_tensor_info(
            tensor.name, list(data.shape), data.dtype, data.nbytes, tensor.tensor_type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()


def _value(field: Any, library: Any) -> Any:
    """Return what a field of a GGUF file holds, as plain Python; lists of lists do not occur."""
    kinds, kind = library.GGUFValueType, field.types[0]
    if kind == kinds.STRING:
        return _text(field.parts[field.data[0]])
    if kind != kinds.ARRAY:
        return field.parts[field.data[0]].tolist()[0]
    if len(field.types) > 1 and field.types[-1] == kinds.STRING:
        return [_text(field.parts[place]) for place in field.data]
    return [value for place in field.data for value in field.parts[place].tolist()]


def _text(part: Any) -> str:
    return bytes(part).decode("utf-8")
