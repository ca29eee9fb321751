"""What the data hold is shown on a terminal, and never obeyed."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import exit_code
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from siftline import terminal as screen
from siftline.contracts.errors import InputError
from siftline.contracts.printable import encodable, excerpt, printable
from siftline.progress_display import Bars, Lines
from siftline.terminal import shown

EVIL = "\x1b]0;owned\x07\x1b[2J\r\u202egnp[red]x[/][/]\u2066\x9b31m:smile:\\"
FILE = EVIL.replace("/", "b")
OBEYED = "\x1b\x07\r\x9b\u202e\u2066"


@given(st.text())
def test_printable_text_is_harmless_and_stays_as_it_is(text: str) -> None:
    safe = printable(text)
    assert printable(safe) == safe
    safe.encode("utf-8")
    assert not [c for c in safe if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160]


@given(st.text(alphabet=st.characters()))
def test_encodable_text_is_utf8_and_otherwise_the_same(text: str) -> None:
    assert encodable(text) == text.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\r\tb\x00", r"a\r\tb\x00"),
        ("\u202eabc", r"\u202eabc"),
        ("half \ud83d", r"half \ud83d"),
        ("é 😀 \n مرحبا", "é 😀 \n مرحبا"),
    ],
)
def test_what_a_terminal_obeys_becomes_its_escape(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_an_excerpt_is_one_line_of_a_few_characters() -> None:
    assert excerpt("a\n  b\tc") == "a b c"
    assert len(excerpt("x" * 10**6)) == 500
    assert excerpt("x" * 600).endswith("x...")


def test_a_message_is_printable_where_it_is_raised() -> None:
    assert not set(OBEYED) & set(str(InputError(f"'{EVIL}' and \ud83d")))


@given(st.text(alphabet=st.sampled_from("[]/red=@ :smile\x07\u202e"), max_size=12))
def test_the_console_shows_a_text_as_it_is(text: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, emoji=False, width=200, force_terminal=False)
    console.print(f"<{shown(text)}>", soft_wrap=True)
    table = Table(shown(text))
    table.add_row(shown(text))
    console.print(table)
    assert stream.getvalue().startswith(f"<{printable(text)}>\n")


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def siftline(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command here, and return its exit code and what it has printed, harmless as that is."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str) -> tuple[int, str]:
        code = exit_code(*arguments)
        printed = "".join(capsys.readouterr())
        assert not set(OBEYED) & set(printed)
        return code, printed

    return run


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which all that has a name is named with malice."""
    row = {"question": "q", "answer": "a", "task": EVIL, EVIL: EVIL}
    lines = "".join(json.dumps({**row, "question": f"q {n}"}) + "\n" for n in range(9))
    (tmp_path / f"x{FILE}.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / f"bad{FILE}.jsonl").write_text(json.dumps({EVIL: 1}), encoding="utf-8")
    recipe = {
        "name": "evil",
        "inputs": [{"path": "x*.jsonl", "source": EVIL}],
        "stages": [
            {"kind": "rules"},
            {"kind": "mix", "budget": 4, "by": "task"},
            {"kind": "exact_duplicates"},
        ],
    }
    (tmp_path / "r.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(screen.out, "_width", 400)  # so that no name is parted
    return tmp_path


def test_no_command_sends_what_names_hold(siftline: Run, evil: Path) -> None:
    for command in ("validate", "plan"):
        assert siftline(command, "r.yaml")[0] == 0
    assert "[red]x[/][/]" in siftline("plan", "r.yaml")[1]
    for extra in ([], ["--json"]):
        assert siftline("run", "r.yaml", "--no-prefect", "--runs", f"runs{FILE}", *extra)[0] == 0
    code, printed = siftline("run", "r.yaml", "--no-prefect", "--set", f"seed={EVIL}")
    assert (code, "error:" in printed) == (2, True)


def test_messages_quote_names_harmlessly(siftline: Run, evil: Path) -> None:
    recipe = json.loads((evil / "r.yaml").read_text("utf-8"))
    for inputs, expected in (
        ([{"path": "bad*.jsonl", "source": "s"}], 1),
        ([{"path": f"none{EVIL}", "source": "s"}], 2),
        ([{"path": "x*.jsonl", "source": "s", "columns": {"response": EVIL + "y"}}], 2),
    ):
        (evil / f"[b]{FILE}.yaml").write_text(json.dumps({**recipe, "inputs": inputs}), "utf-8")
        code, printed = siftline("run", f"[b]{FILE}.yaml", "--no-prefect")
        assert (code, "error:" in printed) == (expected, True)
    assert siftline("init", "--recipe", f"[b]{FILE}.yaml")[0] == 2
    assert siftline("init", "--recipe", f"[c]{FILE}.yaml")[0] == 0
    assert siftline("init", f"x{FILE}.jsonl", "--recipe", f"[d]{FILE}.yaml")[0] == 0
    assert siftline("run", f"[d]{FILE}.yaml", "--no-prefect")[0] == 0


def test_a_terminal_that_lacks_a_character_gets_its_escape() -> None:
    code = (
        "from siftline.terminal import out, take_any_text; take_any_text(); out.print('\\u0416 é')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    assert done.stdout == b"\\u0416 \\xe9\n"


def test_progress_shows_stages_and_notes_as_they_are() -> None:
    printed = []
    for terminal in (False, True):
        stream = io.StringIO()
        console = Console(file=stream, emoji=False, width=300, force_terminal=terminal)
        display = Bars(console) if terminal else Lines(console)
        display.start(f"01-{EVIL}", 3)
        display.note(EVIL)
        display.advance(1, 0)
        if isinstance(display, Lines):
            display._print()
        display.finish()
        printed.append(stream.getvalue())
    assert not set(OBEYED) & set(printed[0])
    for text in printed:  # a bar moves the cursor itself, but not as the names want
        assert "[red]x[/][/]" in text
        assert not {"\x07", "\u202e", "\x9b"} & set(text)
        assert "\x1b]0;" not in text
