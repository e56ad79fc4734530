"""What became of fields that were carried, a line for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from isofield.resampling import Together


def by_options(text: str) -> str:
    """A message in the words of the command line."""
    for word, option in (
        ("outside='nearest'", "--outside nearest"),
        ("outside='nan'", "--outside nan"),
        ("masked=True", "--masked"),
        ("lossy=True", "--lossy"),
        ("max_distance", "--max-distance"),
    ):
        text = text.replace(word, option)
    return text


def show(found: Mapping[Any, Together], of: str) -> None:
    """A line for each field; of : as for `line`."""
    for one in found.values():
        typer.echo(line(one, of))


def line(one: Together, of: str) -> str:
    """One field: method, integral, range, points outside. of : what `count` counts,
    nothing for one mesh alone."""
    parts = [f"{one.name} ({one.site}, {one.method})"]
    if of:
        parts.append(f"{one.count} {of}")
    if one.integral is not None:
        before, after = (_numbers(value) for value in one.integral)
        where = f" in {one.changed}, where it changes most" if of else ""
        parts.append(f"integral {before} -> {after}{where}")
    (low, high), (new_low, new_high) = one.range
    parts.append(f"range {low:.6g} to {high:.6g} -> {new_low:.6g} to {new_high:.6g}")
    away = f" in {one.away} {of}" if of and one.outside else ""
    far = ""
    if one.outside and 0 < one.furthest < float("inf"):
        where = f" in {one.furthest_at}" if of else ""
        far = f", the furthest by {one.furthest:.6g}{where}"
    parts.append(f"{one.outside} outside{away}{far}")
    return "; ".join(parts)


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.9g}" for value in values)
