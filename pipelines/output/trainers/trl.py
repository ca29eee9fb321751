"""TRL: a script that trains on each split in its order."""

from siftline.pipelines.manifest import ExportManifest, Summary
from siftline.pipelines.output.trainers.guide import (
    FOLDER,
    Guide,
    has_reasoning_field,
    has_weights,
)

_PATH = f"{FOLDER}/trl_sft.py"

_SCRIPT = '''\
"""Train on this dataset with TRL: python {path} MODEL [OUTPUT]"""

import sys
from pathlib import Path

from datasets import load_dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

DATASET = Path(__file__).resolve().parent.parent
SPLITS = {splits}  # in this order, each from the model of the one before

model = sys.argv[1]
output = Path(sys.argv[2] if len(sys.argv) > 2 else "tuned")
{checks}for split in SPLITS:
    rows = load_dataset(str(DATASET), split=split)
    settings = SFTConfig(
        output_dir=str(output / split),
{settings}        max_length=None,  # by itself TRL cuts rows at 1,024 tokens
    )
    trainer = SFTTrainer(model=model, args=settings, train_dataset=rows)
    trainer.train()
    trainer.save_model()
    model = str(output / split)
'''
_REASONING = """\
template = AutoTokenizer.from_pretrained(model).chat_template or ""
if "reasoning_content" not in template:
    sys.exit(
        "The chat template of this model leaves reasoning out; expected one that reads "
        "'reasoning_content'. Export the data with the reasoning in the text: "
        "siftline export RUN --reasoning inline"
    )
"""
_ASSISTANT = "        assistant_only_loss=True,  # by itself TRL learns the questions too\n"
_COMPLETION = "        completion_only_loss=True,\n"
_WEIGHTS = "TRL does not read the weights of turns: it would train on turns of weight 0"


def trl(summary: Summary) -> Guide:
    """Return what TRL is to be told."""
    export = summary.export
    if export.format not in ("messages", "prompt_completion"):
        return Guide("Export the format `messages`.")
    if has_weights(export):
        return Guide(f"{_WEIGHTS}. axolotl and ms-swift read them.")
    note = f"`python {_PATH} MODEL`."
    if export.format == "messages":
        note += " The chat template of the model must be one that TRL knows, or mark its own words"
        note += " with `{% generation %}`."
    if export.media:
        note += " Rows with images need a model that sees them."
    return Guide(note, {_PATH: _script(export)})


def _script(export: ExportManifest) -> str:
    reasoning = has_reasoning_field(export)
    script = _SCRIPT.format(
        path=_PATH,
        splits=repr(list(export.splits)),
        checks=_REASONING if reasoning else "",
        settings=_ASSISTANT if export.format == "messages" else _COMPLETION,
    )
    return script if reasoning else script.replace("from transformers import AutoTokenizer\n", "")
