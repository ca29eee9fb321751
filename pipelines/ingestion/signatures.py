"""What a file is, told by its first bytes: its name may say something else."""

import re

GZIP, ZSTD = "gzip", "zstd"
PARQUET, ARROW = ".parquet", ".arrow"

_PACKED = (
    (GZIP, re.compile(rb"\x1f\x8b\x08")),
    (ZSTD, re.compile(rb"[\x50-\x5f]\x2a\x4d\x18|\x28\xb5\x2f\xfd")),
)
# A text may begin with these letters too, as a header may, but not go on as such a file does.
_COLUMNAR = (
    (PARQUET, re.compile(rb"PAR1[^ -~]")),
    (ARROW, re.compile(rb"ARROW1\x00|\xff\xff\xff\xff")),
)
_MARKS = (  # that of UTF-32 begins like that of UTF-16
    ("utf-32-le", b"\xff\xfe\x00\x00"),
    ("utf-32-be", b"\x00\x00\xfe\xff"),
    ("utf-16-le", b"\xff\xfe"),
    ("utf-16-be", b"\xfe\xff"),
    ("utf-8", b"\xef\xbb\xbf"),
)
_UNMARKED = (
    ("utf-32-le", re.compile(rb"[\x01-\x7f]\x00\x00\x00")),
    ("utf-32-be", re.compile(rb"\x00\x00\x00[\x01-\x7f]")),
    ("utf-16-le", re.compile(rb"(?:[\x01-\x7f]\x00){2}")),
    ("utf-16-be", re.compile(rb"(?:\x00[\x01-\x7f]){2}")),
)
_JSON_ROWS = re.compile(rb'\A(?:\xef\xbb\xbf)?\s*+(?:\{\s*+"[^"]*"\s*:|\[\s*+\{\s*+")')

# What is no rows, and what to do about it.
_UNPACK = "Unpack it, and name the files in it."
_SAVE = "Save it as CSV in UTF-8."
_REPACK = "Unpack it, or pack it with gzip or zstd."
_EXPORT = "Export its rows as JSON lines or Parquet."
_FOREIGN: tuple[tuple[str, bytes, str], ...] = (
    (
        "an Excel workbook (.xlsx)",
        rb"PK\x03\x04.{0,4000}(?:xl/|\[Content_Types\])",
        _SAVE,
    ),
    ("a zip archive", rb"PK\x03\x04", _UNPACK),
    (
        "a file of an old Office program (.xls)",
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        _SAVE,
    ),
    ("a SQLite database", rb"SQLite format 3\x00", _EXPORT),
    (
        "a page of HTML",
        rb"\A(?i:\s*+(?:<!--.{0,1000}?-->\s*+)?<(?:!doctype html|html|head|body)\b)",
        "Fetch the file itself: a page often says why it was not sent.",
    ),
    ("XML", rb"\A\s*+<\?xml\b", "Fetch the file itself, or export its rows as JSON lines."),
    (
        "a pointer of Git LFS",
        rb"version https://git-lfs\.github\.com/spec/",
        "Fetch the file itself: git lfs pull",
    ),
    ("packed with bzip2", rb"BZh[1-9]1AY&SY", _REPACK),
    ("packed with xz", rb"\xfd7zXZ\x00", _REPACK),
    ("packed with lz4", rb"\x04\x22\x4d\x18", _REPACK),
    ("a 7z archive", rb"7z\xbc\xaf\x27\x1c", _UNPACK),
    ("a tar archive", rb".{257}ustar[\x00 ]", _UNPACK),
    ("a PDF", rb"%PDF-", _EXPORT),
    (
        "Feather of version 1",
        rb"FEA1[^ -~]",
        "Write it again as Feather of version 2, or as Parquet.",
    ),
    ("Avro", rb"Obj\x01", _EXPORT),
    ("ORC", rb"ORC[^ -~]", _EXPORT),
    ("HDF5", rb"\x89HDF\r\n", _EXPORT),
    ("an array of NumPy", rb"\x93NUMPY", _EXPORT),
    ("an encrypted Parquet file", rb"PARE[^ -~]", _EXPORT),
    ("a Python pickle, which is never loaded", rb"\x80[\x02-\x05](?:\x95|[\]}(c])", _EXPORT),
)
_FOREIGNERS = tuple((what, re.compile(head, re.DOTALL), remedy) for what, head, remedy in _FOREIGN)


def packed_with(head: bytes) -> str | None:
    """Return the codec that a file is packed with, as Arrow calls it; None for a plain one."""
    return next((codec for codec, begins in _PACKED if begins.match(head)), None)


def columnar(head: bytes) -> str | None:
    """Return the suffix of a columnar file; None for any other."""
    return next((kind for kind, begins in _COLUMNAR if begins.match(head)), None)


def foreign(head: bytes) -> tuple[str, str] | None:
    """Return what a file is that holds no rows that are read, and a sentence of what to do."""
    for what, begins, remedy in _FOREIGNERS:
        if begins.match(head):
            return what, remedy
    return None


def mark(head: bytes) -> str | None:
    """Return the encoding that a text's byte order mark tells; None without one."""
    return next((name for name, begins in _MARKS if head.startswith(begins)), None)


def unmarked(head: bytes) -> str | None:
    """Return the encoding that every other byte of a text is zero in, for want of a mark."""
    return next((name for name, begins in _UNMARKED if begins.match(head)), None)


def is_json(head: bytes) -> bool:
    """Return whether a text begins as rows in JSON do, and as no header of CSV does."""
    return bool(_JSON_ROWS.match(head))
