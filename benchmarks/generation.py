"""Sampled tokens a second beside `transformers.generate`, interleaved, with equal lengths.

    python benchmarks/generation.py --device cpu --model builtin:smollm2
    python benchmarks/generation.py --device cuda --shape 8B

Prompts are random tokens, and every sample has the same number of tokens: ends are ignored. A model
of a `--shape` has random weights, made on the device, so that nothing is downloaded. On CUDA the
bytes that a step reads (weights, keys and values) are held to the rate at which the device copies.
"""

import argparse
import json
import platform
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from random_models import SHAPES, random_llama

from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine.answering import Answers, Question
from siftline.models.engine.capabilities import cached_bytes
from siftline.models.engine.forward import Network
from siftline.models.generation import Sampling
from siftline.models.loading import load_transformer, open_weights
from siftline.models.rendering import Prompt

# Prompts, samples of each, tokens of each sample; of large models fewer, or their weights would be
# multiplied with so many rows that the products and not the memory bound a step.
DEFAULTS = {"cpu": (32, 4, 64), "cuda": (128, 4, 128), "8B": (32, 4, 128)}
PROMPT = (32, 129)  # tokens of a prompt, the second number excluded


class Words:
    """A tokenizer of nothing, under which no token ends a sample."""

    eos_token_id = None
    added_tokens_decoder: dict[int, Any] = {}

    @staticmethod
    def decode(ids: list[int], **options: Any) -> str:
        """Return tokens as numbers."""
        return " ".join(map(str, ids))


def models(options: argparse.Namespace) -> tuple[Network, Any]:
    """Return our model and that of `transformers`; on a CPU ours has prepacked weights."""
    dtype = getattr(torch, options.dtype)
    if options.shape:
        tied = options.shape == "smollm2"
        made = partial(random_llama, SHAPES[options.shape], dtype, tie_word_embeddings=tied)
        plain = made(options.device)
        own = plain if options.device == "cuda" else made("cpu")
        return Network(own, options.shape), plain
    spec = ModelSpec(name=options.model, dtype=options.dtype)
    network = load_transformer(spec, options.device).network
    plain = open_weights(spec, options.device)
    for model in (network.model, plain):
        model.generation_config.eos_token_id = model.config.eos_token_id = None
    return network, plain


def questions(prompts: int, tokens: int, vocabulary: int) -> list[Question]:
    """Return prompts of random tokens."""
    random = np.random.default_rng(0)
    found = []
    for number in range(prompts):
        ids = tuple(random.integers(5, vocabulary, int(random.integers(*PROMPT))).tolist())
        found.append(Question(number, Prompt.of_text(f"{number}"), ids, tokens))
    return found


def own(network: Network, asked: list[Question], sampling: Sampling) -> list[list[str]]:
    """Return our samples."""
    answers = Answers(network, Words(), sampling)  # type: ignore[arg-type]
    rows = answers.to(asked, lambda prompts, tokens: None)
    found = []
    for question in asked:
        row = rows[question.number]
        if isinstance(row, str):
            sys.exit(f"A prompt has no samples: {row}.")
        found.append([each.text for each in row])
    return found


@torch.inference_mode()
def theirs(model: Any, asked: list[Question], sampling: Sampling, at_once: int) -> list[list[str]]:
    """Return the samples of `transformers`, as many at once, prompts of similar length together."""
    order = sorted(asked, key=lambda question: -len(question.ids))
    size = max(1, at_once // sampling.n)
    found = {}
    for start in range(0, len(order), size):
        part = order[start : start + size]
        width = max(len(question.ids) for question in part)
        ids = torch.zeros(len(part), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, question in enumerate(part):
            ids[row, width - len(question.ids) :] = torch.tensor(question.ids)
            mask[row, width - len(question.ids) :] = 1
        limit = sampling.max_tokens
        made = model.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            do_sample=sampling.temperature > 0,
            temperature=sampling.temperature or None,
            top_k=0 if sampling.temperature else None,
            top_p=sampling.top_p if sampling.temperature else None,
            num_return_sequences=sampling.n,
            max_new_tokens=limit,
            min_new_tokens=limit,
            pad_token_id=0,
        )
        texts = [Words.decode(row) for row in made[:, width:].tolist()]
        for row, question in enumerate(part):
            found[question.number] = texts[row * sampling.n : (row + 1) * sampling.n]
    return [found[question.number] for question in asked]


def seconds(work: Any, device: str) -> float:
    """Return how long some work takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def copy_rate() -> float:
    """Return the bytes that the device reads and writes in a second."""
    block = torch.empty(2**31, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(block)
    other.copy_(block)
    return 2 * len(block) / min(seconds(lambda: other.copy_(block), "cuda") for _ in range(5))


def step_bytes(network: Network, asked: list[Question], samples: int, tokens: int) -> float:
    """Return the bytes that a step reads on average: weights, keys and values, prompts' once."""
    weights = (network.body + network.head) * network.model.dtype.itemsize
    held = sum(len(question.ids) for question in asked) + len(asked) * samples * tokens / 2
    return weights + held * cached_bytes(network.model)


def agreement(found: list[list[str]], wanted: list[list[str]]) -> float:
    """Return the share of samples that are the same."""
    pairs = [pair for rows in zip(found, wanted, strict=True) for pair in zip(*rows, strict=True)]
    return sum(one == other for one, other in pairs) / len(pairs)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return rates, their ratio, and how far samples agree."""
    network, plain = models(options)
    vocabulary = int(plain.config.vocab_size)
    asked = questions(options.prompts, options.tokens, vocabulary)
    sampling = Sampling(n=options.samples, max_tokens=options.tokens, top_p=options.top_p, seed=1)
    at_once = network.most_slots
    few = asked[:4]
    brief = sampling.model_copy(update={"max_tokens": 4})
    own(network, [each._replace(limit=4) for each in few], brief)
    theirs(plain, few, brief, at_once)
    times: dict[str, list[float]] = {"siftline": [], "transformers": []}
    whole: list[list[str]] = []

    def answer() -> None:
        whole[:] = own(network, asked, sampling)

    for _ in range(options.rounds):
        times["siftline"].append(seconds(answer, options.device))
        if not options.alone:
            times["transformers"].append(
                seconds(lambda: theirs(plain, asked, sampling, at_once), options.device)
            )
    tokens = options.prompts * options.samples * options.tokens
    result: dict[str, Any] = {
        "tokens": tokens,
        "seconds": {name: [round(each, 3) for each in row] for name, row in times.items()},
        "tokens_per_second": {name: round(tokens / min(row)) for name, row in times.items() if row},
        "decoders": network.decoders,
        "captured": options.device == "cuda" and network.captures,
        "same_alone": agreement(whole[:4], own(network, few, sampling)),
    }
    if not options.alone:
        # The best of each: the first round of `transformers` on a GPU plans for each new length.
        result["ratio"] = round(min(times["transformers"]) / min(times["siftline"]), 3)
        greedy = Sampling(temperature=0, max_tokens=min(16, options.tokens))
        short = [each._replace(limit=greedy.max_tokens) for each in few]
        result["same_greedy"] = agreement(
            own(network, short, greedy), theirs(plain, short, greedy, at_once)
        )
    if options.device == "cuda":
        result |= bandwidth(network, asked, sampling, times["siftline"])
    return result


def bandwidth(
    network: Network, asked: list[Question], sampling: Sampling, times: list[float]
) -> dict[str, Any]:
    """Return the share of the copy rate that the steps reach, without what comes before them."""
    half = sampling.max_tokens // 2
    brief = sampling.model_copy(update={"max_tokens": half})
    short = [each._replace(limit=half) for each in asked]
    beginning = min(seconds(lambda: own(network, short, brief), "cuda") for _ in range(2))
    step = (min(times) - beginning) / (sampling.max_tokens - half)
    waves = -(-len(asked) * sampling.n // network.most_slots)
    rate = copy_rate()
    read = step_bytes(network, asked, sampling.n, sampling.max_tokens + half) * waves
    return {
        "device_name": torch.cuda.get_device_name(),
        "step_ms": round(1e3 * step, 2),
        "step_tokens_per_second": round(len(asked) * sampling.n / step),
        "step_gigabytes": round(read / 1e9, 2),
        "copy_rate": round(rate / 1e9),
        "share_of_bandwidth": round(read / step / rate, 3),
        "peak_gigabytes": round(torch.cuda.max_memory_allocated() / 1e9, 1),
    }


def main() -> None:
    """Measure, print the result and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--model", default="builtin:smollm2")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="a model with random weights")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--prompts", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help="without transformers")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    defaults = DEFAULTS.get(options.shape or "", DEFAULTS[options.device])
    for name, value in zip(("prompts", "samples", "tokens"), defaults, strict=True):
        setattr(options, name, getattr(options, name) or value)
    result = {
        "command": " ".join(["benchmarks/generation.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "dtype": options.dtype,
        "prompts": options.prompts,
        "samples": options.samples,
        **measure(options),
    }
    text = json.dumps(result, indent=1)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
