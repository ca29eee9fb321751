"""Only-IF's experiment in small: how many rules must be seen before unseen ones are followed?

    python benchmarks/only_if.py --out benchmarks/results/only_if.json
    python benchmarks/only_if.py --full

The string-rewriting task of Zhang et al. (arXiv 2410.04717): a rule says which letters to replace
by which, and the first place where they occur in a text is rewritten. A small GPT-2 with random
weights learns from a fixed number of examples, made of few rules with many texts each or of many
rules with few. Counted are the texts that come out right to the last letter: of rules that were
seen, with other texts, and of rules that were not. In the paper the second is near 0 below 300
rules and near 1 above 1,000, whatever the number of texts per rule.

The default is cut to two cores: rules of 3 letters, texts of 10, two layers of 128, one pass over
160,000 examples. With `--full` it is the paper's: rules of 20 letters, texts of 50, six layers of
256, a million examples, 50 passes over them, for a GPU. The loop is its own: rows of one length
need neither padding nor packs. Products are in bfloat16, accuracy is measured in float32.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import transformers

LETTERS = 26
SEPARATOR = LETTERS

Ints = npt.NDArray[np.int64]


class Setting(NamedTuple):
    """The task, the model and its training.

    Attributes:
        rule: Letters of a rule, on either side.
        text: Letters of a text.
        layers: Of the model.
        width: Of the model, which has four heads.
        examples: Different ones that are learned from.
        passes: Over them.
        batch: Examples in one step.
        rate: Learning rate at its peak.
        tested: Rows, and unseen rules, that accuracy is measured on.
    """

    rule: int
    text: int
    layers: int
    width: int
    examples: int
    passes: int
    batch: int
    rate: float
    tested: int


SMALL = Setting(
    3, 10, layers=2, width=128, examples=160_000, passes=1, batch=64, rate=2e-3, tested=2000
)
FULL = Setting(
    20, 50, layers=6, width=256, examples=10**6, passes=50, batch=512, rate=1e-3, tested=10**5
)
SMALL_RULES = (3, 10, 30, 100, 300, 1000, 3000)
FULL_RULES = (100, 300, 500, 1000, 10_000)


def draw_rules(random: np.random.Generator, seen: int, unseen: int, letters: int) -> Ints:
    """Return [seen + unseen, 2, letters] rules; no two have the same left side."""
    found: dict[bytes, Ints] = {}
    while len(found) < seen + unseen:
        rule = random.integers(LETTERS, size=(2, letters))
        found.setdefault(rule[0].tobytes(), rule)
    return np.stack(list(found.values()))


def draw_examples(
    random: np.random.Generator, rules: Ints, count: int, letters: int, no_ops: float = 0.0
) -> Ints:
    """Return [count, tokens] rows: left, right, text and what it becomes, between separators.

    Args:
        random: Draws everything.
        rules: [rules, 2, letters of a rule]; each gives the same number of rows, or one more.
        count: Rows.
        letters: Of a text.
        no_ops: Share of the texts that the left side is not put into, and which mostly stay.
    """
    rule = rules[random.permutation(np.arange(count) % len(rules))]
    left, right = rule[:, 0], rule[:, 1]
    width = left.shape[1]
    text = random.integers(LETTERS, size=(count, letters))
    start = random.integers(letters - width + 1, size=count)
    put = start[:, None] + np.arange(width)
    wanted = np.where(random.random(count)[:, None] < no_ops, text[_rows(put), put], left)
    text[_rows(put), put] = wanted
    windows = np.lib.stride_tricks.sliding_window_view(text, width, axis=1)
    matches = (windows == left[:, None]).all(axis=2)
    first = matches.argmax(axis=1)[:, None] + np.arange(width)
    became = text.copy()
    became[_rows(first), first] = np.where(
        matches.any(axis=1)[:, None], right, text[_rows(first), first]
    )
    between = np.full((count, 1), SEPARATOR)
    return np.concatenate([left, between, right, between, text, between, became], axis=1)


def _rows(columns: Ints) -> Ints:
    return np.arange(len(columns))[:, None]


def new_model(setting: Setting, tokens: int, seed: int) -> Any:
    """Return a GPT-2 with random weights, without dropout."""
    config = transformers.GPT2Config(
        vocab_size=LETTERS + 1,
        n_positions=tokens,
        n_embd=setting.width,
        n_layer=setting.layers,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",  # that of GPT-2, in one kernel
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(seed)
    model = transformers.GPT2LMHeadModel(config)
    model.set_attn_implementation("eager")  # on rows this short the fused one is slower in bfloat16
    return model


def learn(model: Any, rows: Ints, setting: Setting, seed: int, device: str) -> None:
    """Train on the outputs of the rows: AdamW, a short warm-up, then down in a line."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=setting.rate, fused=True)
    data = torch.from_numpy(rows).to(device)
    steps_a_pass = len(rows) // setting.batch
    steps = setting.passes * steps_a_pass
    for step in range(steps):
        turn, place = divmod(step, steps_a_pass)
        if place == 0:
            order = torch.from_numpy(np.random.default_rng([seed, turn]).permutation(len(rows)))
        batch = data[order[place * setting.batch : (place + 1) * setting.batch].to(device)]
        rate = setting.rate * min((step + 1) / 100, 1 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        wanted = batch[:, -setting.text :]
        with torch.autocast(device, torch.bfloat16):
            logits = outputs(model, batch, setting)
        loss: Any = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 250 == 0:
            sys.stderr.write(f"  step {step + 1} of {steps}, loss {float(loss.detach()):.3f}\n")


def outputs(model: Any, batch: torch.Tensor, setting: Setting) -> torch.Tensor:
    """Return [rows, letters, vocabulary] logits of the output's letters."""
    found: torch.Tensor = model(batch).logits[:, -setting.text - 1 : -1]
    return found


def accuracy(model: Any, rows: Ints, setting: Setting, device: str) -> float:
    """Return the share of rows whose output is right to the last letter.

    When every letter is the likeliest one after the right ones before it, greedy decoding writes
    the right output, and otherwise it does not: one forward pass tells.
    """
    right = 0
    with torch.no_grad():
        for start in range(0, len(rows), 500):
            part = torch.from_numpy(rows[start : start + 500]).to(device)
            best = outputs(model, part, setting).argmax(-1)
            right += int((best == part[:, -setting.text :]).all(1).sum())
    return round(right / len(rows), 4)


def trial(setting: Setting, rules: int, seed: int, no_ops: float, device: str) -> dict[str, Any]:
    """Train one model, and test it."""
    started = time.monotonic()
    random = np.random.default_rng([seed, rules])
    every = draw_rules(random, rules, setting.tested, setting.rule)
    seen, unseen = every[:rules], every[rules:]
    rows = draw_examples(random, seen, setting.examples, setting.text, no_ops)
    model = new_model(setting, rows.shape[1], seed).to(device)
    learn(model, rows, setting, seed, device)
    model.eval()
    return {
        "rules": rules,
        "seed": seed,
        "texts_per_rule": round(setting.examples / rules, 1),
        "seen_rules": accuracy(
            model, draw_examples(random, seen, setting.tested, setting.text), setting, device
        ),
        "unseen_rules": accuracy(
            model, draw_examples(random, unseen, setting.tested, setting.text), setting, device
        ),
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    """Train a model for every number of rules, and print how well each follows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the paper's setting, for a GPU")
    parser.add_argument("--rules", type=int, nargs="+", help="numbers of distinct rules")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--no-ops", type=float, default=0.0, help="share of texts without a match")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    setting = FULL if arguments.full else SMALL
    device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = torch.get_num_threads()
    result: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": torch.cuda.get_device_name()
        if device == "cuda"
        else f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, shared",
        "setting": setting._asdict(),
        "no_ops": arguments.no_ops,
        "trials": [],
    }
    sys.stdout.write(f"{'rules':>7}{'seed':>6}{'texts each':>12}{'seen':>8}{'unseen':>8}\n")
    for seed in range(arguments.seeds):
        for rules in arguments.rules or (FULL_RULES if arguments.full else SMALL_RULES):
            found = trial(setting, rules, seed, arguments.no_ops, device)
            result["trials"].append(found)
            sys.stdout.write(
                f"{rules:>7}{seed:>6}{found['texts_per_rule']:>12}"
                f"{found['seen_rules']:>8.3f}{found['unseen_rules']:>8.3f}\n"
            )
            sys.stdout.flush()
            if arguments.out:
                text = json.dumps(result, indent=1) + "\n"
                arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
