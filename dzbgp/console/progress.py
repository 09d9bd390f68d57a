"""A progress bar on stderr, for terminals only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import (
    Progress as RichProgress,
)


class BarProgress:
    """One bar, for one stage after another."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of `total` steps."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=total)

    def step(self, count: int = 1) -> None:
        """Count steps; may be called from any thread."""
        if self._task is not None:
            self._bars.advance(self._task, count)


@contextmanager
def progress_bar(console: Console, *, enabled: bool) -> Iterator[BarProgress]:
    """Show a bar inside the context, and remove it at the end. Without a terminal nothing is shown."""
    bars = RichProgress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # Not is_terminal, which FORCE_COLOR makes true of a CI job's log.
        disable=not (enabled and console.file.isatty()),
    )
    with bars:
        yield BarProgress(bars)


class Progress(Protocol):
    """Receives how far a pass has come."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of `total` steps."""

    def step(self, count: int = 1) -> None:
        """Count that many steps of the stage as done."""


class NoProgress:
    """Shows nothing."""

    def stage(self, name: str, total: int) -> None:
        """Show nothing."""

    def step(self, count: int = 1) -> None:
        """Show nothing."""
