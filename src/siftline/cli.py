"""The command line: `siftline init`, `validate`, `plan`, `run`, `calibrate` and `verify`."""

import json
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siftline import __version__
from siftline.calibration_display import calibration_tables, verdict
from siftline.contracts.errors import RecipeError, RunError
from siftline.contracts.runtime import Runtime
from siftline.endings import guarded, without_interrupts
from siftline.pipelines.calibration.calibrate import calibrate
from siftline.pipelines.ingestion.inputs import resolve
from siftline.pipelines.planning import plan
from siftline.pipelines.recipe import load_recipe
from siftline.pipelines.run import RunResult, require_rows, run
from siftline.pipelines.run_directory import INGEST
from siftline.pipelines.verification import verify
from siftline.plan_display import plan_tables
from siftline.progress_display import display
from siftline.reports.write import write_reports

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Curate instruction data for supervised fine-tuning.",
)
out = Console()
err = Console(stderr=True)

RecipePath = Annotated[Path, typer.Argument(help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, such as stages.0.k=2."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("recipe.yaml"),
) -> None:
    """Write a recipe with comments, to be edited."""
    text = resources.files("siftline").joinpath("recipe-template.yaml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise RecipeError(
            f"'{path}' exists already. Name another file, or move it away."
        ) from error
    except OSError as error:
        raise RecipeError(f"Cannot write '{path}': {error}.") from error
    out.print(f"Wrote [bold]{escape(str(path))}[/]. Edit its inputs, then: siftline run {path}")


@app.command()
def validate(recipe: RecipePath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a recipe and that its inputs are there; nothing is run."""
    loaded = load_recipe(recipe, overrides or ())
    files = {
        item.source: [path.name for path in resolve(item, recipe.resolve().parent)]
        for item in loaded.inputs
    }
    if as_json:
        _print_json({"recipe": loaded.model_dump(mode="json"), "files": files})
        return
    count = sum(len(names) for names in files.values())
    kinds = ", ".join(stage.kind for stage in loaded.stages) or "none"
    out.print(f"{escape(loaded.name)} is valid: {count} input files; stages: {kinds}.")


@app.command("plan")
def plan_command(
    recipe: RecipePath,
    runs: Annotated[Path, typer.Option(help="The run directory.")] = Path("runs"),
    overrides: Overrides = None,
    device: Annotated[str, typer.Option(help="That of the run to come.")] = "auto",
    shard_rows: Annotated[int, typer.Option(min=1, help="Examples in one shard.")] = 4096,
    as_json: AsJson = False,
) -> None:
    """Read the inputs, and print what they hold and what each budget comes to; no model is run."""
    loaded = load_recipe(recipe, overrides or ())
    runtime = Runtime(device=device, shard_rows=shard_rows)
    with display(err):
        planned = plan(loaded, recipe.resolve().parent, runs, runtime)
    if as_json:
        _print_json(planned.model_dump(mode="json"))
        return
    for part in plan_tables(planned):
        out.print(part)


@app.command("run")
def run_command(
    recipe: RecipePath,
    runs: Annotated[Path, typer.Option(help="The run directory.")] = Path("runs"),
    overrides: Overrides = None,
    prefect: Annotated[
        bool, typer.Option("--prefect/--no-prefect", help="Run as a Prefect flow.")
    ] = True,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, or several: cuda:0,cuda:1.")
    ] = "auto",
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens in one forward pass; by device if left out.")
    ] = None,
    shard_rows: Annotated[int, typer.Option(min=1, help="Examples in one shard.")] = 4096,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: read, clean, score, select, and write the curated dataset."""
    loaded = load_recipe(recipe, overrides or ())
    runtime = Runtime(device=device, max_batch_tokens=batch_tokens, shard_rows=shard_rows)
    with display(err):
        if prefect:
            result = _run_flow(recipe, runs, overrides or [], runtime)
        else:
            result = run(loaded, recipe.resolve().parent, runs, runtime)
            write_reports(result.folder)
            require_rows(loaded, result)
    if as_json:
        _print_json(result.model_dump(mode="json"))
    else:
        _print_result(result)


@app.command("calibrate")
def calibrate_command(
    recipe: RecipePath,
    runs: Annotated[Path, typer.Option(help="The run directory.")] = Path("runs"),
    overrides: Overrides = None,
    rows: Annotated[int, typer.Option(min=4, help="Of the sample; half get an error.")] = 200,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Plant known errors into a sample, and see whether CLEAR's confidence finds them."""
    loaded = load_recipe(recipe, overrides or ())
    with display(err):
        calibration = calibrate(loaded, recipe.resolve().parent, runs, Runtime(device=device), rows)
    if as_json:
        _print_json(calibration.model_dump(mode="json"))
        return
    for table in calibration_tables(calibration):
        out.print(table)
    out.print(verdict(calibration))
    out.print(f"{calibration.model_calls:,} model calls, {calibration.tokens:,} tokens.")


@app.command("verify")
def verify_command(
    folder: Annotated[Path, typer.Argument(help="A version, a recipe's folder, a cache, or all.")],
    as_json: AsJson = False,
) -> None:
    """Compare every file of a run or a cache with its digest; nothing is changed."""
    verified = verify(folder)
    if as_json:
        _print_json(verified.model_dump(mode="json"))
    for path, problem in () if as_json else verified.damaged.items():
        out.print(f"[red]damaged[/]  {escape(path)}: {problem}", soft_wrap=True, highlight=False)
    if verified.damaged:
        raise RunError(
            f"{len(verified.damaged)} of {verified.files} files are not as they were written. "
            "Remove a finished version that holds one, and run its recipe again: it is made again "
            "from the scores in the cache; in the cache and in unfinished versions the next run "
            "makes them again."
        )
    if not as_json:
        out.print(f"{verified.files:,} files are as they were written.")


def _run_flow(recipe: Path, runs: Path, overrides: list[str], runtime: Runtime) -> RunResult:
    """Run the Prefect flow in this process, with a temporary server unless one is configured."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    if home := os.environ.get("PREFECT_HOME"):
        Path(home).mkdir(parents=True, exist_ok=True)  # Prefect makes no parent folders
    # Prefect reads the environment when it is imported, so not before this.
    from prefect.client.orchestration import get_client

    from siftline.flows.curate import curate

    try:
        # This starts the temporary server, which must outlive Ctrl-C: the run reports to it.
        with without_interrupts(), get_client(sync_client=True) as client:
            failure = client.api_healthcheck()
    except RuntimeError as error:
        failure = error
    if failure:
        raise RunError(
            f"Prefect's server does not answer: {failure}. Start one with 'prefect server start' "
            "and set PREFECT_API_URL, or run without Prefect: --no-prefect."
        )
    result: RunResult = curate(recipe, runs, tuple(overrides), runtime)
    return result


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _print_result(result: RunResult) -> None:
    table = Table(title=f"{result.recipe} {result.version}", title_justify="left")
    for name, justify in (
        ("stage", "left"),
        ("rows in", "right"),
        ("kept", "right"),
        ("dropped", "left"),
        ("seconds", "right"),
        ("tokens", "right"),
    ):
        table.add_column(name, justify=justify, no_wrap=name != "dropped")  # type: ignore[arg-type]
    sources = result.ingest.summary.sources.values()
    rows = sum(source.rows for source in sources)
    examples = sum(source.examples for source in sources)
    bad: dict[str, int] = {}
    for source in sources:
        for slug, count in source.quarantined.items():
            bad[slug] = bad.get(slug, 0) + count
    table.add_row(
        INGEST, f"{rows:,}", f"{examples:,}", _reasons(bad), f"{result.ingest.seconds:.1f}", ""
    )
    for stage in result.stages:
        table.add_row(
            stage.folder,
            f"{stage.rows:,}",
            f"{stage.kept:,}",
            _reasons(stage.reasons_dropped),
            f"{stage.seconds:.1f}",
            f"{stage.tokens:,}" if stage.tokens else "",
        )
    out.print(table)
    if result.reused:
        out.print("Nothing has changed since this version was finished: it is reused.")
    out.print(
        f"{result.export.rows:,} rows curated; {result.model_calls:,} model calls, "
        f"{result.scored:,} scores computed, {result.cached:,} from the cache."
    )
    for stage in result.stages:
        for warning in stage.warnings:
            out.print(f"[yellow]warning[/]  {stage.folder}: {escape(warning)}")
    out.print(
        f"dataset  {escape(str(result.folder / 'curated'))}, Parquet in data/", soft_wrap=True
    )
    out.print(f"reasons  {escape(str(result.folder / 'decisions.parquet'))}", soft_wrap=True)
    out.print(f"report   {escape(str(result.folder / 'report.html'))}", soft_wrap=True)


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{slug} {count:,}" for slug, count in counts.items())


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(f"siftline {__version__}")
        raise typer.Exit


def main() -> None:
    """Start the command line."""
    sys.exit(guarded(app, err))
