"""What is wrong with a recipe, in sentences: where, what was found, what to do."""

import reprlib
import types
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

from siftline.contracts.errors import nearest
from siftline.contracts.printable import excerpt
from siftline.pipelines.kinds import method_of

# What pydantic calls otherwise than YAML does.
_EXPECTED = {
    "tuple_type": "a list, such as [first, second]",
    "list_type": "a list, such as [first, second]",
    "dict_type": "a mapping, such as {key: value}",
    "model_type": "a mapping, such as {key: value}",
    "model_attributes_type": "a mapping, such as {key: value}",
}

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60


def explain_all(problems: Sequence[Any], data: Any, recipe: type[BaseModel]) -> list[str]:
    """Turn pydantic's errors into sentences, without those that follow from others.

    Args:
        problems: As `ValidationError.errors()` returns them.
        data: What was validated.
        recipe: The model that it was held to.
    """
    places = [problem["loc"] for problem in problems]

    def follows(problem: Any) -> bool:
        """Tell a list that is too short only because its items are wrong."""
        place = problem["loc"]
        inside = [each for each in places if len(each) > len(place) and each[: len(place)] == place]
        return problem["type"] == "too_short" and bool(inside)

    return [explain(each, data, recipe) for each in problems if not follows(each)]


def explain(problem: Any, data: Any, recipe: type[BaseModel]) -> str:
    """Turn one of pydantic's errors into a sentence.

    Args:
        problem: One of `ValidationError.errors()`.
        data: What was validated.
        recipe: The model that it was held to.
    """
    location: tuple[int | str, ...] = problem["loc"]
    where = _where(location)
    if problem["type"] == "extra_forbidden":
        known = _fields(location[:-1], data, recipe)
        return f"{where}: unknown field.{nearest(str(location[-1]), known)}"
    if problem["type"] == "union_tag_invalid":
        tag = problem["ctx"]["tag"]
        tags = problem["ctx"]["expected_tags"].replace("'", "").split(", ")
        return f"{where}: unknown kind '{tag}'.{nearest(str(tag), tags)}"
    if problem["type"] == "value_error":
        message = str(problem["ctx"]["error"])
        return f"{where}: {message}" if where else message
    if problem["type"] == "missing":
        return f"{where}: missing, and it has no default."
    value = excerpt(_SHORT.repr(problem["input"]), 120)
    wanted = _EXPECTED.get(problem["type"])
    return f"{where}: got {value}{f'; expected {wanted}' if wanted else '. ' + problem['msg']}."


def _where(location: tuple[int | str, ...]) -> str:
    """Write a location as in `stages[2].budget`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _fields(location: tuple[int | str, ...], data: Any, recipe: type[BaseModel]) -> list[str]:
    """Return the fields that a configuration at a location has."""
    models: list[type[BaseModel]] = [recipe]
    for depth, part in enumerate(location):
        if location[0] == "stages" and depth == 1:
            models = [method_of(data["stages"][part]["kind"])]
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:
            models = [each for field in fields for each in _models_in(field.annotation)]
        elif isinstance(part, str):  # pydantic names the kind of a union's member
            kinds = [each for each in models if _default_kind(each) == part]
            models = kinds or models
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in get_args(annotation) for model in _models_in(each)]


def _default_kind(model: type[BaseModel]) -> Any:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None


def described(value: Any) -> str:
    """Return what YAML has given, in a user's words."""
    names = {list: "a list", dict: "a mapping", str: "a text", types.NoneType: "nothing"}
    return names.get(type(value), f"the value '{value}'")
