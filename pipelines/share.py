"""Shares in a recipe, as `5%` or 0.05."""

from typing import Annotated

from pydantic import BeforeValidator, Field


def read_share(value: object) -> object:
    """Read '5%' as 0.05.

    Raises:
        ValueError: What stands before the sign is no number.
    """
    if not isinstance(value, str) or not value.strip().endswith("%"):
        return value
    try:
        return float(value.strip()[:-1]) / 100
    except ValueError as error:
        raise ValueError(f"got {value!r}; expected a share such as '5%' or 0.05.") from error


Share = Annotated[float, BeforeValidator(read_share), Field(ge=0, le=1)]
