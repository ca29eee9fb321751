"""How many foreign rows does a code specialist want? A model tuned for every share, and tested.

    SIFTLINE_DATA=... python benchmarks/specialist_sweep.py --model org/model --rows 3000
    SIFTLINE_DATA=... python benchmarks/specialist_sweep.py --from-scratch mini --weights full \
        --learning-rate 2e-3 --rows 500 --shares 0 5 10 25 --seeds 3 --max-tokens 256

Only-IF (arXiv 2410.04717) finds a maximum near 10 % of foreign rows, of 20,000, and nothing left of
it at 25 %. Here the recipe `specialist.yaml` selects for every share, at a fixed total of rows; a
second arm draws as many rows of each source at random from what reached the selector. The model is
tuned on each in the same way. What counts is its loss on held-out rows, the mean over rows of the
nats a token: of the domain, of the foreign sources that were trained on (`seen`), and of sources
that never were (`unseen`). Rows are held out before anything is selected, and a row of the pool
whose prompt is held out is left out. Intervals are over held-out rows and seeds together.

The paper measured pass@1 and not losses. With a file of problems as HumanEval's, of rows with
`prompt`, `test` and `entry_point`, `--test FILE --allow-execution` measures it too: the model's
likeliest answers run in the sandbox of the judge `execution`.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from s2l_study import interval, make_model, turns_of

from siftline.contracts.corpus import Corpus
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.contracts.stable_hash import stable_hash
from siftline.models.devices import resolve_device
from siftline.models.generation import Sampling
from siftline.models.holding import let_go
from siftline.models.likelihood import Encoded, Pair
from siftline.models.loading import load_language_model, load_tuned
from siftline.models.rendering import render
from siftline.models.talks import Talk
from siftline.models.training.proxy import SHAPES
from siftline.models.training.rows import TrainingRow, training_rows
from siftline.models.training.tuning import Tuning
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.recipe_text import read_yaml
from siftline.pipelines.run import run
from siftline.scorers.judges.execution import Execution, Program, code_of, passing

RECIPE = Path(__file__).with_name("specialist.yaml")
# File, columns of prompt and response. What the recipe names is the pool, the rest is unseen.
SOURCES = {
    "codegen": ("gpteacher_codegen.json", "instruction", "response"),
    "alpaca": ("alpaca_random_9k.json", "instruction", "output"),
    "dolly": ("dolly_3k.json", "instruction", "output"),
    "gsm8k": ("gsm8k_train.jsonl", "question", "answer"),
    "roleplay": ("gpteacher_roleplay.json", "instruction", "response"),
}
ARMS = ("diversity", "random")

Floats = npt.NDArray[np.float64]
Row = dict[str, str]
Scores = dict[str, Floats]  # by what is measured: [rows] of it


class Study(NamedTuple):
    """What stays the same over shares and seeds.

    Attributes:
        recipe: As read.
        learned: Learned tokens of each row of the pool, by id.
        held_out: By group: the rows that are never trained on, rendered.
        problems: To be solved; none unless asked for.
    """

    recipe: dict[str, Any]
    learned: dict[str, int]
    held_out: dict[str, list[Pair]]
    problems: list[Row]


def read_source(name: str, most: int | None) -> list[Row]:
    """Read the rows of a source that have a prompt and a response, in a random order."""
    file, prompt, response = SOURCES[name]
    text = (Path(os.environ["SIFTLINE_DATA"]) / file).read_text(encoding="utf-8")
    lines = text.splitlines() if file.endswith("l") else []
    records = [json.loads(line) for line in lines] if lines else json.loads(text)
    found = []
    for number in np.random.default_rng(0).permutation(len(records)):
        record = records[number]
        asked = "\n".join(filter(None, (record[prompt], record.get("input"))))
        if asked.strip() and record[response].strip():
            row_id = f"{name}-{number}"
            found.append({"id": row_id, "prompt": asked, "response": record[response]})
    return found[:most]


def folded(row: Row) -> str:
    """Return a row's prompt without what does not tell prompts apart."""
    return " ".join(row["prompt"].casefold().split())


def prepare(folder: Path, arguments: argparse.Namespace) -> Study:
    """Draw the rows, write the pool beside the recipe, and render what is held out."""
    recipe = read_yaml(RECIPE.read_text(encoding="utf-8"), RECIPE.name)
    shutil.copy(RECIPE, folder)
    count = arguments.held_out
    most = None if arguments.pool is None else arguments.pool + count
    rows = {name: read_source(name, most) for name in SOURCES}
    taken = {folded(row) for each in rows.values() for row in each[:count]}
    inputs = [item["source"] for item in recipe["inputs"]]
    pool = {
        name: [row for row in rows[name][count:] if folded(row) not in taken] for name in inputs
    }
    if arguments.from_scratch:
        everything = [row for name in inputs for row in pool[name]]
        make_model(folder / "model", everything, arguments.from_scratch)
    scorer: Any = load_language_model(spec_of(folder, arguments), arguments.device)
    learned: dict[str, int] = {}
    for name in inputs:
        learned |= write_pool(folder / f"{name}.jsonl", pool[name], scorer, arguments)
    domain = diversity_of(recipe)["domains"]["in"]
    groups = {
        "domain": domain,
        "seen": [name for name in inputs if name not in domain],
        "unseen": [name for name in SOURCES if name not in inputs],
    }
    held_out = {
        group: scorable([row for name in names for row in rows[name][:count]], scorer, arguments)
        for group, names in groups.items()
    }
    problems = read_problems(arguments.test) if arguments.test else []
    return Study(recipe, learned, held_out, problems)


def write_pool(
    path: Path, rows: list[Row], scorer: Any, arguments: argparse.Namespace
) -> dict[str, int]:
    """Write the rows that can be learned from, and return the learned tokens of each.

    A row that teaches nothing would make the total of rows smaller than it says.
    """
    talks = [Talk(turns_of(row)) for row in rows]
    found = training_rows(talks, arguments.template, scorer, arguments.max_tokens)
    learned: dict[str, int] = {}
    with path.open("w", encoding="utf-8") as file:
        for row, training_row in zip(rows, found, strict=True):
            if isinstance(training_row, TrainingRow):
                learned[row["id"]] = training_row.learned_tokens
                line = {"id": row["id"], "prompt": row["prompt"], "completion": row["response"]}
                file.write(json.dumps(line) + "\n")
    return learned


def scorable(rows: list[Row], scorer: Any, arguments: argparse.Namespace) -> list[Pair]:
    """Render the held-out rows whose prompt leaves room for a response."""
    pairs = [render(turns_of(row), arguments.template, scorer) for row in rows]
    usable = [pair for pair in pairs if isinstance(pair, Pair)]
    coded = scorer.encode(usable, max_tokens=arguments.max_tokens, score_eos=True)
    return [pair for pair, each in zip(usable, coded, strict=True) if isinstance(each, Encoded)]


def spec_of(folder: Path, arguments: argparse.Namespace) -> ModelSpec:
    """Return the model that is tuned."""
    name = str(folder / "model") if arguments.from_scratch else arguments.model
    return ModelSpec(name=name, dtype=arguments.dtype)


def diversity_of(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the stage whose share is swept."""
    stage: dict[str, Any] = next(each for each in recipe["stages"] if each["kind"] == "diversity")
    return stage


def curate(
    study: Study, folder: Path, foreign: float, seed: int, arguments: argparse.Namespace
) -> tuple[Corpus, dict[str, set[str]]]:
    """Run the recipe with a share of foreign rows.

    Returns:
        All rows that were read, and by arm the ids that it trains on.
    """
    recipe = json.loads(json.dumps({**study.recipe, "seed": seed}))
    stage = diversity_of(recipe)
    stage["budget"] = arguments.rows
    stage["domains"]["share"] = 1 - foreign / 100
    runtime = Runtime(device=arguments.device)
    done = run(parse_recipe(recipe, RECIPE.name), folder, folder / "runs", runtime)
    decided = pq.read_table(done.folder / "decisions.parquet").to_pylist()
    reached = [row for row in decided if row["stage"] == done.stages[-1].folder]
    kept = [row for row in reached if row["decision"] == "keep"]
    inside = sum(row["source"] in stage["domains"]["in"] for row in kept)
    if (len(kept), inside) != (arguments.rows, round(stage["domains"]["share"] * arguments.rows)):
        sys.exit(
            f"{foreign:g} % of foreign rows: the recipe kept {len(kept)} rows, {inside} of them of "
            f"the domain, of {arguments.rows}; the pool is too small. Lower --rows."
        )
    chosen = {"diversity": {row["id"] for row in kept}, "random": drawn(reached, kept, seed)}
    return Corpus.open(done.folder / "00-ingest" / "examples"), chosen


def drawn(reached: list[dict[str, Any]], kept: list[dict[str, Any]], seed: int) -> set[str]:
    """Draw at random as many rows of each source as are kept; a larger draw holds a smaller one."""
    found: set[str] = set()
    for source in {row["source"] for row in kept}:
        ids = sorted(row["id"] for row in reached if row["source"] == source)
        count = sum(row["source"] == source for row in kept)
        order = np.argsort(stable_hash(ids, seed), kind="stable")
        found |= {ids[place] for place in order[:count]}
    return found


def try_rows(
    study: Study,
    folder: Path,
    corpus: Corpus,
    ids: set[str],
    seed: int,
    arguments: argparse.Namespace,
) -> Scores:
    """Tune the model on some rows, and measure what became of it."""
    tuning = Tuning(
        model="target",
        weights=arguments.weights,
        learning_rate=arguments.learning_rate,
        epochs=arguments.epochs,
        batch_rows=arguments.batch_rows,
        max_tokens=arguments.max_tokens,
        folds=1,
        template=arguments.template,
        seed=seed,
    )
    spec = spec_of(folder, arguments)
    runtime = Runtime(models={"target": spec}, device=arguments.device)
    mask = np.isin(corpus.rows["id"].to_pylist(), sorted(ids))
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        tuning.fit(corpus.filter(mask), runtime, Path(temporary))
        tuned = load_tuned(spec, Path(temporary) / "fold-0", arguments.device)
        scores = measure(tuned, study, arguments)
    let_go("tuned")  # the next training may need its memory
    return scores


def measure(model: Any, study: Study, arguments: argparse.Namespace) -> Scores:
    """Return the losses on what is held out, and which problems are solved."""
    scores: Scores = {}
    for group, pairs in study.held_out.items():
        found = model.log_likelihood(pairs, max_tokens=arguments.max_tokens, score_eos=True).rows
        bad = [row.status for row in found if row.sum_logprob is None]
        if bad:
            sys.exit(f"{len(bad)} held-out rows of '{group}' have no likelihood, but '{bad[0]}'.")
        scores[group] = np.array([-row.sum_logprob / row.scored_tokens for row in found])
    if study.problems:
        scores["pass@1"] = solved(model, study.problems, arguments)
    return scores


def read_problems(path: Path) -> list[Row]:
    """Read problems in the form of HumanEval's."""
    lines = path.read_text(encoding="utf-8").splitlines()
    problems: list[Row] = [json.loads(line) for line in lines if line.strip()]
    for number, problem in enumerate(problems, 1):
        lacking = {"prompt", "test", "entry_point"} - problem.keys()
        if lacking:
            sys.exit(f"Problem {number} of '{path.name}' lacks {', '.join(sorted(lacking))}.")
    passing(judge(), [Program("", ())])  # without a sandbox, say so before anything is trained
    return problems


def judge() -> Execution:
    """Return the sandbox's limits; the caller has checked that it is allowed."""
    return Execution(tests="test", allow_execution=True)


def solved(model: Any, problems: list[Row], arguments: argparse.Namespace) -> Floats:
    """Return [problems] 1 where the model's likeliest answer passes the tests, else 0."""
    asked = [
        [{"role": "user", "content": f"Complete this function.\n\n```python\n{each['prompt']}```"}]
        for each in problems
    ]
    sampling = Sampling(temperature=0, max_tokens=arguments.answer_tokens)
    answers = model.generate(asked, sampling, template=arguments.template).rows
    bad = next((answer for answer in answers if isinstance(answer, str)), None)
    if bad:
        sys.exit(f"A problem of '{arguments.test.name}' cannot be asked: '{bad}'.")
    programs = [
        program_of(problem, code_of(answer[0].text))
        for problem, answer in zip(problems, answers, strict=True)
    ]
    return np.array(passing(judge(), programs), dtype=np.float64)


def program_of(problem: Row, code: str) -> Program:
    """Put an answer's code below the problem, whose imports and helpers it may use."""
    if f"def {problem['entry_point']}(" not in code:
        code = textwrap.indent(code, "    ")  # the body alone
    test = f"{problem['test']}\ncheck({problem['entry_point']})"
    return Program(f"{problem['prompt']}\n{code}\n", (test,))


def sweep(
    study: Study, folder: Path, arguments: argparse.Namespace
) -> tuple[dict[tuple[str, float], list[Scores]], dict[str, int]]:
    """Tune for every seed, share and arm.

    Returns:
        By arm and share the scores of each seed, and the tokens that each training has learned.
    """
    scores: dict[tuple[str, float], list[Scores]] = {}
    tokens: dict[str, int] = {}
    for seed in range(arguments.seeds):
        for share in arguments.shares:
            corpus, chosen = curate(study, folder, share, seed, arguments)
            for arm, ids in chosen.items():
                found = try_rows(study, folder, corpus, ids, seed, arguments)
                scores.setdefault((arm, share), []).append(found)
                name = f"{arm}, {share:g} %, seed {seed}"
                tokens[name] = sum(study.learned[row_id] for row_id in ids)
                told = ", ".join(f"{each} {rows.mean():.3f}" for each, rows in found.items())
                sys.stderr.write(f"{name}: {tokens[name]} learned tokens; {told}\n")
    return scores, tokens


def summarise(
    scores: dict[tuple[str, float], list[Scores]], shares: list[float]
) -> dict[str, dict[str, Any]]:
    """Return by share the means of both arms, what they are less share 0, and less one another."""
    stacked = {
        (*key, name): np.stack([seed[name] for seed in seeds])
        for key, seeds in scores.items()
        for name in seeds[0]
    }
    names = list(scores["diversity", 0.0][0])
    table: dict[str, dict[str, Any]] = {}
    for share in shares:
        entry = table[f"{share:g} %"] = {}
        for arm in ARMS:
            means = {name: round(float(stacked[arm, share, name].mean()), 4) for name in names}
            entry[arm] = {"mean": means}
            if share:
                entry[arm]["less_share_0"] = {
                    name: interval(stacked[arm, share, name] - stacked[arm, 0.0, name])
                    for name in names
                }
        entry["diversity_less_random"] = {
            name: interval(stacked["diversity", share, name] - stacked["random", share, name])
            for name in names
        }
    return table


def lines_of(table: dict[str, dict[str, Any]], untuned: dict[str, float]) -> list[str]:
    """Write the table."""
    width = 27

    def cells(found: dict[str, list[float]]) -> str:
        told = (f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" for mean, low, high in found.values())
        return "".join(f"{cell:>{width}}" for cell in told)

    def numbers(found: dict[str, float]) -> str:
        return "".join(f"{number:{width}.3f}" for number in found.values())

    lines = [f"{'foreign':9}{'':22}" + "".join(f"{name:>{width}}" for name in untuned)]
    lines.append(f"{'':9}{'untuned':22}{numbers(untuned)}")
    for share, entry in table.items():
        for arm in ARMS:
            lines.append(f"{share:>7}  {arm:22}{numbers(entry[arm]['mean'])}")
            if "less_share_0" in entry[arm]:
                lines.append(f"{'':9}{'  less share 0':22}{cells(entry[arm]['less_share_0'])}")
        lines.append(f"{'':9}{'diversity less random':22}{cells(entry['diversity_less_random'])}")
    return lines


def verdict(table: dict[str, dict[str, Any]]) -> str:
    """Say at which shares the domain's own loss is surely lower than without foreign rows."""
    found = []
    for arm in ARMS:
        differences = {
            share: entry[arm]["less_share_0"]["domain"]
            for share, entry in table.items()
            if "less_share_0" in entry[arm]
        }
        better = [share for share, (_, _, high) in differences.items() if high < 0]
        worse = [share for share, (_, low, _) in differences.items() if low > 0]
        found.append(
            f"{arm}: better at {', '.join(better) or 'none'}, worse at {', '.join(worse) or 'none'}"
        )
    return f"Loss in the domain, intervals that exclude 0: {'; '.join(found)}."


def machine(device: str) -> str:
    """Return what the study ran on."""
    import torch  # slow to import

    threads = "1 thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"
    told = f"{platform.machine()}, {os.cpu_count()} cores, {threads}"
    place = torch.device(resolve_device(device))
    return f"{told}, {torch.cuda.get_device_name(place)}" if place.type == "cuda" else told


def read_arguments() -> argparse.Namespace:
    """Read the command line, and check what would fail late."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="builtin:smollm2", help="a Hub id, folder or builtin")
    parser.add_argument("--from-scratch", choices=SHAPES, help="random weights, instead of --model")
    parser.add_argument("--weights", default="lora", choices=("lora", "full"))
    parser.add_argument("--template", choices=("plain", "chat"), help="plain for base models")
    parser.add_argument("--rows", type=int, default=2000, help="that a model is tuned on")
    parser.add_argument("--shares", type=float, nargs="+", default=[0, 5, 10, 15, 20, 25])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=200, help="rows of each source")
    parser.add_argument("--pool", type=int, help="most rows of each source; all unless stated")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-rows", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=768)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--test", type=Path, help="problems with prompt, test and entry_point")
    parser.add_argument("--answer-tokens", type=int, default=512, help="most in an answer to one")
    parser.add_argument("--allow-execution", action="store_true", help="run the model's code")
    parser.add_argument("--folder", type=Path, help="keeps the pool, the recipe and its runs")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if "SIFTLINE_DATA" not in os.environ:
        parser.error("SIFTLINE_DATA is not set; expected the folder of the public datasets")
    if arguments.test and not arguments.allow_execution:
        parser.error("--test runs code that the model writes; state --allow-execution")
    if not all(0 <= share < 100 for share in arguments.shares):
        parser.error("--shares are of foreign rows in percent, from 0 to below 100")
    arguments.shares = sorted({0.0, *arguments.shares})
    if arguments.template is None:
        arguments.template = "plain" if arguments.from_scratch else "chat"
    return arguments


def main() -> None:
    """Run the sweep, and print the table."""
    arguments = read_arguments()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        study = prepare(folder, arguments)
        model = load_language_model(spec_of(folder, arguments), arguments.device)
        before = measure(model, study, arguments)
        untuned = {name: round(float(rows.mean()), 4) for name, rows in before.items()}
        scores, tokens = sweep(study, folder, arguments)
    table = summarise(scores, arguments.shares)
    seconds = round(time.monotonic() - started)
    name = f"{arguments.from_scratch} from scratch" if arguments.from_scratch else arguments.model
    head = f"{name}, {arguments.weights}; {arguments.rows} rows; {arguments.seeds} seeds; "
    head += f"{seconds} s; held-out loss in nats a token"
    lines = [head, *lines_of(table, untuned), verdict(table)]
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.out:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(arguments.device),
            "pool": len(study.learned),
            "held_out": {group: len(pairs) for group, pairs in study.held_out.items()},
            "seconds": seconds,
            "learned_tokens": tokens,
            "untuned": untuned,
            "table": table,
            "verdict": verdict(table),
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
