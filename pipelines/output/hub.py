"""A dataset pushed to the Hub, by its own client and with the token of whoever calls.

The token is found by `huggingface_hub`, in the environment or where `hf auth login` has put it; it
is never read here.
"""

import re
from pathlib import Path
from typing import Any

from siftline.contracts.errors import RecipeError, RunError
from siftline.contracts.printable import excerpt
from siftline.pipelines.manifest import Summary

# What an earlier push may have left: files of another version would be taken for data of this one.
_REPLACED = ["data/*", "trainers/*", "dataset_info.json", "training_order.json"]
_TOKEN = re.compile(r"\bhf_\w+")


def check_repository(repository: str) -> None:
    """Check that the Hub can have a repository of that name, before anything is written.

    Raises:
        RecipeError: It cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise RecipeError(
            f"Got --to-hub '{repository}'; expected the name of a dataset on the Hub, such as "
            f"'organisation/name': {_reason(error)}"
        ) from error


def push(folder: Path, repository: str, summary: Summary, *, public: bool) -> str:
    """Upload a dataset with its card, in one commit.

    Args:
        folder: Of the dataset.
        repository: Its id, `organisation/name`; made when it is missing.
        summary: Of the run.
        public: Whether a new repository is for everyone to see. One that exists stays as it is.

    Returns:
        The address of the commit.

    Raises:
        RunError: The Hub cannot be reached, does not know the token, or refuses.
    """
    # A second, for which only those who push wait.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi()
    # What its client raises where there is no answer is of the library that it talks with.
    unanswered: Any = HfHubHTTPError.__bases__[0]
    try:
        hub.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=folder,
            commit_message=f"siftline {summary.recipe} {summary.version}",
            delete_patterns=_REPLACED,
        )
    except (OSError, ValueError, unanswered) as error:
        raise RunError(
            f"The Hub has not taken '{repository}': {_reason(error)} Expected a connection, and a "
            "token that may write there: log in with 'hf auth login', or set HF_TOKEN."
        ) from error
    return str(commit.commit_url)


def _reason(error: BaseException) -> str:
    """Return what a client says is wrong, in one line and without what looks like a token."""
    told = excerpt(_TOKEN.sub("hf_...", str(error)), 300) or type(error).__name__
    return told if told.endswith(".") else f"{told}."
