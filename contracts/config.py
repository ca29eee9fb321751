"""The base of every configuration: frozen, and closed to unknown fields."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen configuration in which an unknown field is an error.

    Its fields are exactly what may change a result; where and how fast it is computed belongs to
    :class:`siftline.contracts.runtime.Runtime`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
