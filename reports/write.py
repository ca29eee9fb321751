"""Write what people read of a finished version."""

import uuid
from pathlib import Path

from siftline.pipelines.record import RunRecord
from siftline.reports.page import report_page

PAGE = "report.html"


def write_reports(version: Path) -> None:
    """Write `report.html` into a finished version that has none.

    A version is finished without it: the page tells only what the other files hold.

    Args:
        version: Its folder.

    Raises:
        RunError: The version is not finished.
    """
    path = version / PAGE
    if path.exists():
        return
    temporary = path.with_name(f".{PAGE}-{uuid.uuid4().hex}.tmp")  # two may write at once
    temporary.write_text(report_page(RunRecord(version)), encoding="utf-8")
    temporary.replace(path)
