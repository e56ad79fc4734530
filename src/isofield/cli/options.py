"""Options that several commands have, and what their text means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from isofield.cli.reporting import CommandError

if TYPE_CHECKING:
    from isofield.data import Symmetry

Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help='"cpu" or "cuda"; without it the GPU where there is one.',
        show_default=False,
    ),
]

CloudInside = Annotated[
    bool,
    typer.Option(
        "--cloud-inside",
        help="The points of meshes without cells all lie strictly inside their "
        "domain, none on the boundary; a mesh with cells needs no such word.",
    ),
]

RightAngles = Annotated[
    bool,
    typer.Option(
        "--right-angles",
        help="Turn copies by right angles alone, so that domains that fill a box along "
        "the axes still fill it.",
    ),
]


def symmetry(copies: int, right_angles: bool, seed: int = 0) -> Symmetry | None:
    """Of so many copies. Raises a usage error for right angles without copies."""
    if right_angles and not copies:
        raise typer.BadParameter("--right-angles: expected --copies with it, got none")
    from isofield.data import Symmetry

    if not copies:
        return None
    return Symmetry(copies, seed=seed, right_angles=right_angles)


def names(values: Sequence[str], option: str) -> list[str]:
    """The names in one or several lists with commas between them.

    Raises a usage error where a name comes twice.
    """
    found = [part.strip() for value in values for part in value.split(",")]
    found = [name for name in found if name]
    for number, name in enumerate(found):
        if name in found[:number]:
            raise typer.BadParameter(f"{option}: {name!r} comes twice")
    return found


def texts(values: Sequence[str], option: str) -> dict[str, str]:
    """name -> text of each `name=text`. Raises a usage error for anything else."""
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not (name.strip() and equals and text.strip()):
            raise typer.BadParameter(f"{option}: expected NAME=VALUE, got {value!r}")
        if name.strip() in pairs:
            raise typer.BadParameter(f"{option}: {name.strip()!r} comes twice")
        pairs[name.strip()] = text.strip()
    return pairs


def numbers(values: Sequence[str], option: str) -> dict[str, float]:
    """name -> number of each `name=number`. Raises a usage error for anything else."""
    return {
        name: number(text, f"{option} {name}")
        for name, text in texts(values, option).items()
    }


def number(text: str, option: str) -> float:
    """Raises a usage error where the text is no finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise typer.BadParameter(f"{option}: expected a number, got {text!r}")
    return value


def check_device(name: str | None) -> None:
    """A device that torch knows and can use. Raises a usage error where it does not
    know it, `CommandError` where there is none."""
    if name is None:
        return
    import torch

    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise typer.BadParameter(f"--device: expected 'cpu' or 'cuda', got {name!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise CommandError(f"--device {name}: torch finds no GPU here")
