"""What TRL trains on, asked by the script that stands beside the data, which trains one step."""

import runpy
import sys
from functools import partial
from pathlib import Path
from typing import Any

import trl
from each_job import Job, Rows, answer
from torch.utils.data import DataLoader

_SFTTrainer: Any = trl.SFTTrainer
_SFTConfig = partial(trl.SFTConfig, use_cpu=True, report_to=[], max_steps=1)
_found: dict[str, Rows] = {}


class _Watched(_SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, of which the batches are looked at before it trains."""

    def train(self, *arguments: Any, **more: Any) -> Any:
        tokens = self.train_dataset.select_columns(["input_ids", "labels"])
        batches = DataLoader(tokens, batch_size=4, collate_fn=self.data_collator)
        _found[Path(self.args.output_dir).name] = [
            {"input_ids": ids.tolist(), "labels": labels.tolist()}
            for batch in batches
            for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)
        ]
        return super().train(*arguments, **more)


def rows_of(job: Job) -> dict[str, Rows]:
    trl.SFTTrainer, trl.SFTConfig = _Watched, _SFTConfig
    _found.clear()
    script = str(job.guides / "trl_sft.py")
    sys.argv = [script, str(job.model), str(job.scratch)]
    runpy.run_path(script, run_name="__main__")
    return dict(_found)


if __name__ == "__main__":
    answer(rows_of)
