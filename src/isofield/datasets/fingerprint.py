"""What tells two files apart: a hash of all that they hold."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np

from isofield.io import read, read_series
from isofield.io.isolation import stored
from isofield.io.registry import formats

BLOCK = 1 << 20


def fingerprint(path: Path, series: bool = False) -> str:
    """A hash of a mesh file; where it names other files, of the mesh that they give.

    series : of all its steps. Raises `FormatError` and `OSError` as reading does.
    """
    digest = hashlib.blake2b(digest_size=16)
    if not path.is_dir() and not any(one.apart for one in formats(path)):
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are said when the file is carried
        if not series:
            _add(digest, stored(read(path, check=False)))
            return digest.hexdigest()
        steps = read_series(path)
        _add(digest, {"times": steps.times})
        for mesh in steps:
            _add(digest, stored(mesh))
    return digest.hexdigest()


def joined(*parts: str) -> str:
    """One hash of several texts."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
