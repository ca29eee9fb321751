"""Loss trajectories by the engine, beside the released code's way: one row per forward pass.

    SIFTLINE_DATA=... python benchmarks/s2l_scoring.py --rows 2000 --checkpoints 12
    SIFTLINE_DATA=... python benchmarks/s2l_scoring.py --model builtin:smollm2 --rows 100 \
        --checkpoints 2

The checkpoints are small Llamas of different random weights, which cost what trained ones do. The
peer is what the loop of BigML-CS-UCLA/S2L comes to on the same tokens: load a checkpoint, then for
each row one forward pass with labels, of which the mean loss is kept. Checkpoint by checkpoint the
two take turns, so that both see the same noise of the machine.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from s2l_study import MAX_TOKENS, make_model, read_mixture, turns_of

from siftline.contracts.model_spec import ModelSpec
from siftline.models.devices import resolve_dtype
from siftline.models.likelihood import Encoded
from siftline.models.loading import open_language_model
from siftline.models.plain_rendering import render_plain
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.files import find_model
from siftline.models.training.proxy import SHAPES


def one_row_per_pass(spec: ModelSpec, rows: list[Encoded]) -> list[float]:
    """Return mean losses as the released code computes them, on our tokens."""
    folder = loadable_folder(find_model(spec))
    dtype = getattr(torch, resolve_dtype(spec, "cpu"))
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    losses = []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row.ids])
            labels = ids.clone()
            labels[:, : row.prompt_tokens] = -100
            losses.append(float(model(input_ids=ids, labels=labels).loss))
    return losses


def main() -> None:
    """Run, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--checkpoints", type=int, default=12)
    parser.add_argument("--shape", default="small", choices=SHAPES)
    parser.add_argument("--model", help="the same model as every checkpoint, in place of a shape")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    mixture = read_mixture(arguments.rows, 0)
    hide: Any = transformers.utils.logging.disable_progress_bar
    hide()
    seconds: dict[str, list[float]] = {"siftline": [], "one row per pass": []}
    with tempfile.TemporaryDirectory() as temporary:
        specs = []
        for number in range(arguments.checkpoints):
            if arguments.model:
                specs.append(ModelSpec(name=arguments.model))
                continue
            folder = Path(temporary) / f"step-{number}"
            make_model(folder, mixture.pool, arguments.shape, seed=number)
            specs.append(ModelSpec(name=str(folder), dtype="float32"))
        scorer = open_language_model(specs[0])
        pairs = [render_plain(turns_of(row)) for row in mixture.pool]
        coded = scorer.encode(pairs, max_tokens=MAX_TOKENS, score_eos=True)
        rows = [each for each in coded if isinstance(each, Encoded)]
        difference = 0.0
        for spec in specs:
            started = time.monotonic()
            found = open_language_model(spec).score(rows).rows
            middle = time.monotonic()
            losses = one_row_per_pass(spec, rows)
            seconds["siftline"].append(middle - started)
            seconds["one row per pass"].append(time.monotonic() - middle)
            ours = [-(each.sum_logprob or np.nan) / (each.scored_tokens or 1) for each in found]
            difference = max(difference, float(np.abs(np.array(ours) - losses).max()))
    total = {name: round(sum(each), 1) for name, each in seconds.items()}
    ratio = total["one row per pass"] / total["siftline"]
    tokens = sum(len(row.ids) for row in rows)
    name = arguments.model or f"shape {arguments.shape}"
    sys.stdout.write(
        f"{len(rows)} rows, {tokens} tokens, {len(specs)} checkpoints of {name}: "
        f"{total['siftline']} s, one row per pass {total['one row per pass']} s: {ratio:.2f} times "
        f"as long; largest difference of a mean loss {difference:.1e} nats\n"
    )
    if arguments.out:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "threads": torch.get_num_threads(),
            "rows": len(rows),
            "tokens": tokens,
            "checkpoints": len(specs),
            "seconds": total,
            "times_as_long": round(ratio, 3),
            "largest_difference": difference,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
