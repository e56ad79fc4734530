"""Progress bars on stderr, for as long as they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A bar, which the function that it gives moves on by one.

    total : None where it is not known; the bar then says that something goes on. Shown
    on terminals alone, and removed at the end.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    known = [MofNCompleteColumn(), TimeRemainingColumn()] if total else []
    text = TextColumn("{task.description}", markup=False)
    columns = [text, BarColumn(), TimeElapsedColumn(), *known]
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as bars:
        task = bars.add_task(title, total=total)
        yield lambda: bars.advance(task)
