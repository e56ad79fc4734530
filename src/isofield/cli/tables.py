"""Tables on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.table import Table


def show(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; nothing at all without rows. Long entries are folded, never cut."""
    from rich.table import Table

    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        _print(title, table)


def show_facts(title: str, facts: Mapping[str, str]) -> None:
    """Names and what is to be said of them, without headings."""
    from rich.table import Table

    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts.items():
        table.add_row(name, text)
    _print(title, table)


def _print(title: str, table: Table) -> None:
    from rich.console import Console

    # names from files may hold brackets and colons, which are no markup
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 120
    console.print(title, style="bold", soft_wrap=True)
    console.print(table)


def range_of(values: np.ndarray) -> str:
    """Least and greatest component; how many are not finite, if any are not."""
    if values.dtype.kind not in "biuf":
        return ""
    finite = np.isfinite(values)
    count = int(values.size - finite.sum())
    parts = []
    if finite.any():
        parts.append(interval(values[finite].min(), values[finite].max()))
    if count:
        parts.append(f"{count} not finite")
    return ", ".join(parts) or "empty"


def interval(least: Any, most: Any) -> str:
    """The two ends, or one number where they are the same."""
    return f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"


def percent(share: float) -> str:
    """A share in percent, three digits."""
    return f"{100 * share:.3g} %"
