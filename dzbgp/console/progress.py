"""A progress bar on stderr, for terminals only."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class BarProgress:
    """One bar, for one stage after another."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        """Begins a stage of `total` steps."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=total)

    def step(self, count: int = 1) -> None:
        """Counts steps; may be called from any thread."""
        if self._task is not None:
            self._bars.advance(self._task, count)


@contextmanager
def progress_bar(console: Console, *, enabled: bool) -> Iterator[BarProgress]:
    """Shows a bar while inside; it leaves nothing behind. Without a terminal it shows nothing."""
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (enabled and console.is_terminal),
    )
    with bars:
        yield BarProgress(bars)
