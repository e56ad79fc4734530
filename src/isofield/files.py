"""Files that are complete or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replaced(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a temporary neighbour of `path`, then put it in its place.

    Where `write` fails, the neighbour is removed and what stood at `path` stays.
    """
    neighbour = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        write(neighbour)
        os.replace(neighbour, path)
    finally:
        neighbour.unlink(missing_ok=True)
