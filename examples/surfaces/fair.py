"""The same CPU time for every network, and a table of what they make of it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from isofield import Mesh
from isofield.surrogate import Surrogate
from isofield.train import Schedule, fit

SHARE = 8  # every so many cases are what the time of a pass is measured on


def passes_for(
    seconds: float, model: Surrogate, cases: Sequence[Mesh], schedule: Schedule
) -> int:
    """How many passes over the cases fit into so much CPU time, at least one.

    Preparing the cases counts too. Measured on a share of them with a copy of the
    network, so that nothing is learned yet. CPU time, not that of the clock: other
    programs on the machine change the one and not the other.
    """
    few = cases[::SHARE]

    def trained(epochs: int) -> float:
        tried = replace(model, network=copy.deepcopy(model.network))
        some = replace(schedule, epochs=epochs)
        return timed(lambda: fit(tried, few, schedule=some, progress=False))

    trained(1)  # what is compiled at its first use
    once, thrice = trained(1), trained(3)
    a_pass = (thrice - once) / 2
    scale = len(cases) / len(few)
    return max(1, round((seconds / scale - (once - a_pass)) / a_pass))


def timed(work: Callable[[], object]) -> float:
    """Seconds of CPU time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def report(
    path: Path,
    lines: list[str],
    tests: dict[str, list[Mesh]],
    names: list[str],
    errors: dict[str, list[float]],
) -> None:
    """Prints the errors of all networks and writes them as a table in Markdown."""
    first = next(iter(errors.values()))
    rows = [["test set", "points", *(x for name in names for x in (name, "ratio"))]]
    for title, found in errors.items():
        sizes = [len(mesh.points) for mesh in tests[title]]
        row = [title, f"{min(sizes)}-{max(sizes)}"]
        for one, base in zip(found, first, strict=True):
            row += [f"{100 * one:.2f} %", f"{one / base:.2f}"]
        rows.append(row)
    table = Table(*rows[0], title="New surfaces: mean relative L2 error in the measure")
    for row in rows[1:]:
        table.add_row(*row)
    console = Console()
    for line in lines:
        console.print(line)
    console.print(table)
    rows.insert(1, ["---"] * len(rows[0]))
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    path.write_text("\n".join([*lines, "", text, ""]), encoding="utf-8")
