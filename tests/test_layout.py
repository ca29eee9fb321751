"""The layout: folders that do not shadow the standard library, imports in one direction."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("filters", "flows", "models", "pipelines", "reports", "selectors")

# What a folder's modules may import from siftline. pipelines.{recipe,job,stage,run ...} join all.
ALLOWED = {
    "models": ("siftline.models", "siftline.pipelines."),
    "filters": ("siftline.filters", "siftline.models", "siftline.pipelines."),
    "selectors": ("siftline.selectors", "siftline.models", "siftline.pipelines."),
}
BASE = ("config", "corpus", "errors", "examples", "method", "progress", "share", "text_statistics")


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_resolve_and_folders_are_no_packages(folder: str) -> None:
    link = ROOT / "src" / "siftline" / folder
    assert link.is_symlink()
    assert link.resolve() == ROOT / folder
    assert not list((ROOT / folder).rglob("__init__.py"))


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    names = {path.stem for folder in FOLDERS for path in (ROOT / folder).glob("*.py")}
    assert not names & set(sys.stdlib_module_names)


def test_asyncio_imports_at_the_root() -> None:
    subprocess.run(
        [sys.executable, "-c", "import asyncio, selectors; selectors.DefaultSelector"],
        cwd=ROOT,
        check=True,
    )


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_import_direction(folder: str) -> None:
    for path in (ROOT / folder).glob("*.py"):
        for name in imports(path):
            if not name.startswith("siftline.") or name == "siftline.pipelines":
                continue
            assert name.startswith(ALLOWED[folder]), f"{path.name} imports {name}"
            if name.startswith("siftline.pipelines."):
                assert name.split(".")[2] in BASE, f"{path.name} imports {name}"


def test_prefect_is_imported_in_flows_only() -> None:
    for folder in FOLDERS:
        if folder != "flows":
            for path in (ROOT / folder).glob("*.py"):
                assert not any(name.split(".")[0] == "prefect" for name in imports(path)), path


def test_importing_the_library_loads_no_model_library() -> None:
    code = "import siftline.pipelines.run, sys; assert not {'torch', 'prefect'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
