"""The layout: folders that do not shadow the standard library, rooms in one order."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "contracts",
    "filters",
    "flows",
    "models",
    "pipelines",
    "reports",
    "scorers",
    "selectors",
)

# What the modules of a room may import from siftline, beside their own room.
BELOW = {
    "contracts": (),
    "models": ("contracts",),
    "scorers": ("contracts", "models"),
    "filters": ("contracts", "models", "scorers"),
    "selectors": ("contracts", "models", "scorers"),
    "pipelines": ("contracts", "models", "scorers", "filters", "selectors"),
    "reports": ("contracts", "pipelines"),
    "flows": ("contracts", "pipelines", "reports"),
}
# Inside a room: what the modules of a folder may import of that room, beside their own folder.
INSIDE = {
    "models/store": ("models.device_errors",),
    "selectors/quotas": (
        "selectors.arrays",
        "selectors.budget",
        "selectors.choices",
        "selectors.mixture.groups",
        "selectors.ranking",
    ),
}
# Of pipelines, what the reports read a run through.
READ_BY_REPORTS = ("manifest", "record")


def modules(folder: str) -> list[Path]:
    """Return all modules below a folder, at every level."""
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_resolve_and_folders_are_no_packages(folder: str) -> None:
    link = ROOT / "src" / "siftline" / folder
    assert link.is_symlink()
    assert link.resolve() == ROOT / folder
    assert not list((ROOT / folder).rglob("__init__.py"))


def test_every_folder_with_modules_is_packaged() -> None:
    """A wheel has only the packages that pyproject.toml names."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = set(config["tool"]["setuptools"]["packages"])
    folders = {path.parent for folder in FOLDERS for path in modules(folder)}
    found = {".".join(("siftline", *path.relative_to(ROOT).parts)) for path in folders}
    assert named == found | {"siftline"}


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    names = {path.stem for folder in FOLDERS for path in (ROOT / folder).glob("*.py")}
    assert not names & set(sys.stdlib_module_names)


def test_asyncio_imports_at_the_root() -> None:
    subprocess.run(
        [sys.executable, "-c", "import asyncio, selectors; selectors.DefaultSelector"],
        cwd=ROOT,
        check=True,
    )


@pytest.mark.parametrize("room", sorted(BELOW))
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    for path in modules(room):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "siftline" or len(parts) < 3:
                continue  # `import siftline`, for its version
            assert parts[1] in (room, *BELOW[room]), f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("folder", sorted(INSIDE))
def test_folders_of_a_room_keep_to_themselves(folder: str) -> None:
    room, mine = folder.split("/")[0], "siftline." + folder.replace("/", ".")
    allowed = (mine, *(f"siftline.{name}" for name in INSIDE[folder]))
    for path in modules(folder):
        for name in imports(path):
            if name.startswith(f"siftline.{room}."):
                assert name.startswith(allowed), f"{path.relative_to(ROOT)} imports {name}"


def test_reports_read_a_run_through_its_record() -> None:
    for path in modules("reports"):
        for name in imports(path):
            if name.startswith("siftline.pipelines."):
                assert name.split(".")[2] in READ_BY_REPORTS, f"{path.name} imports {name}"


def test_siftlines_own_parquet_has_one_reader_and_one_writer() -> None:
    """They hold a file to its digest; the others read files of users."""
    of_users = {
        "scorers/earlier_rows.py",
        "scorers/given_trajectories.py",
        "scorers/leaks/benchmark_rows.py",
        "scorers/membership.py",
    }
    using = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in modules(folder)
        if "pyarrow.parquet" in imports(path)
    }
    ours = {name for name in using if not name.startswith("pipelines/ingestion/")}
    assert ours == {"contracts/parquet.py", *of_users}


def test_prefect_is_imported_in_flows_only() -> None:
    for folder in FOLDERS:
        if folder != "flows":
            for path in modules(folder):
                assert not any(name.split(".")[0] == "prefect" for name in imports(path)), path


WITHOUT_THE_EXTRA = """
import importlib, sys
missing = "torch transformers peft safetensors sentence_transformers openai gguf accelerate".split()

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_all_but_the_engine_imports_without_the_models_extra() -> None:
    names = [
        ".".join(("siftline", *path.relative_to(ROOT).with_suffix("").parts))
        for folder in FOLDERS
        for path in modules(folder)
        if ROOT / "models" / "engine" not in path.parents
    ]
    subprocess.run([sys.executable, "-c", WITHOUT_THE_EXTRA, *names], check=True)


def test_importing_the_library_loads_no_model_library() -> None:
    code = "import siftline.pipelines.run, sys; assert not {'torch', 'prefect'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
