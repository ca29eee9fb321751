"""LLaMA-Factory: `dataset_info.json` with one entry a split, and one configuration a split."""

import json
from typing import Any

import yaml

from siftline.pipelines.manifest import ExportManifest, Summary
from siftline.pipelines.output.trainers.guide import (
    Guide,
    files_of,
    has_reasoning_field,
    has_weights,
    one_each,
)

INFO = "dataset_info.json"  # that LLaMA-Factory looks for in its `dataset_dir`

_ENTRIES: dict[str, dict[str, Any]] = {
    "sharegpt": {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
    },
    "alpaca": {
        "formatting": "alpaca",
        "columns": {
            "prompt": "instruction",
            "query": "input",
            "response": "output",
            "system": "system",
        },
    },
    "messages": {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "observation_tag": "observation",
            "function_tag": "function_call",
            "system_tag": "system",
        },
    },
}
_HEAD = """\
# In the folder of this dataset, with your model: llamafactory-cli train {path}
# The template is that of the model. One that ends in _nothink trains the text as it stands; the
# other one of a reasoning model adds an empty thought, which is trained, where there is none.
"""


def llamafactory(summary: Summary) -> Guide:
    """Return what LLaMA-Factory is to be told."""
    export = summary.export
    if not _is_read(export):
        return Guide(f"Export the format `sharegpt`{_all_but(export)}.")
    names = {split: f"{summary.recipe}_{split}" for split in export.splits}
    info = {
        names[split]: {"file_name": _file(export, split), **_ENTRIES[export.format]}
        for split in export.splits
    }
    files = {INFO: json.dumps(info, indent=2) + "\n"}
    paths = one_each(export, "llamafactory", ".yaml")
    model = "your/model"
    for split, path in paths.items():
        settings = _settings(names[split], f"tuned/{split}", model)
        model = settings["output_dir"]
        files[path] = _HEAD.format(path=path) + yaml.safe_dump(settings, sort_keys=False)
    commands = ", then ".join(f"`llamafactory-cli train {path}`" for path in paths.values())
    note = f"In this folder, {commands}; `{INFO}` names the data."
    if export.format == "messages":
        note += " It leaves rows out whose turns do not alternate."
    return Guide(note, files)


def _all_but(export: ExportManifest) -> str:
    """Return which rows `sharegpt` would refuse, as the end of a sentence; '' where none can be."""
    refused = ["images, sounds or files"] if export.media else []
    refused += ["weights other than 1"] if has_weights(export) else []
    return f", which refuses rows with {' and '.join(refused)}" if refused else ""


def _is_read(export: ExportManifest) -> bool:
    """Return whether LLaMA-Factory reads a dataset as it is."""
    if export.format == "messages":
        lost = bool(export.json_fields) or has_reasoning_field(export) or has_weights(export)
        in_one = all(len(files_of(export, split)) == 1 for split in export.splits)
        return not lost and not export.media and (in_one or len(export.splits) == 1)
    return export.format in _ENTRIES


def _file(export: ExportManifest, split: str) -> str:
    """Return the path of a split's file, or of the folder of its files."""
    paths = files_of(export, split)
    return paths[0] if len(paths) == 1 else "data"


def _settings(name: str, output: str, model: str) -> dict[str, Any]:
    return {
        "model_name_or_path": model,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": ".",
        "dataset": name,
        "template": "qwen3_nothink",
        "train_on_prompt": False,
        "mask_history": False,
        "cutoff_len": 8192,
        "output_dir": output,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "learning_rate": 1e-5,
        "num_train_epochs": 1,
    }
