"""What the results of a computation depend on: its fields, its model and the files that it reads.

Scorers, trainers and the comparers inside them are computations. Their identity is made from what
stands here (:mod:`siftline.pipelines.scores.identity`), so nothing else may change a result.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from siftline.contracts.config import Config
from siftline.contracts.verbs import check_verbs


class Computation(Config):
    """A configuration whose results are stored under its identity.

    Attributes:
        revision: Bumped when the algorithm changes, so that old results are not reused; None where
            the computation that holds this one is bumped instead.
        local: The model must be on this machine, because its weights, its vectors or its tokenizer
            are needed, which no server lends.
    """

    revision: ClassVar[int | None] = None
    local: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Refuse what would leave a part of the results' identity out.

        Raises:
            TypeError: A name is nearly a verb's, a verb takes other arguments, or a field `model`
                stands without the verb `role` that says that it is run.
        """
        super().__pydantic_init_subclass__(**options)
        check_verbs(cls, set(cls.model_fields), strict=False)
        if "model" in cls.model_fields and cls.role is Computation.role:
            raise TypeError(
                f"{cls.__qualname__}.model: without 'role' the model would be no part of the "
                "results' identity; expected RunsModel among the bases."
            )

    @property
    def role(self) -> str | None:
        """The role of the model that it runs; None if it runs none."""
        return None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it reads beside the rows, relative to the recipe."""
        return ()

    @property
    def built_on(self) -> Mapping[str, str]:
        """What it is built on beside siftline: versions of packages, digests of what they carry.

        It is asked before anything runs, so a missing package is said here.

        Raises:
            ModelError: A package of an extra is not installed.
        """
        return {}


class RunsModel(Computation):
    """A computation with a model of the recipe.

    Attributes:
        model: Role of the model.
    """

    model: str

    @property
    def role(self) -> str | None:
        """The role of the model."""
        return self.model


class ReadsFile(Computation):
    """A computation that looks rows up in a file.

    Attributes:
        file: Its path, relative to the recipe. Its content is part of the identity of the results.
    """

    file: str

    @property
    def files(self) -> tuple[str, ...]:
        """The file."""
        return (self.file,)
