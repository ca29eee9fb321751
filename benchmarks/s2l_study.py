"""Does S2L help? A second model trained on what it selects, beside the baselines, on held-out loss.

    SIFTLINE_DATA=... python benchmarks/s2l_study.py
    SIFTLINE_DATA=... python benchmarks/s2l_study.py --rows 40000 --proxy small --target base

A mixture of five public sources of very unequal size. The proxy and the target are small Llamas
with random weights and a tokenizer made from the pool, so that everything is trained here and
nothing is known beforehand. For each seed the proxy is trained on the pool, each method selects
10, 30 and 50 % of the rows, and the target is trained on them with one recipe. What counts is the
target's loss on held-out rows of each source. Intervals are over seeds and held-out rows together.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.models.likelihood import Encoded, Pair
from siftline.models.loading import open_language_model
from siftline.models.plain_rendering import render_plain
from siftline.models.talks import Talk
from siftline.models.training.loop import Hyperparameters, train
from siftline.models.training.proxy import SHAPES
from siftline.models.training.rows import TrainingRow, training_rows
from siftline.pipelines.recipe import parse_recipe
from siftline.pipelines.run import run

# Source: file, columns of prompt and response, share of the pool.
SOURCES = {
    "gsm8k": ("gsm8k_train.jsonl", "question", "answer", 0.45),
    "alpaca": ("alpaca_random_9k.json", "instruction", "output", 0.30),
    "codegen": ("gpteacher_codegen.json", "instruction", "response", 0.15),
    "dolly": ("dolly_3k.json", "instruction", "output", 0.07),
    "roleplay": ("gpteacher_roleplay.json", "instruction", "response", 0.03),
}
BUDGETS = (10, 30, 50)
METHODS: dict[str, dict[str, Any]] = {
    "s2l": {"kind": "s2l", "model": "proxy"},
    "s2l by source": {"kind": "s2l", "model": "proxy", "stratify_by": "source"},
    "random": {"kind": "random"},
    "stratified_random": {"kind": "stratified_random"},
    "longest": {"kind": "longest"},
}
VOCABULARY = 4096
MAX_TOKENS = 256
RESAMPLES = 2000

Floats = npt.NDArray[np.float64]


class Mixture(NamedTuple):
    """Rows for the pool and held-out ones, each with its source, prompt and response."""

    pool: list[dict[str, str]]
    held_out: list[dict[str, str]]


class Tried(NamedTuple):
    """A target that was trained: its losses on the held-out rows, and what it was trained on."""

    losses: Floats
    tokens: int


def read_mixture(rows: int, held_out: int) -> Mixture:
    """Draw the mixture, the same for all seeds."""
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit("SIFTLINE_DATA is not set; expected the folder of the public datasets.")
    found = Mixture([], [])
    for source, (name, prompt, response, share) in SOURCES.items():
        text = (Path(os.environ["SIFTLINE_DATA"]) / name).read_text(encoding="utf-8")
        lines = text.splitlines() if name.endswith("l") else []
        records = [json.loads(line) for line in lines] if lines else json.loads(text)
        drawn = np.random.default_rng(0).permutation(len(records))
        usable = []
        for number in drawn:
            record = records[number]
            asked = "\n".join(filter(None, (record[prompt], record.get("input"))))
            if asked.strip() and record[response].strip():
                usable.append({"source": source, "prompt": asked, "response": record[response]})
        found.held_out.extend(usable[:held_out])
        found.pool.extend(usable[held_out : held_out + round(share * rows)])
    return found


def make_model(folder: Path, pool: Sequence[dict[str, str]], shape: str, seed: int = 0) -> None:
    """Write a Llama of random weights, and a tokenizer made from the pool."""
    import tokenizers
    import torch
    import transformers

    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<end>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (f"Question: {row['prompt']}\nAnswer: {row['response']}" for row in pool)
    made.train_from_iterator(texts, trainer)
    wrapper: Any = transformers.PreTrainedTokenizerFast
    tokenizer = wrapper(tokenizer_object=made, eos_token="<end>")
    width, layers, heads = SHAPES[shape]
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def select(
    folder: Path, method: dict[str, Any], budget: int, seed: int, arguments: argparse.Namespace
) -> set[str]:
    """Run a recipe of one stage, and return the prompts that it keeps."""
    stage = {**method, "budget": f"{budget}%"}
    if stage["kind"] == "s2l":
        stage |= {"clusters": arguments.clusters, "fewest_per_cluster": 10}
        stage["training"] = {
            "epochs": arguments.epochs,
            "learning_rate": arguments.learning_rate,
            "batch_rows": arguments.batch_rows,
            "max_tokens": MAX_TOKENS,
            "seed": seed,
        }
    recipe = {
        "name": "study",
        "seed": seed,
        "inputs": [{"path": f"{name}.jsonl", "source": name} for name in SOURCES],
        "models": {"proxy": {"name": str(folder / "proxy"), "dtype": "float32"}},
        "stages": [stage],
    }
    done = run(parse_recipe(recipe, "study"), folder, folder / "runs", Runtime())
    kept = pq.read_table(done.folder / "decisions.parquet", columns=["id", "decision"])
    return set(kept.filter(pc.equal(kept["decision"], "keep"))["id"].to_pylist())


def try_target(
    folder: Path,
    training_row_of: dict[str, TrainingRow],
    kept: set[str],
    seed: int,
    held_out: Sequence[Pair],
    arguments: argparse.Namespace,
) -> Tried:
    """Train the target on some rows, and return its losses on the held-out ones."""
    spec = ModelSpec(name=str(folder / "target"), dtype="float32")
    scorer = open_language_model(spec)
    rows = [training_row_of[row_id] for row_id in sorted(kept) if row_id in training_row_of]
    hyperparameters = Hyperparameters(
        arguments.learning_rate, arguments.epochs, arguments.batch_rows, seed=seed
    )
    model = scorer.network.model.float()
    train(
        model,
        rows,
        hyperparameters,
        stops=[hyperparameters.steps(len(rows))],
        on_stop=lambda _: None,
        folder=Path(tempfile.mkdtemp(dir=folder)),
    )
    model.eval()
    model.save_pretrained(folder / "trained")
    scorer.tokenizer.save_pretrained(folder / "trained")
    trained = open_language_model(ModelSpec(name=str(folder / "trained"), dtype="float32"))
    found = trained.log_likelihood(held_out, max_tokens=MAX_TOKENS, score_eos=True).rows
    losses = [
        np.nan if row.sum_logprob is None else -row.sum_logprob / (row.scored_tokens or 1)
        for row in found
    ]
    return Tried(np.array(losses), sum(row.learned_tokens for row in rows))


def interval(differences: Floats) -> list[float]:
    """Return mean, and 95 % interval, of [seeds, rows] differences, resampling both."""
    random = np.random.default_rng(0)
    seeds, rows = differences.shape
    draws = np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        some = differences[random.integers(seeds, size=seeds)]
        draws[draw] = some[:, random.integers(rows, size=rows)].mean()
    low, high = np.quantile(draws, (0.025, 0.975))
    return [round(float(value), 4) for value in (differences.mean(), low, high)]


def summarise(
    losses: dict[tuple[str, int, int], Floats], sources: npt.NDArray[Any], seeds: int
) -> dict[str, Any]:
    """Return by budget and method the loss per source, and the difference to random choice."""
    table: dict[str, Any] = {}
    groups = {"mean of sources": np.ones(len(sources), dtype=bool)}
    groups |= {name: sources == name for name in SOURCES}
    for budget in (*BUDGETS, 100):
        rows = table[f"{budget}%"] = {}
        for method in METHODS if budget < 100 else ("everything",):
            mine = np.stack([losses[method, budget, seed] for seed in range(seeds)])
            entry = {name: round(float(mine[:, g].mean()), 4) for name, g in groups.items()}
            told: dict[str, Any] = {"loss": entry}
            if budget < 100 and method != "random":
                coin = np.stack([losses["random", budget, seed] for seed in range(seeds)])
                told["against_random"] = {
                    name: interval((mine - coin)[:, g]) for name, g in groups.items()
                }
            rows[method] = told
    return table


def lines_of(table: dict[str, Any]) -> list[str]:
    """Write the table."""
    names = ["mean of sources", *SOURCES]
    lines = [f"{'':26}" + "".join(f"{name:>17}" for name in names)]
    for budget, methods in table.items():
        for method, told in methods.items():
            losses = "".join(f"{told['loss'][name]:17.3f}" for name in names)
            lines.append(f"{budget:>5} {method:20}{losses}")
            if "against_random" in told:
                parts = [told["against_random"][name] for name in names]
                cells = "".join(f"{f'{m:+.3f} [{lo:+.2f},{hi:+.2f}]':>17}" for m, lo, hi in parts)
                lines.append(f"{'':6}{'  less random':20}{cells}")
    return lines


def main() -> None:
    """Run the study, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2400)
    parser.add_argument("--held-out", type=int, default=60, help="rows of each source")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--proxy", default="tiny", choices=SHAPES)
    parser.add_argument("--target", default="mini", choices=SHAPES)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-rows", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--clusters", type=int, default=40)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.monotonic()
    mixture = read_mixture(arguments.rows, arguments.held_out)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in SOURCES:
            mine = [
                {"id": f"{name}-{n}", "prompt": row["prompt"], "completion": row["response"]}
                for n, row in enumerate(mixture.pool)
                if row["source"] == name
            ]
            text = "".join(json.dumps(row) + "\n" for row in mine)
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        make_model(folder / "proxy", mixture.pool, arguments.proxy)
        make_model(folder / "target", mixture.pool, arguments.target)
        scorer = open_language_model(ModelSpec(name=str(folder / "target"), dtype="float32"))
        mixture = Mixture(mixture.pool, _scorable(mixture.held_out, scorer))
        losses, tokens = study(folder, mixture, scorer, arguments)
    sources = np.array([row["source"] for row in mixture.held_out])
    table = summarise(losses, sources, arguments.seeds)
    seconds = round(time.monotonic() - started)
    head = f"{len(mixture.pool)} rows; proxy {arguments.proxy}, target {arguments.target}; "
    head += f"{arguments.seeds} seeds; {seconds} s; held-out loss in nats a token"
    sys.stdout.write("\n".join([head, *lines_of(table)]) + "\n")
    if arguments.out:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "pool": len(mixture.pool),
            "held_out": len(mixture.held_out),
            "seconds": seconds,
            "learned_tokens": tokens,
            "table": table,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _scorable(rows: list[dict[str, str]], scorer: Any) -> list[dict[str, str]]:
    """Return the held-out rows whose prompt leaves room for a response."""
    pairs = [render_plain(turns_of(row)) for row in rows]
    coded = scorer.encode(pairs, max_tokens=MAX_TOKENS, score_eos=True)
    return [row for row, each in zip(rows, coded, strict=True) if isinstance(each, Encoded)]


def study(
    folder: Path, mixture: Mixture, scorer: Any, arguments: argparse.Namespace
) -> tuple[dict[tuple[str, int, int], Floats], dict[str, int]]:
    """Train a target for every method, budget and seed."""
    talks = [Talk(turns_of(row)) for row in mixture.pool]
    found = training_rows(talks, "plain", scorer, MAX_TOKENS)
    training_row_of = {}
    for number, (row, training_row) in enumerate(zip(mixture.pool, found, strict=True)):
        if isinstance(training_row, TrainingRow):
            training_row_of[f"{row['source']}-{number}"] = training_row
    held_out = [render_plain(turns_of(row)) for row in mixture.held_out]
    losses: dict[tuple[str, int, int], Floats] = {}
    tokens: dict[str, int] = {}
    for seed in range(arguments.seeds):
        jobs = [(m, b) for m in METHODS for b in BUDGETS] + [("everything", 100)]
        for method, budget in jobs:
            kept = set(training_row_of)
            if method != "everything":
                kept = select(folder, METHODS[method], budget, seed, arguments)
            tried = try_target(folder, training_row_of, kept, seed, held_out, arguments)
            losses[method, budget, seed] = tried.losses
            tokens[f"{method}, {budget}%, seed {seed}"] = tried.tokens
            sys.stderr.write(f"{method}, {budget}%, seed {seed}: {tried.losses.mean():.3f}\n")
    return losses, tokens


def turns_of(row: dict[str, str]) -> list[Any]:
    """Return a row as a conversation."""
    return [
        {"role": "user", "content": row["prompt"]},
        {"role": "assistant", "content": row["response"]},
    ]


if __name__ == "__main__":
    main()
