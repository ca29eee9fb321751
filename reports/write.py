"""Write what people read of a finished version."""

from pathlib import Path

from siftline.contracts.records import write_text
from siftline.pipelines.manifest import PAGE
from siftline.pipelines.record import RunRecord
from siftline.reports.page import report_page


def write_reports(version: Path) -> None:
    """Write `report.html` into a finished version that has none.

    A version is finished without it: the page tells only what the other files hold.

    Args:
        version: Its folder.

    Raises:
        RunError: The version is not finished, or the page cannot be written.
        DamagedError: A file of the version is not as it was written.
    """
    path = version / PAGE
    if path.exists():
        return
    write_text(path, report_page(RunRecord(version)))
