"""Likelihoods of responses: this engine beside lm-eval's HFLM and a plain padded loop.

    SIFTLINE_DATA=... python benchmarks/likelihood.py --out benchmarks/results/likelihood.json
    SIFTLINE_DATA=... python benchmarks/likelihood.py --isa avx2 --eager

The same model (SmolLM2), rows, tokens and number type (`auto`, so float32 with `--isa avx2`) go
through all of them, one after the other, in each round. `responses` has ten responses to each
prompt (AlpacaEval); `long_prompt` puts a few-shot prompt of more than a thousand tokens before each
question and scores four models' solutions (GSM8K): `siftline_one_level` computes what all share
once, and a question again for each of its solutions. Speeds count the tokens of all rows, prompts
each time, whatever was computed.
Needs `pip install lm-eval`.
"""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from ingest import processor
from isa import VARIABLES, hold_to
from lm_eval.models.huggingface import HFLM

from siftline.contracts.model_spec import ModelSpec
from siftline.models.devices import resolve_dtype
from siftline.models.engine import prefixes
from siftline.models.engine.packing import plan_packs
from siftline.models.engine.prepacking import PrepackedWeight, can_prepack
from siftline.models.likelihood import BATCH_TOKENS, Encoded, Pair
from siftline.models.loading import load_language_model
from siftline.models.plain_rendering import render_plain
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.files import find_model

# The fastest of 1, 2, 4 and 8.
HFLM_BATCH = {torch.bfloat16: 4, torch.float32: 1}
LOOP_BATCH = 8
EXAMPLES = 8  # in the few-shot prompt
LEVELS = prefixes._MOST_LEVELS


def data_folder() -> Path:
    """Return the folder of the public data."""
    if "SIFTLINE_DATA" not in os.environ:
        sys.exit("Set SIFTLINE_DATA to the folder with alpaca_eval_responses.jsonl.")
    return Path(os.environ["SIFTLINE_DATA"])


def rows_of(name: str) -> list[dict[str, Any]]:
    """Read a file of JSON lines."""
    text = (data_folder() / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def responses(prompts: int) -> list[Pair]:
    """Ten responses to each of some instructions, from all over the file."""
    rows = rows_of("alpaca_eval_responses.jsonl")
    by_prompt: dict[str, list[str]] = {}
    for row in rows:
        by_prompt.setdefault(row["instruction"], []).append(row["output"])
    chosen = list(by_prompt)[:: len(by_prompt) // prompts][:prompts]
    return [_pair(prompt, response) for prompt in chosen for response in by_prompt[prompt]]


def long_prompt(prompts: int) -> list[Pair]:
    """Four solutions to each of some questions, behind the same solved examples."""
    rows = rows_of("gsm8k_model_solutions.jsonl")
    shots = [f"{row['question']}\n{row['ground_truth']}\n\n" for row in rows[-EXAMPLES:]]
    models = [name for name, value in rows[0].items() if isinstance(value, dict)]
    return [
        _pair("".join(shots) + row["question"], row[model]["solution"])
        for row in rows[:prompts]
        for model in models
    ]


def _pair(prompt: str, response: str) -> Pair:
    return render_plain(
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    )


def padded_loop(model: Any, rows: list[Encoded]) -> list[float]:
    """Score rows as they come, eight at a time: all logits, in float32."""
    sums = []
    for start in range(0, len(rows), LOOP_BATCH):
        batch = rows[start : start + LOOP_BATCH]
        ids = torch.zeros(len(batch), max(len(row.ids) for row in batch), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(batch):
            ids[number, : len(row.ids)] = torch.tensor(row.ids)
            mask[number, : len(row.ids)] = 1
        with torch.inference_mode():
            logprobs = model(ids, attention_mask=mask).logits.float().log_softmax(-1)
        found = logprobs[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0].double()
        sums += [
            float(found[number, row.prompt_tokens - 1 : len(row.ids) - 1].sum())
            for number, row in enumerate(batch)
        ]
    return sums


def matmul_rate(dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a large product, the faster way."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    ways: list[Callable[[], Any]] = [lambda: a @ b]
    if can_prepack(a.device, dtype):
        packed = PrepackedWeight(b, None)
        ways.append(lambda: packed(a))
    rates = []
    for way in ways:
        way()
        started = time.perf_counter()
        for _ in range(10):
            way()
        rates.append(10 * 2 * 2048**3 / (time.perf_counter() - started))
    return max(rates)


def padding(lengths: list[int], batch: int) -> float:
    """Return the share of padding in batches of so many rows, in their order."""
    parts = [lengths[start : start + batch] for start in range(0, len(lengths), batch)]
    return 1 - sum(lengths) / sum(max(part) * len(part) for part in parts)


def compare(
    model: Any, network: Any, pairs: list[Pair], rounds: int, eager: bool
) -> dict[str, Any]:
    """Time every engine on the same pairs, in turns."""
    encoded = [row for row in model.pairs.encode(pairs, model.window, False)]
    rows = [row for row in encoded if isinstance(row, Encoded)]
    pairs = [pair for pair, row in zip(pairs, encoded, strict=True) if isinstance(row, Encoded)]
    peer = HFLM(pretrained=network, tokenizer=model.tokenizer, batch_size=_hflm_batch(network))
    requests = [
        (("", ""), list(row.ids[: row.prompt_tokens]), list(row.ids[row.prompt_tokens :]))
        for row in rows
    ]

    def ours(share: bool, compiled: bool, levels: int = LEVELS) -> list[float]:
        model.share_prompts = share
        prefixes._MOST_LEVELS = levels
        model.network.compile_from(0 if compiled and not eager else math.inf)
        return [row.sum_logprob for row in model.log_likelihood(pairs).rows]

    started = time.perf_counter()
    ours(False, True)
    compiling = time.perf_counter() - started
    engines: dict[str, Callable[[], list[float]]] = {
        "siftline": lambda: ours(True, True),
        "siftline_one_level": lambda: ours(True, True, levels=1),
        "siftline_unshared": lambda: ours(False, True),
        **({} if eager else {"siftline_uncompiled": lambda: ours(False, False)}),
        "lm_eval": lambda: [
            score for score, _ in peer._loglikelihood_tokens(requests, disable_tqdm=True)
        ],
        "padded_loop": lambda: padded_loop(network, rows),
    }
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    scores: dict[str, list[float]] = {}
    rates = []
    for number in range(rounds):
        rates.append(matmul_rate(network.dtype))
        for name, engine in engines.items():
            started = time.perf_counter()
            scores[name] = engine()
            seconds[name].append(time.perf_counter() - started)
            sys.stderr.write(f"round {number + 1}: {name} {seconds[name][-1]:.1f} s\n")
    summary = _summary(model, rows, seconds, scores, statistics.median(rates))
    return {**summary, **({} if eager else {"first_compiled_call_seconds": round(compiling, 1)})}


def _hflm_batch(network: Any) -> int:
    """Return how many rows lm-eval is given at once."""
    return HFLM_BATCH[network.dtype]


def _summary(
    model: Any,
    rows: list[Encoded],
    seconds: dict[str, list[float]],
    scores: dict[str, list[float]],
    rate: float,
) -> dict[str, Any]:
    lengths = [len(row.ids) for row in rows]
    counts = np.array([row.scored_tokens for row in rows])
    tokens, scored = sum(lengths), int(counts.sum())
    prefixes._MOST_LEVELS = LEVELS
    shared = sum(unit.tokens for batch in plan_packs(rows, BATCH_TOKENS).batches for unit in batch)
    operations = 2 * model.network.body * tokens + 2 * model.network.head * scored
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    means = {name: np.array(each) / counts for name, each in scores.items()}
    # A round's own ratio, so that a slow minute of the machine does not count.
    ratios = {
        name: statistics.median(
            theirs / ours for theirs, ours in zip(each, seconds["siftline_unshared"], strict=True)
        )
        for name, each in seconds.items()
    }
    saving = 1 - middle["siftline"] / middle["siftline_unshared"]
    difference = np.abs(means["siftline_unshared"] - means["lm_eval"])
    return {
        "rows": len(rows),
        "tokens": tokens,
        "scored_tokens": scored,
        "tokens_shared": shared,
        "tokens_per_second": {name: round(tokens / each) for name, each in middle.items()},
        "unshared_times_faster_than": {name: round(each, 2) for name, each in ratios.items()},
        "times_as_fast_as_one_level": round(
            statistics.median(
                one / all_
                for one, all_ in zip(
                    seconds["siftline_one_level"], seconds["siftline"], strict=True
                )
            ),
            2,
        ),
        "saving_by_sharing": round(saving, 3),
        "saving_by_token_counts": round(1 - shared / tokens, 3),
        "share_of_possible_saving": round(saving / (1 - shared / tokens), 3),
        "padding": {
            "lm_eval": round(
                padding(sorted(lengths, reverse=True), _hflm_batch(model.network.model)), 3
            ),
            "padded_loop": round(padding(lengths, LOOP_BATCH), 3),
        },
        "share_of_matmul_rate": round(operations / middle["siftline_unshared"] / rate, 3),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "matmul_gflops": round(rate / 1e9),
        "difference_to_lm_eval": {"mean": float(difference.mean()), "max": float(difference.max())},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--isa", choices=sorted(VARIABLES), help="instructions to keep to")
    parser.add_argument(
        "--eager", action="store_true", help="compile nothing, as for calls of this size"
    )
    options = parser.parse_args()
    hold_to(options.isa)
    spec = ModelSpec(name="builtin:smollm2")
    dtype = resolve_dtype(spec, "cpu")
    model: Any = load_language_model(spec, "cpu")
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(
        loadable_folder(find_model(spec)), dtype=getattr(torch, dtype)
    )
    tasks = {"responses": responses, "long_prompt": long_prompt}
    result = {
        "command": " ".join(["python", "benchmarks/likelihood.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {torch.get_num_threads()} threads",
        "instructions": options.isa or "all",
        "dtype": dtype,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "rounds": options.rounds,
        **{
            name: compare(model, network, pairs(options.prompts), options.rounds, options.eager)
            for name, pairs in tasks.items()
        },
    }
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
