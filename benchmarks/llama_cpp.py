"""Reading and writing tokens beside llama.cpp's server, on the same weights, in turns.

    python benchmarks/llama_cpp.py --isa avx2 --server bin/llama-server --gguf smollm2-f32.gguf
    python benchmarks/llama_cpp.py --url http://127.0.0.1:8080

`--server` starts the program on the file, with as many threads as PyTorch has; `--url` takes a
server that runs. The server reads prompts of random words (`pp`) and continues them greedily
(`tg`); its own timings count. Scoring of ours projects every token onto the vocabulary, which a
server that reads a prompt does not. A build for a processor with AVX2 only:

    cmake -B build -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_AVX512=OFF
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generation import Words
from ingest import processor
from isa import VARIABLES, hold_to

from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine.answering import Answers, Question
from siftline.models.generation import Sampling
from siftline.models.likelihood import Encoded
from siftline.models.loading import load_transformer
from siftline.models.rendering import Prompt

PORT = 8093
PATIENCE = 120  # seconds for a server to start


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send a request to the server and return its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@contextmanager
def server(options: argparse.Namespace) -> Iterator[str]:
    """Give the address of a server, which is started, and stopped at the end, unless it runs."""
    if options.url:
        yield options.url.rstrip("/")
        return
    url, threads = f"http://127.0.0.1:{PORT}", str(torch.get_num_threads())
    arguments = ["-m", str(options.gguf), "-t", threads, "-tb", threads, "--port", str(PORT)]
    program = subprocess.Popen(
        [str(options.server), *arguments, "-np", "1", "-c", "4096", "--no-webui"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(url, program)
        yield url
    finally:
        program.terminate()
        program.wait()


def _await(url: str, program: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and program.poll() is None:
        try:
            ask(url, "/health")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    sys.exit(f"The server did not answer at {url} within {PATIENCE} s, or it has ended.")


def theirs(url: str, ids: list[list[int]], tokens: int) -> tuple[float, float]:
    """Return the tokens a second that the server reads and writes, one prompt after the other."""
    read = written = reading = writing = 0.0
    for prompt in ids:
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "cache_prompt": False}
        timings = ask(url, "/completion", {**body, "ignore_eos": True})["timings"]
        read += timings["prompt_n"]
        reading += timings["prompt_ms"] / 1000
        written += timings["predicted_n"]
        writing += timings["predicted_ms"] / 1000
    return read / reading, written / writing


def ours(model: Any, ids: list[list[int]], tokens: int) -> tuple[float, float, float]:
    """Return the tokens a second that we read, write alone, and write together."""
    rows = [Encoded(tuple(prompt), 1, len(prompt) - 1, False) for prompt in ids]
    started = time.perf_counter()
    model.score(rows)
    read = sum(map(len, ids)) / (time.perf_counter() - started)
    alone = [_written(model, [prompt], tokens) for prompt in ids]
    return read, tokens * len(ids) / sum(alone), tokens * len(ids) / _written(model, ids, tokens)


def _written(model: Any, ids: list[list[int]], tokens: int) -> float:
    """Return the seconds that a continuation of prompts takes, beyond one of a single token."""
    seconds = []
    for limit in (1, tokens):
        questions = [
            Question(number, Prompt("", "", False, None), tuple(prompt), limit)
            for number, prompt in enumerate(ids)
        ]
        sampling = Sampling(n=1, temperature=0.0, seed=0, max_tokens=limit)
        started = time.perf_counter()
        answers = Answers(model.network, Words(), sampling)  # type: ignore[arg-type]
        answers.to(questions, lambda prompts, tokens: None)
        seconds.append(time.perf_counter() - started)
    return seconds[1] - seconds[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, help="the program llama-server")
    parser.add_argument("--gguf", type=Path, help="the file that it serves")
    parser.add_argument("--url", help="the address of a server that runs")
    parser.add_argument("--model", default="builtin:smollm2")
    parser.add_argument("--isa", choices=sorted(VARIABLES))
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.url and not (options.server and options.gguf):
        parser.error("got neither a server that runs (--url) nor one to start (--server, --gguf)")
    hold_to(options.isa)
    model: Any = load_transformer(ModelSpec(name=options.model), "cpu")
    random = np.random.default_rng(0)
    size = (options.prompts, options.prompt_tokens)
    ids = random.integers(1000, model.network.model.config.vocab_size - 1000, size).tolist()
    rounds: dict[str, list[float]] = {}
    with server(options) as url:
        for number in range(options.rounds + 1):
            found = (*theirs(url, ids, options.tokens), *ours(model, ids, options.tokens))
            if number:  # the first round warms up
                for name, value in zip(NAMES, found, strict=True):
                    rounds.setdefault(name, []).append(value)
    result = _summary(options, model, rounds)
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


NAMES = ("their reading", "their writing", "reading", "writing alone", "writing together")


def _summary(
    options: argparse.Namespace, model: Any, rounds: dict[str, list[float]]
) -> dict[str, Any]:
    def ratio(ours: str, theirs: str) -> float:
        pairs = zip(rounds[ours], rounds[theirs], strict=True)
        return round(statistics.median(one / other for one, other in pairs), 2)

    return {
        "command": "python benchmarks/llama_cpp.py",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {torch.get_num_threads()} threads",
        "instructions": options.isa or "all",
        "dtype": str(model.network.model.dtype).removeprefix("torch."),
        "weights of the server": options.gguf.name if options.gguf else "of a server that ran",
        "prompts": options.prompts,
        "tokens of a prompt": options.prompt_tokens,
        "tokens of an answer": options.tokens,
        "tokens_per_second": {n: round(statistics.median(v), 1) for n, v in rounds.items()},
        "times_as_fast": {
            "reading": ratio("reading", "their reading"),
            "writing_alone": ratio("writing alone", "their writing"),
            "writing_together": ratio("writing together", "their writing"),
        },
    }


if __name__ == "__main__":
    main()
