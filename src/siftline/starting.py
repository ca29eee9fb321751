"""The first recipe: beside a few example rows, or over the files that a user names."""

import os
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.printable import encodable
from siftline.pipelines.ingestion.detection import head_of, shape_of
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.ingestion.readers import read_input
from siftline.pipelines.ingestion.stores import is_address

EXAMPLE = "example.jsonl"

_EXAMPLE_INPUT = f"  - {{path: {EXAMPLE}, source: example}}\n"
_MAX_ROW_BYTES = 1 << 20  # the default of a recipe


def write_example(recipe: Path) -> None:
    """Write a recipe, and the rows that it reads beside it.

    Raises:
        RecipeError: One of the two exists, or cannot be written.
    """
    _check_free(recipe)
    _write(recipe.parent / EXAMPLE, _shipped(EXAMPLE))
    _write(recipe, _shipped("recipe-template.yaml"))


def write_recipe(recipe: Path, files: Sequence[str]) -> list[Input]:
    """Write a recipe over some files, after the first rows of each have told their shape.

    Args:
        recipe: Where to write it.
        files: Paths or globs, relative to the working directory.

    Returns:
        The inputs, in the order of the files.

    Raises:
        RecipeError: The recipe exists or cannot be written, or a file is none that is read.
        InputError: A file is damaged, or of no shape that is known.
    """
    _check_free(recipe)
    folder = recipe.resolve().parent
    inputs = _named([_told(name, folder) for name in files])
    text = "".join(f"  - {_flow(item)}\n" for item in inputs)
    _write(recipe, _with_inputs(_shipped("recipe-template.yaml"), text))
    return inputs


def _told(name: str, folder: Path) -> Input:
    """Return a file as an input, or say how to begin without it.

    Raises:
        RecipeError: As for :func:`write_recipe`.
        InputError: Likewise, with what to do here, where no recipe is there to state anything in.
    """
    try:
        return _input(name, folder)
    except InputError as error:
        raise InputError(
            f"{error} No recipe was written: leave the file out here, and write it into the "
            "recipe by hand."
        ) from error


def _input(name: str, folder: Path) -> Input:
    if name.endswith((".yaml", ".yml")):
        raise RecipeError(
            f"Got '{name}', expected files of data. The recipe to write is named by --recipe: "
            f"siftline init --recipe {name}"
        )
    if encodable(name) != name:
        raise RecipeError(f"'{name}' is not UTF-8, which a recipe is; give it another name.")
    item = _named_input(name, folder)
    heads = [(file, head_of(rows)) for file, rows in read_input(item, folder, _MAX_ROW_BYTES)]
    told = [(file, head) for file, head in heads if head] or heads  # a file may hold no row
    shapes = {shape_of(head, item, file) for file, head in told}
    return item.model_copy(update={"format": shapes.pop()} if len(shapes) == 1 else {})


def _named_input(name: str, folder: Path) -> Input:
    try:
        return Input(path=name if is_address(name) else os.path.relpath(name, folder))
    except ValidationError as error:
        # The name is not repeated, since it may hold a credential.
        said = "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        raise RecipeError(f"One of the files cannot be an input: {said}") from None


def _with_inputs(template: str, inputs: str) -> str:
    """Return the template with other inputs than the example.

    Raises:
        RuntimeError: The template does not read the example.
    """
    if template.count(_EXAMPLE_INPUT) != 1:
        raise RuntimeError(f"the shipped template does not hold the line {_EXAMPLE_INPUT!r} once")
    return template.replace(_EXAMPLE_INPUT, inputs)


def _named(inputs: Sequence[Input]) -> list[Input]:
    """Give each input a source of its own: its file's name, or else that with its folder."""
    times = Counter(item.source for item in inputs)
    named: dict[str, Input] = {}
    for item in inputs:
        source = item.source
        if times[source] > 1 and (parent := Path(item.path or "").parent.name):
            source = f"{parent}-{source}"
        number, stem = 1, source
        while source in named:
            number += 1
            source = f"{stem}-{number}"
        named[source] = item.model_copy(update={"source": source})
    return list(named.values())


def _flow(item: Input) -> str:
    """Return an input as one line of YAML."""
    fields = {"path": item.path, "source": item.source, "format": item.format}
    return yaml.safe_dump(
        fields, default_flow_style=True, allow_unicode=True, sort_keys=False, width=1 << 20
    ).strip()


def _shipped(name: str) -> str:
    return resources.files("siftline").joinpath(name).read_text(encoding="utf-8")


def _check_free(path: Path) -> None:
    if path.exists():
        raise RecipeError(f"'{path}' exists already. Name another recipe, or move it away.")


def _write(path: Path, text: str) -> None:
    """Write a new file; one that is there stays as it is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise RecipeError(
            f"'{path}' exists already. Move it away, or let it be read: siftline init {path}"
        ) from error
    except OSError as error:
        raise RecipeError(f"Cannot write '{path}': {error.strerror}.") from error
