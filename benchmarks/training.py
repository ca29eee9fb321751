"""Our training loop beside `transformers.Trainer`, on the same rows, model and optimizer.

    SIFTLINE_DATA=... python benchmarks/training.py --rows 512 --rounds 3

The Trainer is set as in the released code of S2L: batches of 4 rows, 8 of them to a step, grouped
by length, padded to the longest. Both see the same number of rows in a step, AdamW, cosine, the
same learned tokens. What counts is real tokens a second; the two take turns.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from s2l_study import MAX_TOKENS, make_model, read_mixture, turns_of

from siftline.contracts.model_spec import ModelSpec
from siftline.models.loading import open_language_model, open_weights
from siftline.models.talks import Talk
from siftline.models.training.loop import Hyperparameters, train
from siftline.models.training.proxy import SHAPES
from siftline.models.training.rows import TrainingRow, training_rows

BATCH_ROWS = 32


def ours(spec: ModelSpec, rows: Sequence[TrainingRow], folder: Path) -> float:
    """Train for an epoch, and return the seconds."""
    model = open_weights(spec, "cpu", full=True)
    hyperparameters = Hyperparameters(learning_rate=1e-3, epochs=1, batch_rows=BATCH_ROWS)
    started = time.monotonic()
    train(
        model,
        rows,
        hyperparameters,
        stops=[hyperparameters.steps(len(rows))],
        on_stop=lambda _: None,
        folder=folder,
    )
    return time.monotonic() - started


def theirs(spec: ModelSpec, rows: Sequence[TrainingRow], folder: Path) -> float:
    """Do the same with the Trainer."""
    model = open_weights(spec, "cpu", full=True)
    data = []
    for row in rows:
        labels = [-100] * len(row.ids)
        for start, end in row.spans:
            labels[start:end] = row.ids[start:end]
        data.append({"input_ids": list(row.ids), "labels": labels, "length": len(row.ids)})
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=BATCH_ROWS // 4,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        weight_decay=0.0,
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length",
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=data, data_collator=_pad
    )
    started = time.monotonic()
    trainer.train()
    return time.monotonic() - started


def _pad(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)
    batch = {"input_ids": 0, "labels": -100}
    found = {
        name: torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in rows])
        for name, fill in batch.items()
    }
    lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
    return {**found, "attention_mask": (torch.arange(width)[None] < lengths).long()}


def main() -> None:
    """Run, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", default="small", choices=SHAPES)
    parser.add_argument("--model", help="in place of a shape, such as builtin:smollm2")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    mixture = read_mixture(arguments.rows, 0)
    seconds: dict[str, list[float]] = {"siftline": [], "transformers.Trainer": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        name = arguments.model or str(folder / "model")
        if not arguments.model:
            make_model(folder / "model", mixture.pool, arguments.shape)
        spec = ModelSpec(name=name, dtype="float32")
        scorer = open_language_model(spec)
        talks = [Talk(turns_of(row)) for row in mixture.pool]
        found = training_rows(talks, "plain", scorer, MAX_TOKENS)
        rows = [each for each in found if isinstance(each, TrainingRow)]
        for _ in range(arguments.rounds):
            seconds["siftline"].append(ours(spec, rows, folder))
            seconds["transformers.Trainer"].append(theirs(spec, rows, folder / "trainer"))
    tokens = sum(len(row.ids) for row in rows)
    rate = {name: round(tokens / statistics.median(each)) for name, each in seconds.items()}
    ratio = round(rate["siftline"] / rate["transformers.Trainer"], 2)
    sys.stdout.write(
        f"{len(rows)} rows, {tokens} tokens; tokens a second: {rate}; {ratio} times as fast\n"
    )
    if arguments.out:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "threads": torch.get_num_threads(),
            "rows": len(rows),
            "tokens": tokens,
            "tokens_a_second": rate,
            "times_as_fast": ratio,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
