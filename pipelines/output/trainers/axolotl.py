"""axolotl: one configuration a split."""

from typing import Any

import yaml

from siftline.pipelines.manifest import ExportManifest, Summary
from siftline.pipelines.output.formats.known import LINES
from siftline.pipelines.output.trainers.guide import (
    Guide,
    files_of,
    has_reasoning_field,
    has_weights,
    one_each,
)

_HEAD = "# In the folder of this dataset, with your model as base_model: axolotl train {path}\n"
_YOURS = {  # to be changed by whoever trains
    "sequence_len": 8192,
    "micro_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "num_epochs": 1,
    "learning_rate": 1e-5,
    "optimizer": "adamw_torch",
    "lr_scheduler": "cosine",
}


def axolotl(summary: Summary) -> Guide:
    """Return what axolotl is to be told."""
    export = summary.export
    if export.format not in ("messages", "alpaca"):
        return Guide("Export the format `messages`.")
    paths = one_each(export, "axolotl", ".yaml")
    note = f"In this folder, {_commands(list(paths.values()))}."
    if export.format == "messages":
        note += " Rows above `sequence_len` are left out."
    if export.json_fields:
        note += " axolotl drops nulls inside arguments and tools."
    if has_reasoning_field(export):
        note += " The chat template of the model must read `reasoning_content`."
    files, model = {}, "your/model"
    for split, path in paths.items():
        settings = _settings(export, split, model)
        model = settings["output_dir"]
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        files[path] = _HEAD.format(path=path) + text
    return Guide(note, files)


def _commands(paths: list[str]) -> str:
    return ", then ".join(f"`axolotl train {path}`" for path in paths)


def _settings(export: ExportManifest, split: str, model: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "path": ".",
        "data_files": files_of(export, split),
        "ds_type": "json" if export.format in LINES else "parquet",
        "split": "train",  # as the files alone, without the card, are called
    }
    if export.format == "alpaca":
        data["type"] = "alpaca"
    else:
        data |= {"type": "chat_template", "roles_to_train": ["assistant"], "train_on_eos": "turn"}
        data |= {"message_field_training": "weight"} if has_weights(export) else {}
    template = {} if export.format == "alpaca" else {"chat_template": "tokenizer_default"}
    return {
        "base_model": model,
        **template,
        "datasets": [data],
        "train_on_inputs": False,
        "output_dir": f"tuned/{split}",
        **_YOURS,
    }
