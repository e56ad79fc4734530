"""Files that are complete or not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def refusal(path: Path) -> str:
    """Why no file can be put at `path`, to stand behind its name; empty where it can.

    Says so before work is done. A folder that is full is found by writing alone.
    """
    if path.is_dir():
        return "is a folder; give the name of a file"
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    if path.exists() and not os.access(path, os.W_OK):
        return "no permission to write over it"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"no permission to write into the folder {path.parent}"
    return ""


def replaced(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a temporary neighbour of `path`, then put it in its place.

    The file gets the access rights of the one that it replaces, else those of any new
    file. Where `write` fails, the neighbour is removed and what stood at `path` stays.

    Raises `PermissionError` where what stands there must not be written to; errors of
    the system name `path`, not its neighbour.
    """
    if path.is_file() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    neighbour = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        neighbour.touch()
        rights = (path if path.is_file() else neighbour).stat().st_mode
        write(neighbour)
        neighbour.chmod(rights)
        os.replace(neighbour, path)
    except OSError as error:
        if error.errno is None or str(error.filename) != str(neighbour):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        neighbour.unlink(missing_ok=True)
