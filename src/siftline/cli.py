"""The command line: `siftline init`, `validate`, `plan`, `run`, `export` and the others."""

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from siftline import __version__
from siftline.calibration_display import calibration_tables, verdict
from siftline.contracts.errors import RecipeError, RunError
from siftline.contracts.interrupts import without_interrupts
from siftline.contracts.printable import encodable
from siftline.contracts.runtime import Runtime
from siftline.endings import guarded
from siftline.export_display import print_delivery
from siftline.pipelines.calibration.calibrate import calibrate
from siftline.pipelines.ingestion.inputs import resolve
from siftline.pipelines.output.again import find_version
from siftline.pipelines.output.delivery import deliver, layout_of
from siftline.pipelines.output.formats.known import FormatName, ReasoningPlace
from siftline.pipelines.planning import plan
from siftline.pipelines.recipe import load_recipe
from siftline.pipelines.run import RunResult, require_rows, run
from siftline.pipelines.verification import verify
from siftline.plan_display import plan_tables
from siftline.progress_display import display
from siftline.reports.write import write_reports
from siftline.result_display import print_result
from siftline.starting import EXAMPLE, write_example, write_recipe
from siftline.terminal import err, out, shown, take_any_text
from siftline.without_pandas import leave_pandas_out

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Curate instruction data for supervised fine-tuning.",
)
RecipePath = Annotated[Path, typer.Argument(help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, such as stages.0.k=2."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def init(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Data to read; quote a glob to make it one input.", show_default=False),
    ] = None,
    recipe: Annotated[Path, typer.Option(help="Where to write the recipe.")] = Path("recipe.yaml"),
) -> None:
    """Write a recipe with comments that runs: over your files, or over a few example rows."""
    if files:
        for item in write_recipe(recipe, files):
            shape = "several shapes" if item.format == "auto" else item.format
            out.print(f"{shown(item.path)}: {shape}", soft_wrap=True, highlight=False)
    else:
        write_example(recipe)
        out.print(f"Wrote {shown(recipe.parent / EXAMPLE)}", soft_wrap=True, highlight=False)
    out.print(f"Wrote {shown(recipe)}. Next:", soft_wrap=True, highlight=False)
    out.print(f"  siftline run {shown(shlex.quote(str(recipe)))}", soft_wrap=True, highlight=False)


@app.command()
def validate(recipe: RecipePath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a recipe and that its inputs are there; nothing is run."""
    loaded = load_recipe(recipe, overrides or ())
    files = {
        item.source: [encodable(path.name) for path in resolve(item, recipe.resolve().parent)]
        for item in loaded.inputs
    }
    if as_json:
        _print_json({"recipe": loaded.model_dump(mode="json"), "files": files})
        return
    count = sum(len(names) for names in files.values())
    kinds = ", ".join(stage.kind for stage in loaded.stages) or "none"
    out.print(f"{shown(loaded.name)} is valid: {count} input files; stages: {shown(kinds)}.")


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
        print_result(result, out)


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="A version, a recipe's folder in runs, or its name.")],
    format_: Annotated[
        FormatName | None, typer.Option("--format", help="That of the run if left out.")
    ] = None,
    reasoning: Annotated[
        ReasoningPlace | None,
        typer.Option(help="In a field of its own, or inline: in the text. That of the run."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="A new folder; <name>-<version>-<format> if left out.")
    ] = None,
    to_hub: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="Push it to the Hub, privately.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --to-hub: a new repository is public.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="The run directory.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Write the dataset of a finished run again: in another format, or to the Hub."""
    if public and to_hub is None:
        raise RecipeError("Got --public without --to-hub; expected both, or neither.")
    version = find_version(run, runs)
    layout = layout_of(version, format_, reasoning)
    with display(err):
        delivery = deliver(version, layout, to, to_hub, public=public)
    if as_json:
        _print_json(delivery.model_dump(mode="json"))
    else:
        print_delivery(delivery, out)


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
    out.print(shown(verdict(calibration)))
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
        out.print(
            f"[red]damaged[/]  {shown(path)}: {shown(problem)}", soft_wrap=True, highlight=False
        )
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
    """Print JSON, in ASCII: what a name holds must not reach the terminal."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(f"siftline {__version__}")
        raise typer.Exit


def main() -> None:
    """Start the command line."""
    take_any_text()
    leave_pandas_out()
    try:
        sys.exit(guarded(app, err))
    finally:
        # What is said stands: Ctrl-C while the interpreter ends would make another exit code of it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
