"""The documentation is true: its examples run, its recipes parse, its links lead somewhere.

The examples of a page run in order in one folder, which holds `data_samples/`. A block whose first
line is a path in a comment, such as `# first.yaml`, is that file. A block that is not run or not
parsed says why in an HTML comment before its fence: `<!-- not run: starts a server -->`.

The builtin models of packages are replaced by `builtin:toy`, which takes no time.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import yaml
from pydantic import BaseModel

from siftline.pipelines.kinds import BUILTIN, kind_of, method_of
from siftline.pipelines.recipe import parse_recipe

ROOT = Path(__file__).parent.parent
README, METHODS = ROOT / "README.md", ROOT / "docs" / "methods.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "data_samples" / "README.md", *DOCS]
LONGEST_LINE = 120
LONGEST_PAGE, LONGEST_README = 300, 140

_BLOCK = re.compile(
    r"^(?:<!--(?P<comment>.*?)-->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml|yaml))\n")
_BUILTIN = re.compile(r"builtin:(?:smollm2|minilm)")
_FIELD = re.compile(r"`([a-z_]+)[^`]*`")

# What a fragment of a recipe on a page may name without stating it.
_FRAGMENT: dict[str, Any] = {
    "name": "fragment",
    "inputs": [{"path": "mine.jsonl", "source": "mine"}],
    "models": {role: {"name": "builtin:toy"} for role in ("target", "embedder", "judge", "proxy")},
}


class Block(NamedTuple):
    """A fenced example.

    Attributes:
        page: Where it stands.
        line: Of its fence.
        language: Of its fence.
        text: What is between the fences.
        left_out: Why it is not run; empty where it is.
    """

    page: Path
    line: int
    language: str
    text: str
    left_out: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def path(self) -> str | None:
        """The file that the block is."""
        found = _FILE.match(self.text)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """Return the fenced examples of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        comment = (match["comment"] or "").strip()
        left_out = comment.removeprefix("not run: ") if comment.startswith("not run: ") else ""
        line = text[: match.start()].count("\n") + 1
        found.append(Block(page, line, match["language"], match["text"], left_out))
    return found


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def pages_with_examples() -> list[Any]:
    """Return the pages that have something to run, with the markers that a test of it needs."""
    found = []
    for page in PAGES:
        run = [each for each in blocks(page) if not each.left_out and each.path is None]
        texts = {name: [b.text for b in run if b.language == name] for name in ("sh", "python")}
        commands = [line for text in texts["sh"] for line in text.splitlines()]
        if not (texts["sh"] or texts["python"]):
            continue
        marks = []
        if any("siftline run" in line and "--no-prefect" not in line for line in commands):
            marks.append(pytest.mark.prefect)
        found.append(pytest.param(page, marks=marks, id=name_of(page)))
    return found


def with_toy(text: str) -> str:
    """Name the toy in the place of models that packages carry."""
    return _BUILTIN.sub("builtin:toy", text)


def write(block: Block, folder: Path) -> None:
    """Write the file that a block is; of a package also what an installation of it leaves."""
    assert block.path is not None
    path = folder / block.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(with_toy(block.text), "utf-8")
    if path.name == "pyproject.toml":
        project = tomllib.loads(block.text)["project"]
        name, version = project["name"].replace("-", "_"), project["version"]
        info = path.parent / f"{name}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata, "utf-8")
        (info / "top_level.txt").write_text(f"{name}\n", "utf-8")
        lines = []
        for group, entries in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{kind} = {target}" for kind, target in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.parametrize("page", pages_with_examples())
def test_examples_run(page: Path, tmp_path: Path) -> None:
    samples = shutil.ignore_patterns("*.py", "__pycache__")
    shutil.copytree(ROOT / "data_samples", tmp_path / "data_samples", ignore=samples)
    packages = [str(tmp_path / Path(b.path).parent) for b in blocks(page) if b.path]
    path = [*dict.fromkeys(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(path),
        "HF_DATASETS_CACHE": str(tmp_path / "datasets"),
        "COLUMNS": "120",
    }
    for block in blocks(page):
        if block.left_out or block.language not in ("sh", "python", "yaml", "toml"):
            continue
        if block.path is not None:
            write(block, tmp_path)
        elif block.language in ("sh", "python"):
            shell = block.language == "sh"
            command = ["bash", "-e", "-c"] if shell else [sys.executable, "-c"]
            done = subprocess.run(
                [*command, with_toy(block.text)],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{block.place}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, f"{block.place}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_example_is_of_a_known_language(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = blocks(page)
    assert text.count("```") == 2 * len(found), "a fence is left open"
    for block in found:
        assert block.language in ("sh", "python", "yaml", "toml", "text"), block.place


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_recipes_parse(page: Path) -> None:
    if any(block.language == "toml" for block in blocks(page)):
        return  # its kinds are known to the commands of the page alone, which are run
    for block in blocks(page):
        if block.language == "yaml" and not block.left_out:
            data = yaml.safe_load(block.text)
            part = {"stages": data} if isinstance(data, list) else data
            parse_recipe({**_FRAGMENT, **part}, block.place)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{name_of(page)} links to {target}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_and_pages_are_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) < (LONGEST_README if page == README else LONGEST_PAGE)
    prose = [line for line in lines if page == README or not line.startswith("|")]
    assert not [line for line in prose if len(line) > LONGEST_LINE]


def test_the_readme_leads_to_every_page_of_the_documentation() -> None:
    index = {(README.parent / link).resolve() for link in _LINK.findall(README.read_text("utf-8"))}
    decisions = ROOT / "docs" / "decisions.md"
    index |= {
        (decisions.parent / link).resolve() for link in _LINK.findall(decisions.read_text("utf-8"))
    }
    assert not set(DOCS) - index


def test_every_kind_is_in_the_readme_s_table_and_in_the_page_of_methods() -> None:
    kinds = {kind_of(method) for method in BUILTIN}
    rows = re.findall(r"^\| (`.*?) \|", README.read_text(encoding="utf-8"), re.M)
    headings = re.findall(r"^### (.+)$", METHODS.read_text(encoding="utf-8"), re.M)
    for place in (rows, headings):
        assert sorted(kind for each in place for kind in re.findall(r"`(\w+)`", each)) == sorted(
            kinds
        )


def sections() -> list[tuple[str, str]]:
    """Return heading and text of each method on the page of methods."""
    parts = re.split(r"^###? (.+)$", METHODS.read_text(encoding="utf-8"), flags=re.M)
    return [
        (name, text) for name, text in zip(parts[1::2], parts[2::2], strict=True) if "`" in name
    ]


@pytest.mark.parametrize(("heading", "text"), sections(), ids=[each[0] for each in sections()])
def test_the_fields_that_are_named_exist(heading: str, text: str) -> None:
    kinds = re.findall(r"`(\w+)`", heading)
    known = set(kinds).union(*(fields_of(method_of(kind)) for kind in kinds))
    listed = re.search(r"^- Fields: (.*?)(?=^- |^$|\Z)", text, re.M | re.S)
    assert listed is not None, f"{heading} names no fields"
    named = re.sub(r"\([^()]*\)", "", listed[1])  # in brackets stand values
    assert set(_FIELD.findall(named)) <= known


def fields_of(model: type[BaseModel]) -> set[str]:
    """Return the names of a configuration's fields, and of those inside them."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        names |= {name, *filter(None, [field.alias])}
        for inner in configurations(field.annotation):
            names |= fields_of(inner)
    return names


def configurations(annotation: Any) -> list[type[BaseModel]]:
    """Return the configurations in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for part in get_args(annotation) for each in configurations(part)]
