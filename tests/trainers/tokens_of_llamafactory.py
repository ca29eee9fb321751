"""What LLaMA-Factory trains on, by the configurations that stand beside the data."""

import os

import yaml
from each_job import Job, Rows, answer, split_of, tokens_of
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer


def rows_of(job: Job) -> dict[str, Rows]:
    os.chdir(job.dataset)
    paths = sorted(job.guides.glob("llamafactory*.yaml"))
    return {split_of(path): _rows(yaml.safe_load(path.read_text()), job) for path in paths}


def _rows(settings: dict[str, object], job: Job) -> Rows:
    settings |= {
        "model_name_or_path": str(job.model),
        "output_dir": str(job.scratch / "out"),
        "cache_dir": str(job.scratch / "datasets"),
        "use_cpu": True,
        "report_to": "none",
    }
    model, data, training, _, _ = get_train_args(settings)
    module = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data)
    made = get_dataset(template, model, data, training, stage="sft", **module)
    return tokens_of(made["train_dataset"])


if __name__ == "__main__":
    answer(rows_of)
