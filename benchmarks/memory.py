"""Peak memory of likelihoods over 10,000 and 100,000 rows, shard by shard, in a process each.

    python benchmarks/memory.py --out benchmarks/results/memory.json

The model has random weights and is tiny, with SmolLM2's tokenizer and vocabulary, so that the
rows are what could grow.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from ingest import processor

from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine.transformer import TransformerModel
from siftline.models.likelihood import Pair
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.files import find_model

ROWS = (10_000, 100_000)
SHARD = 4096


def tiny() -> TransformerModel:
    """Return a model of two narrow layers."""
    folder = loadable_folder(find_model(ModelSpec(name="builtin:smollm2")))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    torch.manual_seed(0)
    return TransformerModel(transformers.LlamaForCausalLM(config), tokenizer, "tiny")


def score(rows: int) -> int:
    """Score rows, and return the peak memory of this process in MiB."""
    model = tiny()
    for start in range(0, rows, SHARD):
        numbers = range(start, min(start + SHARD, rows))
        pairs = [Pair(f"Question: what is {row}?\nAnswer:", f" {row * 7} it is") for row in numbers]
        assert all(row.status == "ok" for row in model.log_likelihood(pairs).rows)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure() -> dict[str, Any]:
    """Return all figures."""
    peaks = {}
    for rows in ROWS:
        command = [sys.executable, __file__, "--rows", str(rows)]
        peaks[str(rows)] = int(subprocess.run(command, check=True, capture_output=True).stdout)
    return {
        "command": "python benchmarks/memory.py --out benchmarks/results/memory.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": processor(),
        "python": platform.python_version(),
        "rows_per_shard": SHARD,
        "peak_mib": peaks,
        "growth": round(peaks[str(ROWS[-1])] / peaks[str(ROWS[0])], 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=int, help="score so many here, and print the peak")
    options = parser.parse_args()
    if options.rows:
        sys.stdout.write(f"{score(options.rows)}\n")
        return
    text = json.dumps(measure(), indent=2) + "\n"
    sys.stdout.write(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
