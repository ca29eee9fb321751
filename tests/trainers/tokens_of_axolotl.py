"""What axolotl trains on, by the configurations that stand beside the data.

These are the tokens that `axolotl preprocess` would store; the rows come in another order.
"""

import os

import yaml
from axolotl.cli.args import PreprocessCliArgs
from axolotl.cli.config import load_cfg
from axolotl.common.datasets import load_datasets
from axolotl.utils.data import sft
from each_job import Job, Rows, answer, split_of, tokens_of


def rows_of(job: Job) -> dict[str, Rows]:
    os.chdir(job.dataset)
    paths = sorted(job.guides.glob("axolotl*.yaml"))
    return {split_of(path): _rows(yaml.safe_load(path.read_text()), job) for path in paths}


def _rows(settings: dict[str, object], job: Job) -> Rows:
    settings |= {
        "base_model": str(job.model),
        "output_dir": str(job.scratch / "out"),
        "dataset_prepared_path": str(job.scratch / "prepared"),
        "dataset_num_proc": 1,
        "bf16": False,
    }
    path = job.scratch / "axolotl.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    made = load_datasets(cfg=load_cfg(str(path)), cli_args=PreprocessCliArgs())
    return tokens_of(made.train_dataset)


if __name__ == "__main__":
    sft.save_preprocessed_dataset = lambda *_, **__: None  # a minute: it starts processes anew
    answer(rows_of)
