"""Progress on the terminal: a bar for each long stage, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from siftline.contracts import progress
from siftline.contracts.printable import printable
from siftline.terminal import shown

LINE_SECONDS = 10.0  # between two plain lines


class Bars:
    """Draws a bar with rows, tokens, rate and time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.fields[known]} rows"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._tokens = 0
        self._started = time.monotonic()

    def start(self, stage: str, rows: int) -> None:
        """Show a new bar; without a number of rows it only counts."""
        self.finish()
        self._tokens, self._started = 0, time.monotonic()
        total, known = (rows, f"{rows:,}") if rows else (None, "?")
        self._task = self._progress.add_task(
            printable(stage), total=total, known=known, rate="", note=""
        )
        self._progress.start()

    def advance(self, rows: float, tokens: int) -> None:
        """Move the bar."""
        self._tokens += tokens
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = f"{self._tokens:,} tokens, {self._tokens / seconds:,.0f}/s" if self._tokens else ""
        self._progress.update(self._task, advance=rows, rate=rate)

    def note(self, text: str) -> None:
        """Show a note beside the bar."""
        self._progress.update(self._task, note=printable(text))

    def tell(self, text: str) -> None:
        """Print a line above the bar."""
        _tell(self._progress.console, text)

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        _warn(self._progress.console, text)

    def finish(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        for task in self._progress.task_ids:
            self._progress.remove_task(task)


class Lines:
    """Prints a plain line now and then, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage, self._total, self._rows, self._tokens = "", 0, 0.0, 0
        self._shown, self._note = 0.0, ""
        self._started = self._printed = time.monotonic()

    def start(self, stage: str, rows: int) -> None:
        """Begin to count."""
        self._stage, self._total, self._rows, self._tokens = stage, rows, 0.0, 0
        self._shown, self._note = 0.0, ""
        self._started = self._printed = time.monotonic()

    def note(self, text: str) -> None:
        """Keep a note for the next line."""
        self._note = text

    def advance(self, rows: float, tokens: int) -> None:
        """Count, and print when some time has passed."""
        self._rows += rows
        self._tokens += tokens
        if time.monotonic() - self._printed >= LINE_SECONDS:
            self._print()

    def tell(self, text: str) -> None:
        """Print a line."""
        _tell(self._console, text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        _warn(self._console, text)

    def finish(self) -> None:
        """Print the last line of a stage that took a while."""
        if self._rows > self._shown and time.monotonic() - self._started >= 1:
            self._print()
        self._shown = self._rows

    def _print(self) -> None:
        self._printed, self._shown = time.monotonic(), self._rows
        seconds = max(self._printed - self._started, 1e-9)
        total = f"/{self._total:,}" if self._total else ""
        tokens = f", {self._tokens:,} tokens, {self._tokens / seconds:,.0f} tokens/s"
        left = (self._total - self._rows) * seconds / self._rows if self._rows else 0
        self._console.print(
            f"{shown(self._stage)}: {self._rows:,.0f}{total} rows{tokens if self._tokens else ''}"
            + (f", {left:.0f} s left" if left > 0 else "")
            + (f", {shown(self._note)}" if self._note else ""),
            highlight=False,
            soft_wrap=True,
        )


def _tell(console: Console, text: str) -> None:
    console.print(f"[dim]model[/]    {shown(text)}", highlight=False, soft_wrap=True)


def _warn(console: Console, text: str) -> None:
    console.print(f"[yellow]warning[/]  {shown(text)}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def display(console: Console) -> Iterator[None]:
    """Show progress while the block runs: bars on a terminal, lines elsewhere."""
    listener = Bars(console) if console.is_terminal else Lines(console)
    progress.listen(listener)
    try:
        yield
    finally:
        listener.finish()
        progress.listen(progress.Silent())
