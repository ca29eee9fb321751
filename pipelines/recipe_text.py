"""The text of a recipe: YAML in which a repeated key is an error."""

from pathlib import Path
from typing import Any

import yaml

from siftline.contracts.errors import RecipeError
from siftline.contracts.printable import encodable, excerpt

_MOST_LEVELS = 50  # of lists and mappings inside one another

# What PyYAML raises of a value that it cannot make, such as a 13th month, beside its own errors.
_UNMADE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML in which a repeated key is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing a repeated key, and one that is a list or a mapping."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key is a list or a mapping, expected a text",
                    problem_mark=key_node.start_mark,
                )
            key = key_node.value
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key}' stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_recipe_text(path: Path) -> str:
    """Read the file of a recipe.

    Raises:
        RecipeError: It is missing, a folder, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise RecipeError(
            f"Cannot read the recipe '{path}': {reason}. Expected a file of YAML; 'siftline init' "
            "writes one."
        ) from error


def read_yaml(text: str, name: str) -> Any:
    """Parse YAML, refusing repeated keys.

    Raises:
        RecipeError: It is not YAML, where the message gives line and column, or holds what no
            recipe does: nesting without end, or half of a surrogate pair.
    """
    try:
        value = yaml.load(text, Loader=_UniqueKeys)
        _check(value, _MOST_LEVELS, set())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = excerpt(getattr(error, "problem", None) or str(error))
        raise RecipeError(f"'{name}'{where}: not valid YAML: {problem}.") from error
    except RecursionError as error:
        raise RecipeError(
            f"'{name}': nested too deeply; expected at most {_MOST_LEVELS} levels of lists and "
            "mappings, as a recipe has."
        ) from error
    except _UNMADE as error:
        raise RecipeError(f"'{name}': not valid YAML: {excerpt(str(error))}.") from error
    return value


def _check(value: Any, left: int, whole: set[int]) -> None:
    """Check that a value can be walked and stored.

    Args:
        value: Of the YAML.
        left: Levels that it may have.
        whole: Identities of the lists and mappings that were walked: an anchor may name one often.

    Raises:
        RecursionError: It is nested too deeply, or inside itself.
        ValueError: A text holds half of a surrogate pair.
    """
    if isinstance(value, str) and encodable(value) != value:
        raise ValueError(f"half of a surrogate pair in '{value}'")
    if not isinstance(value, dict | list) or id(value) in whole:
        return
    if not left:
        raise RecursionError
    for entry in [*value, *value.values()] if isinstance(value, dict) else value:
        _check(entry, left - 1, whole)
    whole.add(id(value))
