"""The recipe: inputs, models by role, and an ordered list of stages, read from YAML."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    model_validator,
)

from siftline.contracts.config import Config
from siftline.contracts.errors import RecipeError, nearest
from siftline.contracts.method import Budgeted, Method, local_roles_of, roles_of
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.printable import encodable
from siftline.contracts.scorer import in_order
from siftline.contracts.share import Share
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.kinds import known_kinds, method_of
from siftline.pipelines.output.formats.known import Layout
from siftline.pipelines.recipe_errors import described, explain_all
from siftline.pipelines.recipe_name import FolderName
from siftline.pipelines.recipe_text import read_recipe_text, read_yaml
from siftline.selectors.mixing import Mix


def _read_stage(data: Any) -> Method:
    """Return the method that a stage of a recipe names.

    Raises:
        ValueError: It names none.
    """
    if isinstance(data, Method):
        return data
    if not isinstance(data, dict):
        raise ValueError(f"got {described(data)}; expected a mapping with 'kind'.")
    if "kind" not in data:
        raise ValueError("no 'kind'; expected the name of a method." + nearest("", known_kinds()))
    try:
        method = method_of(str(data["kind"]))
    except KeyError:
        hint = nearest(str(data["kind"]), known_kinds())
        hint = hint or f" Is its package installed? Known: {', '.join(known_kinds())}."
        raise ValueError(f"unknown kind '{data['kind']}'.{hint}") from None
    return method.model_validate(data)


Stage = Annotated[SerializeAsAny[Method], PlainValidator(_read_stage)]


class Output(Layout):
    """What the curated dataset looks like: format, place of the reasoning, and order.

    Attributes:
        order_by: Score column, `table.column`, that orders the rows, such as easy ones first;
            `likelihood.mean_logprob` is derived. Rows without the score come last. None keeps the
            order in which they were read.
        descending: The highest score first.
    """

    order_by: str | None = Field(default=None, pattern=r"^\w+\.\w+$")
    descending: bool = False


class Recipe(Config):
    """One curated dataset: where its data comes from, and what is done to it.

    Attributes:
        name: Of the folder in the run directory.
        seed: Of every stage that does not state its own.
        inputs: Read in this order.
        max_bad_rows: Share of unusable rows above which a run stops, as `5%` or 0.05.
        max_row_bytes: Largest size of one input row, at most 1 GiB.
        models: By the role that stages name.
        stages: Done in this order.
        output: The curated dataset.
        allow_empty: A dataset without rows is a result, and not an error.
        engine: What maps the shards of a stage: threads of one process.
    """

    name: FolderName
    seed: int = 0
    inputs: tuple[Input, ...] = Field(min_length=1)
    max_bad_rows: Share = 0.05
    max_row_bytes: int = Field(default=1 << 20, ge=1, le=1 << 30)
    models: dict[str, ModelSpec] = {}
    stages: tuple[Stage, ...] = ()
    output: Output = Output()
    allow_empty: bool = False
    engine: Literal["threads"] = "threads"

    @model_validator(mode="before")
    @classmethod
    def _spread_seed(cls, data: Any) -> Any:
        """Give the recipe's seed to each stage that has one and does not state it."""
        if not isinstance(data, dict) or not isinstance(data.get("stages"), list | tuple):
            return data
        seed = data.get("seed", 0)
        return {**data, "stages": [_with_seed(stage, seed) for stage in data["stages"]]}

    @model_validator(mode="after")
    def _roles_exist(self) -> "Recipe":
        """Every model that a stage names must be among the models."""
        for number, stage in enumerate(self.stages):
            for role in sorted(roles_of(stage)):
                if role not in self.models:
                    hint = nearest(role, self.models) or " Add it under 'models'."
                    raise ValueError(f"stages[{number}]: no model named '{role}'.{hint}")
            for role in sorted(local_roles_of(stage)):
                if self.models[role].is_asked:
                    raise ValueError(
                        f"stages[{number}]: '{role}' is on a server; expected a model of this "
                        "machine, whose weights or vectors are needed. Name another role."
                    )
        return self

    @model_validator(mode="after")
    def _sources_exist(self) -> "Recipe":
        """Every source that a stage names must be among the inputs."""
        known = {item.source for item in self.inputs}
        for number, stage in enumerate(self.stages):
            for name in stage.source_names():
                if name not in known:
                    raise ValueError(
                        f"stages[{number}]: no input has the source '{name}'.{nearest(name, known)}"
                    )
        return self

    @model_validator(mode="after")
    def _scores_exist(self) -> "Recipe":
        """Every score that is named must be of a table that some stage before may leave.

        What a method derives, or asks for as it learns, is known when the stage has run.
        """
        known: set[str] = set()
        for number, stage in enumerate(self.stages):
            known |= {scorer.table for scorer in in_order(stage.scorers())}
            for field, name in stage.score_columns().items():
                _check_table(f"stages[{number}]: {field}", name, known)
            if _leaves_more(stage):
                return self
        if self.output.order_by is not None:
            _check_table("output.order_by", self.output.order_by, known)
        return self

    @model_validator(mode="after")
    def _repeats_and_splits_are_last(self) -> "Recipe":
        """No budget may follow repeated rows, of which it would know nothing; one DMT is enough."""
        kinds = [stage.kind for stage in self.stages]
        if kinds.count("dmt") > 1:
            raise ValueError("stages: got 'dmt' twice; expected one, whose splits are written.")
        for number, stage in enumerate(self.stages):
            later = [each.kind for each in self.stages[number + 1 :] if isinstance(each, Budgeted)]
            if isinstance(stage, Mix) and stage.max_epochs > 1 and later:
                raise ValueError(
                    f"stages[{number}]: 'mix' with 'max_epochs' above 1 repeats rows, which the "
                    f"budget of '{later[0]}' after it would count once; expected 'mix' after it."
                )
        return self


def _check_table(field: str, name: str, known: set[str]) -> None:
    table = name.partition(".")[0]
    if table not in known:
        remedy = nearest(table, known)
        if table in known_kinds():
            remedy = f" Put a stage of the kind '{table}' before it."
        raise ValueError(f"{field}: no stage before it has the score '{name}'.{remedy}")


def _leaves_more(stage: Method) -> bool:
    """Return whether a method may leave score tables beside those of its scorers."""
    kind = type(stage)
    return kind.follow is not Method.follow or kind.derive is not Method.derive


def _with_seed(stage: Any, seed: Any) -> Any:
    if not isinstance(stage, dict) or stage.get("kind") not in known_kinds():
        return stage
    method = method_of(stage["kind"])
    return {"seed": seed, **stage} if "seed" in method.model_fields else stage


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a file.

    Args:
        path: A YAML file.
        overrides: `key=value`, as in `seed=3` or `stages.0.budget=50%`; the value is YAML.

    Raises:
        RecipeError: The file is missing, is not YAML, or is not a recipe.
    """
    data = read_yaml(read_recipe_text(path), path.name)
    if not isinstance(data, dict):
        raise RecipeError(
            f"'{path.name}' holds {described(data)}, expected a mapping with 'name' and 'inputs'."
        )
    for override in overrides:
        apply_override(data, override)
    return parse_recipe(data, path.name)


def parse_recipe(data: Any, name: str) -> Recipe:
    """Validate a recipe.

    Raises:
        RecipeError: One sentence per field that is wrong.
    """
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = explain_all(error.errors(), data, Recipe)
        raise RecipeError("\n".join(f"{name}: {problem}" for problem in problems)) from error


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one value inside a recipe's data, in place.

    Args:
        data: The parsed YAML.
        override: `key=value`; the key is dotted, list items by number.

    Raises:
        RecipeError: The override has no `=`, is not UTF-8, or its key leads nowhere.
    """
    key, equals, value = override.partition("=")
    if not equals or not key or encodable(override) != override:
        raise RecipeError(f"--set got '{override}', expected key=value, such as seed=3.")
    *parents, last = key.split(".")
    target: Any = data
    for part in parents:
        target = _child(target, part, key)
    if isinstance(target, list):
        target[_position(target, last, key)] = read_yaml(value, "--set")
    elif isinstance(target, dict):
        target[last] = read_yaml(value, "--set")
    else:
        raise RecipeError(f"--set {key}: '{last}' cannot be set inside {described(target)}.")


def _child(target: Any, part: str, key: str) -> Any:
    if isinstance(target, list):
        return target[_position(target, part, key)]
    if isinstance(target, dict):
        return target.setdefault(part, {})
    raise RecipeError(f"--set {key}: '{part}' cannot be set inside {described(target)}.")


def _position(target: list[Any], part: str, key: str) -> int:
    if part.isdecimal() and int(part) < len(target):
        return int(part)
    raise RecipeError(f"--set {key}: got '{part}', expected a number from 0 to {len(target) - 1}.")
