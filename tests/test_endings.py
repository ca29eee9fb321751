"""How a command ends: a full disk and a folder that is read only are one sentence, exit code 1."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from siftline.contracts.errors import RecipeError, RunError
from siftline.endings import guarded


def ends(error: BaseException) -> tuple[int, str]:
    """Return the exit code of a command that raises, and what is said."""

    def command() -> None:
        raise error

    console = Console(record=True, width=80, quiet=False, stderr=True)
    return guarded(command, console), console.export_text().strip()


def test_mistakes_and_failures() -> None:
    assert ends(RecipeError("a [b]")) == (2, "error: a [b]")
    assert ends(RunError("c")) == (1, "error: c")
    assert ends(KeyboardInterrupt()) == (130, "Interrupted.")
    assert ends(SystemExit(130)) == (130, "Interrupted.")
    with pytest.raises(SystemExit):
        ends(SystemExit(2))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_system_refuses_is_named(number: int) -> None:
    code, said = ends(OSError(number, os.strerror(number), "/some/[folder]"))
    assert code == 1
    assert said.startswith(f"error: '/some/[folder]' cannot be used: {os.strerror(number)}.")
    with pytest.raises(FileNotFoundError):
        ends(FileNotFoundError(errno.ENOENT, "no such file", "/x"))


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_disk_that_is_full_is_one_sentence_and_a_rerun_goes_on(tmp_path: Path) -> None:
    draw = Random(0)
    rows = [{"question": f"{n}?", "answer": draw.randbytes(200).hex()} for n in range(200)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text("name: r\ninputs: [{path: d.jsonl}]\nstages: []\n")
    code = "from siftline.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "r.yaml", "--no-prefect"]
    full = subprocess.run(
        command, cwd=tmp_path, preexec_fn=limited, capture_output=True, text=True, check=False
    )
    assert full.returncode == 1
    (error,) = [line for line in full.stderr.splitlines() if not line.startswith("ingest: ")]
    assert error.startswith("error: Cannot write 'runs/r/v0001/00-ingest/examples/part-0000")
    assert "File too large. Make room there" in error
    assert not list((tmp_path / "runs").rglob("part-*.parquet"))
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert not list((tmp_path / "runs").rglob("*.tmp"))
