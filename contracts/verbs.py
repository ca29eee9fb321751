"""What a class of the vocabulary may define: verbs that the runner calls, with their arguments.

A misspelt verb would never be called, and one with other arguments would fail in mid-run. So both
are refused when the class is defined, in other packages too.
"""

import difflib
import inspect
from collections.abc import Iterator

from siftline.contracts.errors import nearest


def check_verbs(kind: type, fields: set[str], *, strict: bool) -> None:
    """Hold the names that a class and its mixins define to the verbs of the vocabulary.

    Args:
        kind: The class. Its verbs are the public functions and properties of those of its bases
            that belong to the vocabulary.
        fields: Names of the class's fields.
        strict: Refuse every public name that is no verb; otherwise only what is nearly one.

    Raises:
        TypeError: A name is no verb, or a verb is a field, is no method, or takes other arguments.
    """
    bases = [base for base in kind.__mro__ if base.__module__.startswith("siftline.contracts.")]
    verbs = {name: value for base in reversed(bases) for name, value in _public(base)}
    for name in sorted(set(verbs) & fields):
        raise TypeError(f"{kind.__qualname__}.{name}: a field cannot have the name of a verb.")
    for owner in kind.__mro__:
        if owner in bases or owner.__module__.startswith(("pydantic.", "builtins", "abc")):
            continue
        for name, value in _public(owner):
            where = f"{owner.__qualname__}.{name}"
            if name in verbs:
                _check_arguments(where, value, verbs[name])
            elif strict or difflib.get_close_matches(name, verbs):
                raise TypeError(
                    f"{where}: there is no verb of this name, so the runner would never call it."
                    f"{nearest(name, verbs)} Helpers start with an underscore."
                )


def _public(kind: type) -> Iterator[tuple[str, object]]:
    """Yield the public functions and properties that a class itself defines."""
    for name, value in vars(kind).items():
        if name.startswith(("_", "model_")):
            continue
        if inspect.isroutine(value) or isinstance(value, property):
            yield name, value


def _check_arguments(where: str, given: object, wanted: object) -> None:
    if isinstance(wanted, property):
        if not isinstance(given, property):
            raise TypeError(f"{where}: expected a property, as in the vocabulary.")
        return
    if not (inspect.isfunction(given) and inspect.isfunction(wanted)):
        raise TypeError(f"{where}: expected a plain method, as in the vocabulary.")
    found, expected = (tuple(inspect.signature(each).parameters) for each in (given, wanted))
    if found != expected:
        raise TypeError(f"{where}: got ({', '.join(found)}), expected ({', '.join(expected)}).")
