"""Damaged files: made again in the cache and in unfinished runs, an error in finished ones."""

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_run import data_bytes, recipe, rows, write

from siftline.contracts.errors import DamagedError, RunError
from siftline.contracts.runtime import Runtime
from siftline.pipelines.record import RunRecord
from siftline.pipelines.run import RunResult, run
from siftline.pipelines.verification import verify
from siftline.reports.write import write_reports


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a finished version and its cache."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder, rows(12), bad_lines=1)
    go(folder)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(whole, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def go(folder: Path) -> RunResult:
    return run(recipe(), folder, folder / "runs", Runtime(shard_rows=16))


def version(folder: Path) -> Path:
    return folder / "runs" / "toy" / "v0001"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    place = len(data) * 4 if at is None else at
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


FINISHED = [
    "00-ingest/examples/part-00001.parquet",
    "00-ingest/quarantine.parquet",
    "00-ingest/manifest.json",
    "01-rules/verdicts.parquet",
    "03-grape/manifest.json",
    "03-grape/scores/likelihood-00000.parquet",
    "curated/data/train-00000-of-00001.parquet",
    "curated/README.md",
    "decisions.parquet",
    "recipe.yaml",
]
HEALED = [name for name in FINISHED if name[:2] in ("00", "01", "03")]
HARMS = [cut, empty, flip, remove]


@pytest.mark.parametrize("harm", [cut, remove])
@pytest.mark.parametrize("name", [*FINISHED, "report.json", "version.json"])
def test_a_finished_version_is_not_reused_without_all_of_its_files(
    copied: Path, name: str, harm: Callable[[Path], None]
) -> None:
    if (name, harm) == ("report.json", remove):
        return  # without it the version is not finished
    harm(version(copied) / name)
    with pytest.raises(DamagedError, match=rf"v0001/{name}' is damaged: .*Remove the folder"):
        go(copied)
    before = data_bytes(version(copied)) if "parquet" not in name else {}
    shutil.rmtree(version(copied))
    again = go(copied)
    assert again.model_calls == 0
    assert not before or data_bytes(again.folder) == before


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", [*HEALED, "version.json"])
def test_an_unfinished_version_is_made_whole_and_says_so(
    whole: Path,
    copied: Path,
    name: str,
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (version(copied) / "report.json").unlink()
    harm(version(copied) / name)
    result = go(copied)
    assert not result.reused
    assert data_bytes(result.folder) == data_bytes(version(whole))
    if name.endswith("manifest.json") and harm is remove:
        return  # then it was not finished
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert "is damaged" in line
    assert "is made again" in line


@pytest.mark.parametrize("harm", [cut, empty, flip])
def test_a_damaged_part_of_the_cache_is_scored_again(
    whole: Path, copied: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(version(copied))
    (part,) = list((copied / "runs" / "cache" / "likelihood").glob("*/scores-000000.parquet"))
    harm(part)
    result = go(copied)
    assert result.model_calls > 0
    assert data_bytes(result.folder) == data_bytes(version(whole))
    assert "Its scores are made again" in caplog.text
    caplog.clear()
    assert go(copied).reused
    assert not caplog.text


@pytest.mark.parametrize("name", [*FINISHED, "report.json", "version.json"])
def test_no_flipped_bit_passes_without_a_word(copied: Path, name: str) -> None:
    path = version(copied) / name
    written = path.read_bytes()
    draw = random.Random(name)
    for _ in range(25):
        flip(path, draw.randrange(8 * len(written)))
        assert str(path) in verify(version(copied)).damaged
        path.write_bytes(written)
    assert not verify(version(copied)).damaged


def test_a_flipped_bit_of_the_data_is_no_page(copied: Path) -> None:
    """What is read is held to its digest, whether or not it was verified before."""
    record = RunRecord(version(copied))
    ids = record.stages[0].verdicts["id"].to_pylist()
    flip(version(copied) / "00-ingest" / "examples" / "part-00000.parquet")
    with pytest.raises(DamagedError, match=r"part-00000\.parquet' is damaged: its bytes are not"):
        record.examples({0: ids[:1]})
    flip(version(copied) / "recipe.yaml")
    with pytest.raises(DamagedError, match=r"recipe\.yaml' is damaged"):
        write_reports(version(copied))


def test_all_that_a_run_keeps_is_verified(copied: Path) -> None:
    runs = copied / "runs"
    verified = verify(runs)
    inside = [path for path in runs.rglob("*.parquet") if path.is_file()]
    assert not verified.damaged
    assert verified.files >= len(inside)
    assert verify(runs / "toy" / "latest") == verify(version(copied)) == verify(runs / "toy")
    (part,) = list((runs / "cache" / "likelihood").glob("*/scores-000000.parquet"))
    flip(part)
    for folder in (runs, runs / "cache", part.parent):
        assert list(verify(folder).damaged) == [str(part)]
    (version(copied) / "report.json").unlink()
    flip(version(copied) / "01-rules" / "verdicts.parquet")
    assert len(verify(runs).damaged) == 2


def test_what_holds_no_run_is_not_verified(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run; expected a version"):
        verify(tmp_path)
    with pytest.raises(RunError, match="holds no run"):
        verify(tmp_path / "nowhere")


@pytest.mark.parametrize("harm", HARMS)
def test_whose_scores_a_folder_holds_is_stated_again(
    copied: Path, harm: Callable[[Path], None]
) -> None:
    (path,) = list((copied / "runs" / "cache" / "likelihood").glob("*/identity.json"))
    written = path.read_bytes()
    harm(path)
    shutil.rmtree(version(copied))
    assert go(copied).model_calls == 0
    assert path.read_bytes() == written


def test_a_page_is_made_again_whatever_else_was(copied: Path) -> None:
    """It is made of what the version's digests are of, and is none of that itself."""
    write_reports(version(copied))
    (version(copied) / "report.json").unlink()
    stale = version(copied) / "report.html"
    stale.write_text("stale")
    result = go(copied)
    assert not stale.exists()
    write_reports(result.folder)
    stale.unlink()
    assert go(copied).reused
    assert not verify(result.folder).damaged
