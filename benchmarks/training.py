"""Our training loop beside `transformers.Trainer`, on the same rows, model and optimizer.

    SIFTLINE_DATA=... python benchmarks/training.py --rows 512 --rounds 3
    SIFTLINE_DATA=... python benchmarks/training.py --model builtin:smollm2 --weights lora --rows 48
    python benchmarks/training.py --device cuda --synthetic

On a CPU the Trainer is set as in the released code of S2L: batches of 4 rows, 8 of them to a step;
on a GPU a step is one batch. Rows are grouped by length and padded to the longest. Both see the
same number of rows in a step, AdamW, cosine, the same learned tokens; LoRA is that of `peft` for
the Trainer. What counts is real tokens a second; the two take turns. `--synthetic` makes rows of
random tokens, and needs no data.
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
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from siftline.contracts.model_spec import ModelSpec
from siftline.models.devices import resolve_device, resolve_dtype
from siftline.models.loading import open_language_model, open_weights
from siftline.models.talks import Talk
from siftline.models.training import tuning
from siftline.models.training.loop import Hyperparameters, train
from siftline.models.training.proxy import SHAPES
from siftline.models.training.rows import TrainingRow, training_rows

RANK = 16
VOCABULARY = 16384  # of the model for synthetic rows
# Tokens of the products whose rate is measured: about those of a batch.
PRODUCT_TOKENS = {"cpu": 1024, "cuda": 8192}


class Task(NamedTuple):
    """What both train."""

    spec: ModelSpec
    lora: bool
    device: str
    batch_rows: int

    @property
    def half(self) -> bool:
        """Whether all weights are trained with products in bfloat16."""
        return not self.lora and resolve_dtype(self.spec, self.device) == "bfloat16"


def ours(task: Task, rows: Sequence[TrainingRow], folder: Path) -> float:
    """Train for an epoch, and return the seconds."""
    model: Any = open_weights(task.spec, task.device, full=not task.lora)
    if task.lora:
        model = tuning._with_lora(model, RANK)
    hyperparameters = Hyperparameters(
        learning_rate=1e-3, epochs=1, batch_rows=task.batch_rows, bfloat16=task.half
    )
    folder.mkdir(exist_ok=True)
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


def theirs(task: Task, rows: Sequence[TrainingRow], folder: Path) -> float:
    """Do the same with the Trainer."""
    model: Any = open_weights(task.spec, task.device, full=not task.lora)
    if task.lora:
        import peft

        config = peft.LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = peft.get_peft_model(model, config)
    data = []
    for row in rows:
        labels = [-100] * len(row.ids)
        for start, end in row.spans:
            labels[start:end] = row.ids[start:end]
        data.append({"input_ids": list(row.ids), "labels": labels, "length": len(row.ids)})
    at_once = 4 if task.device == "cpu" else task.batch_rows
    fields = transformers.TrainingArguments.__dataclass_fields__
    grouped: dict[str, Any] = {"group_by_length": True}
    if "train_sampling_strategy" in fields:
        grouped = {"train_sampling_strategy": "group_by_length"}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=task.batch_rows // at_once,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=task.half,
        use_cpu=task.device == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
        **grouped,
    )
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=data, data_collator=_pad
    )
    started = time.monotonic()
    trainer.train()
    if task.device != "cpu":
        torch.cuda.synchronize()
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


def synthetic_rows(count: int) -> list[TrainingRow]:
    """Return rows of random tokens, of the lengths that instruction data has."""
    random = np.random.default_rng(0)
    rows = []
    for length in np.clip(random.lognormal(4.8, 0.7, count), 16, 256).astype(int).tolist():
        ids = random.integers(1, VOCABULARY, length).tolist()
        rows.append(TrainingRow(tuple(ids), ((length // 3, length),)))
    return rows


def synthetic_model(folder: Path, shape: str) -> None:
    """Write a Llama of random weights."""
    width, layers, heads = SHAPES[shape]
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def mixture_rows(spec: ModelSpec, count: int, shape: str | None) -> list[TrainingRow]:
    """Return rows of the mixture, tokenised as for scoring.

    Args:
        spec: The model.
        count: About how many rows.
        shape: That of a model of random weights, which is made first; None where there is one.
    """
    from s2l_study import MAX_TOKENS, make_model, read_mixture, turns_of  # slow to import

    pool = read_mixture(count, 0).pool
    if shape is not None:
        make_model(Path(spec.name), pool, shape)
    scorer = open_language_model(spec, "cpu")
    talks = [Talk(turns_of(row)) for row in pool]
    template: Any = "chat" if shape is None else "plain"
    found = training_rows(talks, template, scorer, MAX_TOKENS)
    rows = [each for each in found if isinstance(each, TrainingRow)]
    return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]


def share_of_products(task: Task, rows: Sequence[TrainingRow], seconds: float) -> float:
    """Return which part of the rate of the layers' products a training reached.

    There and back each weight of a layer is multiplied with each token three times, a frozen one
    twice; the vocabulary, with learned tokens only, as often.
    """
    model: Any = open_weights(task.spec, task.device, full=not task.lora)
    half = task.half or model.dtype == torch.bfloat16
    dtype = torch.bfloat16 if half else torch.float32
    layers = [each for each in model.base_model.modules() if isinstance(each, torch.nn.Linear)]
    head = model.get_output_embeddings().weight.numel()
    learned = sum(row.learned_tokens for row in rows)
    tokens = sum(len(row.ids) for row in rows)
    body = sum(each.weight.numel() for each in layers)
    needed = (4 if task.lora else 6) * (body * tokens + head * learned)
    size = PRODUCT_TOKENS[torch.device(task.device).type]
    done = spent = 0.0
    for outputs, inputs in sorted({tuple(each.weight.shape) for each in layers}):
        weight = torch.randn(outputs, inputs, dtype=dtype, device=task.device)
        states = torch.randn(size, inputs, dtype=dtype, device=task.device)
        for timed in (False, True):
            _wait(task.device)
            started = time.perf_counter()
            for _ in range(10):
                (states @ weight.T) @ weight
            _wait(task.device)
            if timed:
                spent += time.perf_counter() - started
                done += 10 * 4 * size * outputs * inputs
    return float(needed / seconds / (done / spent))


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def main() -> None:
    """Run, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="512, or 3,072 on a GPU")
    parser.add_argument("--rounds", type=int, help="3, or 1 on a GPU")
    parser.add_argument("--shape", choices=SHAPES, help="small, or base on a GPU")
    parser.add_argument("--model", help="in place of a shape, such as builtin:smollm2")
    parser.add_argument("--weights", choices=("full", "lora"), default="full")
    parser.add_argument("--dtype", help="float32, or bfloat16 on a GPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-rows", type=int, help="rows in a step: 32, or 64 on a GPU")
    parser.add_argument("--synthetic", action="store_true", help="rows of random tokens")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    gpu = device != "cpu"
    count = arguments.rows or (3072 if gpu else 512)
    shape = arguments.shape or ("base" if gpu else "small")
    seconds: dict[str, list[float]] = {"siftline": [], "transformers.Trainer": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        name = arguments.model or str(folder / "model")
        dtype = arguments.dtype or ("bfloat16" if gpu else "float32")
        spec = ModelSpec(name=name, dtype=dtype)
        if arguments.synthetic:
            synthetic_model(folder / "model", shape)
            rows = synthetic_rows(count)
        else:
            rows = mixture_rows(spec, count, None if arguments.model else shape)
        batch_rows = arguments.batch_rows or (64 if gpu else 32)
        task = Task(spec, arguments.weights == "lora", device, batch_rows)
        trainings = {"siftline": ours, "transformers.Trainer": theirs}
        if gpu:  # what is loaded and chosen once
            for each in trainings.values():
                each(task, rows[: 2 * batch_rows], folder / "warm")
        for _ in range(arguments.rounds or (1 if gpu else 3)):
            for who, each in trainings.items():
                seconds[who].append(each(task, rows, folder / "training"))
                sys.stderr.write(f"{who}: {seconds[who][-1]:.2f} s\n")
        shares = {
            who: round(share_of_products(task, rows, statistics.median(times)), 3)
            for who, times in seconds.items()
        }
    tokens = sum(len(row.ids) for row in rows)
    rate = {who: round(tokens / statistics.median(times)) for who, times in seconds.items()}
    ratio = round(rate["siftline"] / rate["transformers.Trainer"], 2)
    sys.stdout.write(
        f"{len(rows)} rows, {tokens} tokens; tokens a second: {rate}; {ratio} times as fast; share "
        f"of the products' rate: {shares}\n"
    )
    if arguments.out:
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "device": torch.cuda.get_device_name() if gpu else "cpu",
            "threads": torch.get_num_threads(),
            "weights": arguments.weights,
            "dtype": dtype,
            "rows": len(rows),
            "tokens": tokens,
            "tokens_a_second": rate,
            "times_as_fast": ratio,
            "share_of_products": shares,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
