"""Whether the chat template of a model knows thoughts, told by the bytes of its files."""

from pathlib import Path

from siftline.models.store.digests import GGUF, ModelFolder, counted_files

# What such templates write around a thought, or read it from. A vocabulary has the same marks, so
# there may be a model too many, and never one too few.
_MARKS = (b"think>", b"[THINK]", b"<|channel", b"reasoning_content")
_TEMPLATES = ("*.jinja", "chat_template.json", "tokenizer_config.json", "tokenizer.json", GGUF)
_HEAD = 64 << 20  # bytes of a file that are looked at: in GGUF settings and vocabulary come first


def knows_thoughts(model: ModelFolder) -> bool:
    """Return whether a chat template of a model may write or read thoughts."""
    return any(
        _is_marked(path)
        for path in counted_files(model.folder, gguf=model.gguf)
        if any(path.match(pattern) for pattern in _TEMPLATES)
    )


def _is_marked(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return any(mark in head for mark in _MARKS)
