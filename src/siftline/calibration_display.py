"""What `siftline calibrate` prints."""

from collections.abc import Iterator

from rich.table import Table

from siftline.pipelines.calibration.calibrate import Calibration
from siftline.terminal import shown


def calibration_tables(calibration: Calibration) -> Iterator[Table]:
    """Yield the tables: the scores, and the dropped half by source and by kind of error."""
    planted = ", ".join(f"{kind} {count}" for kind, count in calibration.planted.items())
    scores = Table(
        title=shown(f"{calibration.rows} rows; planted: {planted}"), title_justify="left"
    )
    for name in ("score", "AUROC [95 %]", "average precision [95 %]", "rows", "bad"):
        scores.add_column(name, justify="left" if name == "score" else "right")
    for name, each in calibration.scores.items():
        if each is None:
            scores.add_row(shown(name), "-", "-", "0", "")
            continue
        figures = [
            f"{each[key]['value']:.3f} [{each[key]['low']:.3f}, {each[key]['high']:.3f}]"
            for key in ("auroc", "average_precision")
        ]
        scores.add_row(shown(name), *figures, str(each["rows"]), str(each["bad"]))
    yield scores
    halves = Table(title="The dropped half, by the median of each source", title_justify="left")
    for name in ("rows of", "judged", "dropped", "precision"):
        halves.add_column(name, justify="left" if name == "rows of" else "right")
    for name, share in calibration.by_source.items():
        part = _percent(share.bad_dropped, share.dropped)
        halves.add_row(shown(name), str(share.rows), str(share.dropped), part)
    halves.add_section()
    clean = calibration.by_kind["clean"].dropped if "clean" in calibration.by_kind else 0
    for name, share in calibration.by_kind.items():
        # Of this kind, among those of it and the clean rows that were dropped.
        part = _percent(share.dropped, share.dropped + clean) if name != "clean" else ""
        halves.add_row(shown(name), str(share.rows), str(share.dropped), part)
    yield halves


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def verdict(calibration: Calibration) -> str:
    """Say in a sentence whether the confidence can be trusted on this data."""
    best = calibration.scores["C, the confidence"]
    unjudged = f" {calibration.unjudged} of {calibration.rows} rows could not be judged."
    unjudged = unjudged if calibration.unjudged else ""
    if best is None:
        return f"No row could be judged on both sides: nothing can be said.{unjudged}"
    low, high = best["auroc"]["low"], best["auroc"]["high"]
    if high < 0.5:
        text = "The confidence is misleading here: errors score higher than clean rows."
    elif low <= 0.5:
        text = (
            "With this sample the confidence cannot be told from a coin: take more --rows, or do "
            "not filter by it."
        )
    else:
        value = best["auroc"]["value"]
        text = f"An error scores below a clean row {value:.0%} of the time; a coin does 50%."
    return text + unjudged
