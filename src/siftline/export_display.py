"""What `siftline export` prints."""

from rich.console import Console

from siftline.pipelines.output.delivery import Delivery
from siftline.terminal import shown


def print_delivery(delivery: Delivery, out: Console) -> None:
    """Print what was exported, where it is, and how each trainer is started."""
    export = delivery.export
    splits = ", ".join(f"{name} {rows:,}" for name, rows in export.splits.items())
    _line(
        out,
        f"{shown(delivery.recipe)} {shown(delivery.version)}: {export.rows:,} rows in the format "
        f"{export.format} ({shown(splits)}).",
    )
    if delivery.folder is not None:
        _line(out, f"dataset  {shown(delivery.folder)}")
    if delivery.address is not None:
        _line(out, f"pushed   {shown(delivery.address)}")
    for name, note in delivery.trainers.items():
        _line(out, f"{name}: {shown(note)}")


def _line(out: Console, text: str) -> None:
    out.print(text, soft_wrap=True, highlight=False)
