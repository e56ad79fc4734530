"""Bars of what is under way."""

from __future__ import annotations

from typing import Any


class Progress:
    """Bars of what is under way; nothing at all where they are not wanted."""

    def __init__(self, shown: bool) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self.bars = Bars(
            TextColumn("{task.description:24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            disable=not shown,
        )

    def __enter__(self) -> Progress:
        self.bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bars.stop()

    def add(self, title: str, total: int, done: int = 0) -> Any:
        """A new bar; the result names it to `advance`."""
        return self.bars.add_task(title, total=total, completed=done, note="")

    def advance(self, task: Any, note: str = "") -> None:
        """One more of `total` is done; the note stands behind the bar."""
        self.bars.update(task, advance=1, note=note)
