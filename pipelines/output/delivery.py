"""The dataset of a finished run brought to where it is wanted: a folder, the Hub, or both."""

import tempfile
from pathlib import Path

from siftline.contracts.config import Config
from siftline.pipelines.manifest import ExportManifest, Summary
from siftline.pipelines.output.again import export_again
from siftline.pipelines.output.formats.known import FormatName, Layout, ReasoningPlace
from siftline.pipelines.output.hub import check_repository, push
from siftline.pipelines.output.trainers.known import guides
from siftline.pipelines.run_directory import read_summary


class Delivery(Config):
    """What was exported, and where it is.

    Attributes:
        recipe: Its name.
        version: Such as `v0001`.
        export: What was written.
        folder: Where it lies; None if it was only pushed.
        address: Of the commit on the Hub, if it was pushed.
        trainers: How each trainer is started, or why it is not.
    """

    recipe: str
    version: str
    export: ExportManifest
    folder: Path | None
    address: str | None
    trainers: dict[str, str]


def layout_of(version: Path, name: FormatName | None, reasoning: ReasoningPlace | None) -> Layout:
    """Return how a dataset is to look: as is asked for, and otherwise as its run has written it.

    Args:
        version: Folder of the run.
        name: Of the format, if it is asked for.
        reasoning: Place of the reasoning, if it is asked for.
    """
    export = read_summary(version).export
    given = {"format": name or export.format, "reasoning": reasoning or export.reasoning}
    return Layout.model_validate(given)


def deliver(
    version: Path, layout: Layout, folder: Path | None, repository: str | None, *, public: bool
) -> Delivery:
    """Export a finished version, and push it where that is asked for.

    Args:
        version: Its folder.
        layout: What the rows are to look like.
        folder: New or empty. None names one in the working directory, after recipe, version and
            format; with a repository, nothing is kept on this machine then.
        repository: On the Hub, `organisation/name`; None pushes nothing.
        public: Whether a new repository is public.

    Raises:
        RecipeError: The folder is not empty, or inside the version; or the Hub can have no such
            repository.
        RunError: The format cannot hold some rows, or the Hub has not taken the dataset.
        DamagedError: A file of the version is not as it was written.
    """
    if repository is not None:
        check_repository(repository)
    if folder is None and repository is not None:
        with tempfile.TemporaryDirectory() as scratch:
            summary = export_again(version, layout, Path(scratch) / "dataset")
            address = push(Path(scratch) / "dataset", repository, summary, public=public)
        return _delivery(summary, None, address)
    if folder is None:
        folder = Path(f"{version.parent.name}-{version.name}-{layout.format}")
    summary = export_again(version, layout, folder)
    pushed = push(folder, repository, summary, public=public) if repository is not None else None
    return _delivery(summary, folder, pushed)


def _delivery(summary: Summary, folder: Path | None, address: str | None) -> Delivery:
    return Delivery(
        recipe=summary.recipe,
        version=summary.version,
        export=summary.export,
        folder=folder,
        address=address,
        trainers={name: guide.note for name, guide in guides(summary).items()},
    )
