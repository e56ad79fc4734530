"""What compiled loops cost: importing numba, compiling once, reading the cache."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from rich.table import Table

CODE = """
import time
import torch
from isofield.generation import {shape}
from isofield.operators import conservative, linear

torch.set_num_threads(1)
start = time.process_time()
import numba
imported = time.process_time() - start
mesh, other = {shape}({n}, jitter=0.2), {shape}({m})
points = torch.rand(60_000, mesh.points.shape[1], dtype=torch.float64)
seconds = []
for call in (lambda: linear(mesh, points), lambda: conservative(mesh, other)):
    start = time.process_time()
    call()
    first = time.process_time() - start
    start = time.process_time()
    call()
    seconds.append(first - (time.process_time() - start))
print(imported, *seconds)
"""


def tables() -> Iterator[Table]:
    """In processes of their own: without a cache, then with the one just written."""
    table = Table(title="numba: CPU seconds of a first call beyond those of a second")
    for column in ("dimension", "cache", "import numba", "linear", "conservative"):
        table.add_column(column, justify="right")
    for dimension, shape, n, m in ((2, "square", 100, 80), (3, "box", 12, 10)):
        code = CODE.format(shape=shape, n=n, m=m)
        with tempfile.TemporaryDirectory() as folder:
            for cache in ("empty", "written"):
                found = subprocess.run(
                    [sys.executable, "-c", code],
                    capture_output=True,
                    text=True,
                    check=True,
                    env={**os.environ, "NUMBA_CACHE_DIR": folder},
                )
                seconds = [f"{float(word):.2f}" for word in found.stdout.split()]
                table.add_row(str(dimension), cache, *seconds)
    yield table
