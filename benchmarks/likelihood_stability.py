"""How much a likelihood moves with the number type and the shape of its batch, and at what speed.

    python benchmarks/likelihood_stability.py --out benchmarks/results/likelihood_stability.json

Scores candidates of `data_samples/` with SmolLM2 in float32 and bfloat16 under several token
budgets, in turns, and compares each mean with float32 on each pair alone.
"""

import argparse
import json
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ingest import processor

from siftline.contracts.model_spec import ModelSpec
from siftline.models.likelihood import Pair
from siftline.models.loading import load_language_model
from siftline.models.plain_rendering import render_plain

DATA = Path(__file__).parent.parent / "data_samples" / "candidates.jsonl"
PAIRS = 60
BUDGETS = (1, 256, 1024, 4096)  # with 1, each pair is a batch
GRID = 1e-3  # of selectors/grape.py


def pairs() -> list[Pair]:
    """Return the first candidates that have a response."""
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    turns = [
        (
            {"role": "user", "content": r["instruction"]},
            {"role": "assistant", "content": r["output"]},
        )
        for r in rows
        if r["output"]
    ]
    return [render_plain(list(each)) for each in turns[:PAIRS]]  # type: ignore[arg-type]


def score(dtype: str, budget: int) -> tuple[npt.NDArray[np.float64], int, float]:
    """Return the mean log-likelihoods, the tokens and the seconds."""
    model = load_language_model(ModelSpec(name="builtin:smollm2", dtype=dtype), "cpu")
    started = time.perf_counter()
    found = model.log_likelihood(pairs(), max_batch_tokens=budget)
    seconds = time.perf_counter() - started
    means = [row.sum_logprob / row.scored_tokens for row in found.rows]  # type: ignore[operator]
    return np.array(means), found.usage.tokens, seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    score("float32", 4096)  # warm up
    reference, tokens, _ = score("float32", 1)
    seconds: dict[tuple[str, int], list[float]] = {}
    means = {}
    for _ in range(options.rounds):
        for dtype in ("float32", "bfloat16"):
            for budget in BUDGETS:
                means[dtype, budget], _, took = score(dtype, budget)
                seconds.setdefault((dtype, budget), []).append(took)
    results: list[dict[str, Any]] = []
    for (dtype, budget), mean in means.items():
        apart = np.abs(mean - reference)
        same = np.round(mean / GRID) == np.round(reference / GRID)
        results.append(
            {
                "dtype": dtype,
                "batch_tokens": budget,
                "tokens_per_second": round(tokens / min(seconds[dtype, budget])),
                "mean_difference": float(f"{apart.mean():.2g}"),
                "largest_difference": float(f"{apart.max():.2g}"),
                "same_on_the_grid": round(float(same.mean()), 3),
            }
        )
    report = {
        "command": "python benchmarks/likelihood_stability.py",
        "date": datetime.now(tz=UTC).date().isoformat(),
        "machine": processor(),
        "avx512_bf16": bool(torch.cpu.get_capabilities().get("avx512_bf16")),
        "python": platform.python_version(),
        "pairs": PAIRS,
        "tokens": tokens,
        "results": results,
    }
    text = json.dumps(report, indent=2) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
