"""Likelihoods on a GPU: models of Llama's shapes with random weights, so nothing is downloaded.

    python benchmarks/likelihood_cuda.py --out benchmarks/results/likelihood_cuda.json

Checks packed and shared scores of a small model in bfloat16 against padded float32 first. Then
prints one line for each model, with and without sharing: tokens per second, the share of the rate
of a plain matrix product at the model's own shapes, and peak memory.
"""

import argparse
import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from siftline.models.engine.forward import Network
from siftline.models.engine.passes import Passes
from siftline.models.likelihood import Encoded

# Hidden, intermediate, layers, heads, key heads, vocabulary: of Llama 3.2 1B and Llama 3 8B.
SHAPES = {
    "1B": (2048, 8192, 16, 32, 8, 128256),
    "8B": (4096, 14336, 32, 32, 8, 128256),
}
PROMPTS, RESPONSES, PROMPT, RESPONSE = 64, 8, 512, 256
# Between bfloat16 and float32, nats a token: four times what SmolLM2 shows on a CPU.
TOLERANCE = 0.06


def network(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Network:
    """Return a model with random weights."""
    hidden, inner, layers, heads, key_heads, vocabulary = shape
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        dtype=dtype,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = transformers.LlamaForCausalLM(config)
    return Network(model.to(dtype), "random")


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


def matmul_rate(shape: tuple[int, ...], device: str) -> float:
    """Return the floating-point operations per second of the model's largest product."""
    hidden, inner = shape[:2]
    states = torch.randn(16384, hidden, device=device, dtype=torch.bfloat16)
    weight = torch.randn(inner, hidden, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(5):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(20):
            torch.nn.functional.linear(states, weight)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 20 * 2 * len(states) * hidden * inner / float(np.median(seconds))


def measure(name: str, device: str, rounds: int) -> list[dict[str, Any]]:
    """Return one line without sharing and one with."""
    shape = SHAPES[name]
    model = network(shape, torch.bfloat16, device)
    rows = rows_of(shape[-1], PROMPTS)
    tokens = sum(len(row.ids) for row in rows)
    scored = sum(row.scored_tokens for row in rows)
    found = []
    for share in (False, True):
        torch.cuda.reset_peak_memory_stats()
        Passes(model, rows[: 4 * RESPONSES], share_prompts=share).run()
        seconds, computed = [], 0
        for _ in range(rounds):
            passes = Passes(model, rows, share_prompts=share)
            torch.cuda.synchronize()
            started = time.perf_counter()
            passes.run()
            seconds.append(time.perf_counter() - started)
            computed = passes.usage.tokens
        middle = float(np.median(seconds))
        operations = 2 * model.body * computed + 2 * model.head * scored
        found.append(
            {
                "model": name,
                "shared": share,
                "tokens_per_second": round(tokens / middle),
                "computed_tokens_per_second": round(computed / middle),
                "share_of_matmul_rate": round(operations / middle / matmul_rate(shape, device), 3),
                "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
            }
        )
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("No CUDA device is visible; this benchmark needs one.")
    device = "cuda"
    difference = self_check(device)
    lines = [line for name in options.models for line in measure(name, device, options.rounds)]
    result = {
        "command": "python benchmarks/likelihood_cuda.py",
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "difference_to_float32": difference,
        "models": lines,
    }
    sys.stdout.write(f"{'  '.join(lines[0])}\n")
    for line in lines:
        sys.stdout.write("  ".join(f"{value!s:>{len(key)}}" for key, value in line.items()) + "\n")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
