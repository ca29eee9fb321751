"""Parts of the device check that are about whole runs: a curation, trajectories, very long rows.

Models have random weights and a tokenizer made here, and texts are random words, so nothing is
downloaded. `device_check.py` calls these; on a machine without a GPU they run too, slowly, with the
shape `tiny`.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from likelihood_cuda import matmul_rate
from random_models import SHAPES, TINY, random_llama

from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine.capabilities import weight_counts
from siftline.models.engine.passes import Passes
from siftline.models.engine.transformer import TransformerModel
from siftline.models.likelihood import Encoded, Pair
from siftline.models.training.checkpoints import score_checkpoints

# As in `SHAPES`.
PROXY = (256, 1024, 6, 4, 4, 4096)
# Of the long rows; what a 1B model attends to at 30,000 tokens is a third of all its work.
SHORTEST, LONGEST = 10, 30_000


def words(random: np.random.Generator, count: int) -> str:
    """Return a text of so many words, each of which is a token."""
    return " ".join(f"w{number}" for number in random.integers(0, 400, count))


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Return one that takes a word, with the white space before it, as a token."""
    known = {f"w{number}": number + 2 for number in range(400)} | {"<end>": 0, "<unknown>": 1}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="<unknown>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")


def write_model(folder: Path, shape: tuple[int, ...], device: str, dtype: torch.dtype) -> None:
    """Write such a model with its tokenizer."""
    random_llama(shape, dtype, device, eos_token_id=0).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def curation(work: Path, name: str, prompts: int, device: str) -> dict[str, Any]:
    """Run GRAPE over responses to prompts by the command line, as users do."""
    shape = SHAPES.get(name, TINY)
    write_model(work / "model", shape, device, torch.bfloat16)
    random = np.random.default_rng(0)
    with (work / "rows.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(prompts):
            asked = words(random, 512)
            for _ in range(8):
                answer = words(random, int(random.integers(64, 448)))
                file.write(json.dumps({"question": asked, "answer": answer}) + "\n")
    recipe = {
        "name": "check",
        "inputs": [{"path": "rows.jsonl", "source": "made"}],
        "models": {"target": {"name": "model", "dtype": "bfloat16"}},
        "stages": [{"kind": "grape", "model": "target"}],
    }
    (work / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    command = [
        sys.executable,
        "-c",
        "from siftline.cli import main; main()",
        "run",
        "recipe.yaml",
        "--no-prefect",
    ]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--device", device], cwd=work, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        return {"error": (done.stdout + done.stderr)[-2000:]}
    version = next((work / "runs").glob("*/v0001"))
    report = json.loads((version / "report.json").read_text(encoding="utf-8"))
    stage = report["stages"][0]
    likelihood = next(version.glob("01-*/scores/likelihood-*.parquet"))
    scored = _scored_tokens(likelihood.parent)
    body, head = weight_counts(random_llama(shape, torch.bfloat16, "meta"))
    operations = 2 * body * stage["tokens"] + 2 * head * scored
    rate = matmul_rate(shape, device) if device == "cuda" else math.inf
    return {
        "model": name,
        "rows": stage["rows"],
        "statuses": stage["statuses"],
        "tokens": stage["tokens"],
        "seconds": round(seconds, 1),
        "stage_seconds": stage["seconds"],
        "tokens_per_second": round(stage["tokens"] / stage["seconds"]),
        "share_of_matmul_rate": round(operations / stage["seconds"] / rate, 3),
        "models": stage["models"],
    }


def _scored_tokens(folder: Path) -> int:
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in folder.glob("likelihood-*.parquet")]
    return sum(sum(table["scored_tokens"].to_pylist()) for table in tables)


def trajectories(work: Path, rows: int, checkpoints: int, device: str) -> dict[str, Any]:
    """Score rows under checkpoints, beside one row per forward pass as S2L's released code does."""
    specs = []
    for number in range(checkpoints):
        folder = work / f"step-{number}"
        write_model(folder, PROXY, device, torch.float32)
        specs.append(ModelSpec(name=str(folder), dtype="bfloat16"))
    random = np.random.default_rng(1)
    pairs = [
        Pair(f"{words(random, int(random.integers(8, 64)))}\n", words(random, size))
        for size in random.integers(8, 192, rows).tolist()
    ]
    list(score_checkpoints(specs, pairs[:8], device=device))
    started = time.perf_counter()
    found = list(score_checkpoints(specs, pairs, device=device))
    ours = time.perf_counter() - started
    few = pairs[:200]
    started = time.perf_counter()
    losses = _one_row_per_pass(Path(specs[0].name), few, device)
    theirs = (time.perf_counter() - started) * checkpoints * rows / len(few)
    mean = [-(row.sum_logprob or 0.0) / (row.scored_tokens or 1) for row in found[0].rows[:200]]
    return {
        "rows": rows,
        "checkpoints": checkpoints,
        "seconds": round(ours, 2),
        "one_row_per_pass_seconds": round(theirs, 1),
        "times_as_fast": round(theirs / ours, 1),
        "difference": float(np.abs(np.array(mean) - np.array(losses)).max()),
    }


@torch.inference_mode()
def _one_row_per_pass(folder: Path, pairs: Sequence[Pair], device: str) -> list[float]:
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model, coder = loaded.to(device), tokenizer()
    losses = []
    for pair in pairs:
        prompt = len(coder(pair.prompt).input_ids)
        ids = torch.tensor([coder(pair.prompt + pair.response).input_ids], device=device)
        labels = ids.clone()
        labels[:, :prompt] = -100
        losses.append(float(model(input_ids=ids, labels=labels).loss))
    return losses


def long_rows(name: str, rows: int, device: str, longest: int = LONGEST) -> dict[str, Any]:
    """Score rows of very different lengths in one call, beside its short rows alone.

    The rate counts the operations of attention too, since at 30,000 tokens they are a good part.
    """
    shape = SHAPES.get(name, TINY)
    hidden, _, layers, *_ = shape
    model = TransformerModel(
        random_llama(shape, torch.bfloat16, device, max_position_embeddings=2 * longest),
        tokenizer(),
        name,
    )
    random = np.random.default_rng(2)
    lengths = np.exp(random.uniform(np.log(SHORTEST), np.log(longest), rows)).astype(int)
    lengths[:2] = longest
    coded = [
        Encoded(tuple(random.integers(0, shape[-1], int(size)).tolist()), 5, int(size) - 5, False)
        for size in lengths
    ]

    def rate(part: Sequence[Encoded]) -> tuple[float, float]:
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        passes = Passes(model.network, part, share_prompts=False)
        assert np.isfinite(passes.run()).all()
        seconds = time.perf_counter() - started
        tokens = sum(len(row.ids) for row in part)
        attended = 2.0 * layers * hidden * sum(len(row.ids) ** 2 for row in part)
        work = 2.0 * (model.network.body + model.network.head) * tokens + attended
        return tokens / seconds, work / seconds

    rate(coded[:4])
    everything, short = rate(coded), rate([row for row in coded if len(row.ids) < longest // 15])
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    return {
        "model": name,
        "rows": rows,
        "tokens": int(lengths.sum()),
        "longest": int(lengths.max()),
        "tokens_per_second": round(everything[0]),
        "short_rows_tokens_per_second": round(short[0]),
        "operations_rate_of_short_rows": round(everything[1] / short[1], 3),
        "peak_gib": None if peak is None else round(peak, 1),
    }


def main() -> None:
    """Run one part, and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["curation", "trajectories", "long_rows"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="1B", choices=[*SHAPES, "tiny"])
    parser.add_argument("--rows", type=int, help="of curation: prompts with eight responses each")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        match options.part:
            case "curation":
                found = curation(work, options.model, options.rows or 400, options.device)
            case "trajectories":
                found = trajectories(work, options.rows or 4000, 4, options.device)
            case _:
                found = long_rows(options.model, options.rows or 300, options.device)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
