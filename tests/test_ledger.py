"""The answers of servers on disk: found again, and never read where they are damaged."""

import contextlib
import sqlite3
from pathlib import Path
from random import Random

import pytest

from siftline.contracts.errors import RunError
from siftline.models.remote.ledger import Ledger

ASKED = {"model": "m", "prompt": "Which?"}
SAID = {"choices": [{"text": "This one, and no other."}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path / "answers" / "a.sqlite")
    ledger.add(ASKED, SAID)
    ledger.close()
    return tmp_path / "answers" / "a.sqlite"


def test_an_answer_is_found_again(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add(ASKED, {"choices": []})
    assert ledger.find(ASKED) == SAID
    assert ledger.find({**ASKED, "model": "other"}) is None


def test_an_answer_that_changed_is_asked_for_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE sealed SET body = replace(body, 'This', 'That')")
    ledger = Ledger(path)
    assert ledger.find(ASKED) is None
    assert "is damaged. It is asked for again" in caplog.text
    ledger.add(ASKED, SAID)
    assert ledger.find(ASKED) == SAID


def test_a_flipped_bit_never_gives_another_answer(path: Path) -> None:
    written, draw = path.read_bytes(), Random(0)
    for _ in range(100):
        data, bit = bytearray(written), draw.randrange(8 * len(written))
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with contextlib.suppress(RunError):
            assert Ledger(path).find(ASKED) in (SAID, None)
        for extra in path.parent.glob("a.sqlite-*"):
            extra.unlink()


def test_a_file_that_is_none_of_ours_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"nothing of the kind, but as long as a header" * 9)
    with pytest.raises(RunError, match=r"a\.sqlite' cannot be used: file is not a database\."):
        Ledger(tmp_path / "a.sqlite")
