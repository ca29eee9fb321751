"""What `siftline plan` prints."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from rich import box
from rich.table import Table

from siftline.pipelines.planning import Plan, StagePlan
from siftline.terminal import shown

# What each row of a mixture's table shows; `siftline plan --json` has all.
_COLUMNS = ("available", "share", "asked", "given", "epochs", "short", "from_others", "random")


def plan_tables(plan: Plan) -> Iterator[Table | str]:
    """Yield the tables and sentences: what the data hold, the budgets, and each mixture."""
    yield _held(plan)
    if plan.quarantined:
        yield f"Rows that cannot be used, in quarantine: {plan.quarantined:,}."
    yield from (shown(remark) for remark in plan.remarks)
    yield from (f"[yellow]warning[/]  {shown(warning)}" for warning in plan.warnings)
    yield from (shown(sentence) for sentence in plan.served)
    yield _budgets(plan.stages)
    for stage in plan.stages:
        if stage.kind == "mix" and "groups" in stage.figures:
            yield _mixture(stage)
        elif stage.kind == "dmt":
            yield _splits(stage)
        for warning in stage.figures.get("warnings", ()):
            yield f"[yellow]warning[/]  {shown(stage.folder)}: {shown(warning)}"
        if stage.figures and stage.after:
            yield (
                f"{shown(stage.folder)}: as if all rows reached it; "
                f"{shown(', '.join(stage.after))} may drop or "
                "shrink some of it before."
            )


def _table(title: str, names: Sequence[str], texts: int) -> Table:
    """Return an empty table, of whose columns the first hold texts and the others numbers."""
    # Without vertical rules nine columns fit into 80 characters, and no figure is cut short.
    table = Table(
        title=shown(title), title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True
    )
    for place, name in enumerate(names):
        width = max(map(len, name.split()))
        justify: Literal["left", "right"] = "left" if place < texts else "right"
        table.add_column(shown(name), justify=justify, overflow="fold", min_width=width)
    return table


def _held(plan: Plan) -> Table:
    roles = sorted(plan.total.response_tokens)
    names = ["source", "task", "rows", "prompts", "response chars"]
    names += [f"response tokens ({role})" for role in roles]
    state = "finished" if plan.finished else "not run yet"
    table = _table(f"{plan.recipe} {plan.version}, {state}", names, texts=2)
    for each in (*plan.held, plan.total):
        total = each is plan.total
        if total:
            table.add_section()
        figures = [each.rows, each.prompts, each.response_chars]
        figures += [each.response_tokens[role] for role in roles]
        place = ("all", "") if total else (shown(each.source), shown(each.task or "not stated"))
        table.add_row(*place, *(f"{figure:,}" for figure in figures))
    return table


def _budgets(stages: Sequence[StagePlan]) -> Table:
    names = ("stage", "unit", "budget", "of", "comes to")
    table = _table("Budgets, as if everything reached each stage", names, texts=2)
    for stage in stages:
        stated = "all that the weights allow" if stage.kind == "mix" else "none"
        stated = "none: keeps all" if stage.kind == "dmt" else stated
        unknown = "not known yet" if stage.budget is not None else ""
        table.add_row(
            shown(stage.folder),
            f"{stage.unit}s" if stage.unit else "",
            stated if stage.budget is None else _number(stage.budget),
            unknown if stage.of is None else _number(stage.of),
            unknown if stage.keeps is None else _number(stage.keeps),
        )
    return table


def _mixture(stage: StagePlan) -> Table:
    figures = stage.figures
    budget, given = _number(figures["budget"]), _number(figures["given"])
    title = f"{stage.folder}: {given} of {budget} {stage.unit}s"
    names = [name.replace("_", " ") for name in _COLUMNS]
    table = _table(title, ["group", *names], texts=1)
    for name, row in figures["groups"].items():
        table.add_row(shown(name), *(_number(row[column]) for column in _COLUMNS))
    return table


def _splits(stage: StagePlan) -> Table:
    parts = ("stage1", "stage2", "replayed")
    sizes = stage.figures["sizes"]
    names = list(sizes["stage1"])
    title = f"{stage.folder}: {stage.figures['fraction']} in both splits"
    table = _table(title, ["split", *(name.replace("_", " ") for name in names)], texts=1)
    for part in parts:
        row = sizes[part]
        table.add_row("in both" if part == "replayed" else part, *(_number(row[n]) for n in names))
    return table


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else shown(str(value))
