"""Likelihoods on a GPU: models of random weights in the shapes of known ones, nothing downloaded.

    python benchmarks/likelihood_cuda.py --out benchmarks/results/likelihood_cuda.json

Checks packed and shared scores of a small model in bfloat16 against padded float32 first. Then
prints a line for each model, kind of rows, sharing, and layers eager or compiled: tokens of all
rows per second, the share of the rate of the model's largest matrix product, the share of what all
of its own products take by themselves, and peak memory. `responses` are eight to a prompt;
`few_shot` puts the same 1,024 tokens before each question, of which four solutions are scored.
"""

import argparse
import json
import math
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from random_models import SHAPES, TINY, random_llama

from siftline.models.engine import prefixes
from siftline.models.engine.forward import Network
from siftline.models.engine.passes import Passes
from siftline.models.likelihood import Encoded

# Prompts of each model: some seconds of an H200.
PROMPTS = {"1B": 32, "8B": 16, "smollm2": 64}
RESPONSES, PROMPT, RESPONSE = 8, 512, 256
EXAMPLES, QUESTION, SOLUTIONS, SOLUTION = 1024, 96, 4, 160
# Between bfloat16 and float32, nats a token: four times what SmolLM2 shows on a CPU.
TOLERANCE = 0.06


def network(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Network:
    """Return a model with random weights."""
    return Network(random_llama(shape, dtype, device), "random")


def rows_of(vocabulary: int, prompts: int, scale: int = 1) -> list[Encoded]:
    """Return responses to prompts, of random tokens and lengths."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(prompts):
        prompt = random.integers(0, vocabulary, PROMPT // scale).tolist()
        for _ in range(RESPONSES):
            size = int(random.integers(RESPONSE // 4, RESPONSE * 7 // 4)) // scale
            response = random.integers(0, vocabulary, max(1, size)).tolist()
            found.append(Encoded((*prompt, *response), len(prompt), len(response), False))
    return found


def few_shot(vocabulary: int, questions: int, scale: int = 1) -> list[Encoded]:
    """Return solutions to questions behind the same examples."""
    random = np.random.default_rng(1)
    examples = random.integers(0, vocabulary, EXAMPLES // scale).tolist()
    found = []
    for _ in range(questions):
        size = int(random.integers(QUESTION // 2, QUESTION * 3 // 2)) // scale
        prompt = [*examples, *random.integers(0, vocabulary, size).tolist()]
        for _ in range(SOLUTIONS):
            size = int(random.integers(SOLUTION // 2, SOLUTION * 3 // 2)) // scale
            solution = random.integers(0, vocabulary, max(1, size)).tolist()
            found.append(Encoded((*prompt, *solution), len(prompt), len(solution), False))
    return found


def self_check(device: str) -> float:
    """Return the mean difference to padded float32 in nats per token.

    Raises:
        SystemExit: It is too large.
    """
    shape = (256, 688, 4, 8, 4, 4096)
    rows = rows_of(4096, 4, 4)
    counts = np.array([row.scored_tokens for row in rows])
    exact = network(shape, torch.float32, device)
    exact.longest_packed = 0
    wanted = Passes(exact, rows).run() / counts
    half = network(shape, torch.bfloat16, device)
    if half.longest_packed == 0:
        sys.exit("The canary refused packs on this device: the figures would be of padded rows.")
    worst = 0.0
    for share in (False, True):
        found = Passes(half, rows, share_prompts=share).run() / counts
        worst = max(worst, float(np.abs(found - wanted).mean()))
    if not worst < TOLERANCE:
        sys.exit(f"Scores differ from float32 by {worst:.3f} nats a token; expected {TOLERANCE}.")
    return worst


def seconds_of(products: list[tuple[int, int]], device: str, tokens: int = 16384) -> float:
    """Return the seconds that some products take, one after the other.

    Args:
        products: Numbers of inputs and outputs of each.
        device: Where.
        tokens: Number of rows that go in.
    """
    made = [
        (
            torch.randn(tokens, inputs, device=device, dtype=torch.bfloat16),
            torch.randn(outputs, inputs, device=device, dtype=torch.bfloat16),
        )
        for inputs, outputs in products
    ]
    seconds = []
    for _ in range(5):
        _wait(device)
        started = time.perf_counter()
        for _ in range(10 if device == "cuda" else 1):
            for states, weight in made:
                torch.nn.functional.linear(states, weight)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) / (10 if device == "cuda" else 1)


def matmul_rate(shape: tuple[int, ...], device: str) -> float:
    """Return the floating-point operations per second of the model's largest product."""
    hidden, inner = shape[:2]
    return 2 * 16384 * hidden * inner / seconds_of([(hidden, inner)], device)


def seconds_of_products(shape: tuple[int, ...], device: str) -> tuple[float, float]:
    """Return the seconds that a model's products take for a token: of layers, of the projection."""
    hidden, inner, layers, heads, key_heads, vocabulary = shape
    keys = hidden // heads * key_heads
    layer = [(hidden, hidden), (hidden, keys), (hidden, keys), (hidden, hidden)]
    layer += [(hidden, inner), (hidden, inner), (inner, hidden)]
    rows = 16384 if device == "cuda" else 256
    columns = min(vocabulary, 16384)  # as many as the engine takes at once
    projection = seconds_of([(hidden, columns)], device, 4096) * vocabulary / columns
    return layers * seconds_of(layer, device, rows) / rows, projection / 4096


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _timed(
    model: Network, rows: list[Encoded], share: bool, rounds: int
) -> tuple[float, int, float]:
    """Return the median of seconds, the number of computed tokens, and peak memory in GiB."""
    device = model.device.type
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    Passes(model, rows[: len(rows) // 4], share_prompts=share).run()
    seconds, computed = [], 0
    for _ in range(rounds):
        passes = Passes(model, rows, share_prompts=share)
        _wait(device)
        started = time.perf_counter()
        passes.run()
        seconds.append(time.perf_counter() - started)
        computed = passes.usage.tokens
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return float(np.median(seconds)), computed, peak


# How rows are shared: whether, and on how many levels.
SHARING = {"alone": (False, 0), "one_level": (True, 1), "shared": (True, 4)}


def measure(name: str, device: str, rounds: int) -> dict[str, Any]:
    """Return the figures of a model, by kind of rows, sharing, and layers eager or compiled."""
    shape = SHAPES.get(name, TINY)
    scale = 1 if name in SHAPES else 8
    prompts = PROMPTS.get(name, 2)
    model = network(shape, torch.bfloat16, device)
    if model.longest_packed == 0:
        sys.exit("The trial refused packs on this device: the figures would be of padded rows.")
    kinds = {
        "responses": (rows_of(shape[-1], prompts, scale), ("alone", "shared")),
        "few_shot": (few_shot(shape[-1], 2 * prompts, scale), ("one_level", "shared")),
    }
    rate = matmul_rate(shape, device)
    in_layers, in_projection = seconds_of_products(shape, device)
    found: dict[str, Any] = {}
    for layers in ("eager", "compiled"):
        model.compile_from(0 if layers == "compiled" else math.inf)
        started = time.perf_counter()
        if model.compiles_for(1, 1):
            found["compile_seconds"] = round(time.perf_counter() - started, 1)
        for kind, (rows, ways) in kinds.items():
            tokens = sum(len(row.ids) for row in rows)
            scored = sum(row.scored_tokens for row in rows)
            for way in ways:
                share, prefixes._MOST_LEVELS = SHARING[way]
                seconds, computed, peak = _timed(model, rows, share, rounds)
                operations = 2 * model.body * computed + 2 * model.head * scored
                products = in_layers * computed + in_projection * scored
                found.setdefault(kind, {}).setdefault(way, {})[layers] = {
                    "tokens_per_second": round(tokens / seconds),
                    "computed_tokens_per_second": round(computed / seconds),
                    "share_of_matmul_rate": round(operations / seconds / rate, 3),
                    "share_of_own_products": round(products / seconds, 3),
                    "peak_gib": round(peak, 2),
                }
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--models", nargs="+", choices=[*SHAPES, "tiny"], default=list(SHAPES), metavar="MODEL"
    )
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("No CUDA device is visible; this benchmark needs one.")
    result: dict[str, Any] = {
        "command": "python benchmarks/likelihood_cuda.py",
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else options.device,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "difference_to_float32": self_check(options.device),
    }
    for name in options.models:
        result[name] = measure(name, options.device, options.rounds)
        sys.stdout.write(f"{name}: compiled in {result[name].get('compile_seconds')} s\n")
        for kind in ("responses", "few_shot"):
            for way, by_layers in result[name][kind].items():
                for layers, figures in by_layers.items():
                    values = "  ".join(f"{key} {value}" for key, value in figures.items())
                    sys.stdout.write(f"  {kind} {way} {layers}: {values}\n")
        sys.stdout.flush()
        if options.out:
            options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
