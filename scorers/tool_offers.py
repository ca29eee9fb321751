"""The tools that a conversation offers: their names, and the schemas of their arguments."""

import json
from typing import Any, NamedTuple

from siftline.contracts.examples import tools_of

_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema")
_NAMELESS = ("function", "mcp")  # a function without a name; a server that has many
_GROUPS = ("functionDeclarations", "function_declarations")


class Offers(NamedTuple):
    """What may be called.

    Attributes:
        schemas: Of each tool's arguments, by its name; None for one that states none.
        complete: Whether the name of every tool could be read.
    """

    schemas: dict[str, Any]
    complete: bool


def offers(tools: str | None) -> Offers:
    """Read the tools of a conversation.

    Known are OpenAI's form and its function alone, Anthropic's, Gemini's and MCP's, a built-in tool
    by its type, and a list of names.

    Args:
        tools: The column `tools`.
    """
    schemas: dict[str, Any] = {}
    complete = True
    for tool in _flat(tools_of(tools)):
        name, schema = _read(tool)
        if name is None:
            complete = False
        else:
            schemas.setdefault(name, schema)
    return Offers(schemas, complete)


def _flat(tools: Any) -> list[Any]:
    """Return tools one by one, where some come in groups."""
    found: list[Any] = []
    for tool in tools if isinstance(tools, list) else [tools]:
        groups = [tool[key] for key in _GROUPS if isinstance(tool, dict) and key in tool]
        found += [each for group in groups for each in group] if groups else [tool]
    return found


def _read(tool: Any) -> tuple[str | None, Any]:
    if isinstance(tool, str):
        return (tool, None) if tool and not tool.split()[1:] else (None, None)
    if not isinstance(tool, dict):
        return None, None
    inner = tool.get("function")
    function = inner if isinstance(inner, dict) else tool
    kind = None if tool.get("type") in _NAMELESS else tool.get("type")
    name = function.get("name", kind)
    return (name, _schema(function)) if isinstance(name, str) else (None, None)


def _schema(function: dict[str, Any]) -> Any:
    """Return the schema of a tool's arguments; None where it states none.

    A map from names to descriptions, as `{"town": {"type": "str", "description": ...}}`, lists
    parameters and is no schema.
    """
    given = next((function[key] for key in _SCHEMAS if function.get(key) is not None), None)
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return given
    return None if isinstance(given, dict) and _lists_parameters(given) else given


def _lists_parameters(given: dict[str, Any]) -> bool:
    if "properties" in given or isinstance(given.get("type"), str | list):
        return False
    return all(
        isinstance(each, dict) and ("type" in each or "description" in each)
        for each in given.values()
    )
