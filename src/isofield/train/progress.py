"""Bars of what is under way."""

from __future__ import annotations

from typing import Any


class Progress:
    """Bars of what is under way; nothing at all where they are not wanted.

    In a narrow window the note is folded; counts and times are never cut.
    """

    def __init__(self, shown: bool) -> None:
        self.bars = _bars() if shown else None

    def __enter__(self) -> Progress:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bars is not None:
            self.bars.stop()

    def add(self, title: str, total: int, done: int = 0) -> Any:
        """A new bar; the result names it to `advance`."""
        if self.bars is None:
            return None
        return self.bars.add_task(title, total=total, completed=done, note="")

    def advance(self, task: Any, note: str = "") -> None:
        """One more of `total` is done; the note stands behind the bar."""
        if self.bars is not None:
            self.bars.update(task, advance=1, note=note)


def _bars() -> Any:
    """Title, bar, count, time left (or taken, once it is done), and note."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    def whole() -> Column:
        return Column(no_wrap=True)

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12, table_column=whole()),
        MofNCompleteColumn(table_column=whole()),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=whole()),
        TextColumn("{task.fields[note]}", table_column=Column(overflow="fold")),
    )
