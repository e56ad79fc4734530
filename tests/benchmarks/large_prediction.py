"""Predictions on half a million nodes by models for meshes of 300 to 2,500 nodes.

Untrained networks at their default sizes, which costs the same as trained ones: each is
made for four coarse plates, saved, and read by a process of its own that calls
`predict` on the fine plate, from validation to the fields on the mesh. Peak memory is
that of the whole process, with everything it has imported, the mesh and the model.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from isofield import Mesh
from isofield.generation import plate_with_holes
from isofield.model_file import load_model, save_model
from isofield.predict import predict
from isofield.surrogate import Surrogate

SPACINGS = (20, 30, 40, 56)  # of a side: 300 to 2,500 nodes
FINE, REFINEMENTS = 44, 4
ARCHITECTURES = (
    "FourierOperator",
    "GreenOperator",
    "GINO",
    "FNO",
    "UNO",
    "RegionalOperator",
    "SliceTransformer",
    "GNO",
)


def tables() -> Iterator[Table]:
    """Seconds and GB of one prediction, by architecture."""
    coarse = [plate(n) for n in SPACINGS]
    sizes = [len(mesh.points) for mesh in coarse]
    fine = fine_plate()
    found = {name: measured(name, coarse, fine) for name in ARCHITECTURES}
    nodes = {int(each["nodes"]) for each in found.values()}
    table = Table(
        title=f"One prediction on {max(nodes):,} nodes, models for {min(sizes)} to "
        f"{max(sizes):,} nodes"
    )
    for column in ("model", "s", "wall s", "of which network", "peak GB"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, each in found.items():
        parts = [f"{each[key]:.1f}" for key in ("seconds", "wall", "network")]
        table.add_row(name, *parts, f"{each['peak']:.2f}")
    yield table


def plate(n: int) -> Mesh:
    """A plate with holes of spacing 1 / n, with a smooth field and a target."""
    mesh = plate_with_holes(n)
    x, y = mesh.points.T
    return mesh.with_point_data({"source": np.sin(5 * x) * y, "target": np.cos(3 * y)})


def fine_plate() -> Mesh:
    mesh = plate(FINE)
    for _ in range(REFINEMENTS):
        mesh = mesh.refined()
    return mesh


def measured(architecture: str, coarse: list[Mesh], fine: Mesh) -> dict[str, float]:
    """What a process of its own reports."""
    options = {"linear": ["source"]} if architecture == "GreenOperator" else {}
    model = Surrogate.for_cases(
        coarse, ["source"], ["target"], architecture=architecture, **options
    )
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model.safetensors", model)
        triangles, source = fine.cells["triangle"], fine.point_data["source"]
        arrays = {"points": fine.points, "triangles": triangles, "source": source}
        np.savez(Path(folder) / "fine.npz", **arrays)
        module = "tests.benchmarks.large_prediction"
        code = f"import {module} as here; here.report({folder!r})"
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, capture_output=True, check=True, text=True)
    return json.loads(found.stdout)


def report(folder: str) -> None:
    """Prints the figures of one prediction."""
    torch.set_num_threads(1)
    with np.load(Path(folder) / "fine.npz") as arrays:
        cells, fields = {"triangle": arrays["triangles"]}, {"source": arrays["source"]}
        mesh = Mesh(arrays["points"], cells, fields)
    model, network = load_model(Path(folder) / "model.safetensors"), [0.0]
    evaluate = Surrogate.evaluate

    def timed(self: Surrogate, *arguments, **options):
        start = time.process_time()
        result = evaluate(self, *arguments, **options)
        network[0] += time.process_time() - start
        return result

    Surrogate.evaluate = timed  # type: ignore[method-assign]
    start = time.process_time(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the mesh is finer than in training
        predicted = predict(model, mesh).point_data["target_predicted"]
    end = time.process_time(), time.perf_counter()
    if not np.isfinite(predicted).all():
        raise ArithmeticError("the prediction is not finite")
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    found = {
        "nodes": len(mesh.points),
        "seconds": end[0] - start[0],
        "wall": end[1] - start[1],
        "network": network[0],
        "peak": peak / 1024**2,
    }
    print(json.dumps(found))
