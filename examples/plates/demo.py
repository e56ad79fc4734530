"""From solver files of mixed resolution to a prediction on an unseen geometry.

Solves plates with random holes, writes them as .vtu, .msh and .xdmf, reads them back,
trains one model on all of them, and predicts on plates and meshes it has never seen.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from plates import (
    INPUTS,
    SIMILARITY,
    TARGETS,
    Case,
    cases,
    generate,
    mirrored,
    sample,
)
from rich.console import Console
from rich.progress import track
from rich.table import Table

from isofield import Mesh
from isofield.io import read, write
from isofield.model_file import save_model
from isofield.plot import compare
from isofield.predict import predict
from isofield.surrogate import Surrogate
from isofield.train import CHECKPOINT, Schedule, evaluate, fit

# the same new plates in every set, so that a ratio compares meshes and not plates
TEST_SETS = {
    "training resolutions": cases(20_000, 24),
    "4 times the finest": cases(20_000, 24, (10_000, 10_000), ["uniform"]),
    "a third of the coarsest": cases(20_000, 24, (100, 100), ["uniform"]),
    "strongly graded": cases(20_000, 24, (1_000, 1_000), ["strongly_graded"]),
    "bare point cloud": cases(20_000, 24, (1_000, 1_000), ["blue_noise_cloud"]),
}
UNSEEN = Case(70_001, 10_000)


def main(folder: Path, n_cases: int, epochs: int) -> None:
    """The whole job; every file lands in `folder`."""
    start = time.perf_counter()
    console = Console()
    # the points of clouds lie strictly inside the plates, none on the boundary
    n_clouds = n_cases // 9
    meshes = read_back(generate(folder / "cases", cases(0, n_cases - n_clouds)))
    clouds = cases(30_000, n_clouds, families=["blue_noise_cloud"])
    train = meshes + [mirrored(case) for case in meshes]
    train += read_back(generate(folder / "clouds", clouds, [".vtu"]))
    checks = read_back(generate(folder / "validation", cases(10_000, 16)))
    model = Surrogate.for_cases(
        train,
        INPUTS,
        TARGETS,
        architecture="FourierOperator",
        similarity=SIMILARITY,
        cloud_on_boundary=False,
    )
    training = folder / "training"
    schedule = Schedule(epochs=epochs)
    fit(
        model,
        train,
        validation=checks,
        schedule=schedule,
        directory=training,
        cloud_on_boundary=False,
    )
    save_model(folder / "plates.safetensors", model)
    (training / CHECKPOINT).unlink()

    console.print(error_table(model, folder))
    unseen(model, folder)
    minutes = (time.perf_counter() - start) / 60
    console.print(f"{minutes:.1f} minutes. Results in {folder}:")
    for name in ("plates.safetensors", "prediction.vtu", "comparison.png"):
        console.print(f"  {folder / name}")


def read_back(paths: list[Path]) -> list[Mesh]:
    """The cases as a user has them: files."""
    return [read(path) for path in track(paths, "Reading files")]


def error_table(model: Surrogate, folder: Path) -> Table:
    """Mean relative L2 error of each target, by test set."""
    table = Table(title="Unseen plates: mean relative L2 error in the measure")
    for heading in ("test set", "points"):
        table.add_column(heading, no_wrap=heading == "points")
    for target in TARGETS:
        table.add_column(target, justify="right", no_wrap=True)
        table.add_column("ratio", justify="right", no_wrap=True)
    reference = None
    for name, wanted in TEST_SETS.items():
        meshes = read_back(generate(folder / name.replace(" ", "_"), wanted, [".vtu"]))
        samples = [model.sample(mesh, cloud_on_boundary=False) for mesh in meshes]
        errors = evaluate(model, samples).mean(0)
        reference = errors if reference is None else reference
        sizes = [len(mesh.points) for mesh in meshes]
        row = [name, f"{min(sizes)}-{max(sizes)}"]
        for error, base in zip(errors, reference, strict=True):
            row += [f"{100 * error:.2f} %", f"{error / base:.2f}"]
        table.add_row(*row)
    return table


def unseen(model: Surrogate, folder: Path) -> None:
    """A plate that comes as a bare Abaqus mesh, finer than any in training."""
    truth = sample(UNSEEN.seed, UNSEEN.n_points)
    bare = replace(truth, point_data={}, field_data={})
    write(folder / "unseen.inp", bare)

    mesh = read(folder / "unseen.inp")
    numbers = {name: float(truth.point_data[name][0]) for name in INPUTS}
    prediction = predict(model, mesh, values=numbers)
    write(folder / "prediction.vtu", prediction)
    compare(
        truth.with_point_data(prediction.point_data),
        "von_mises",
        "von_mises_predicted",
        path=folder / "comparison.png",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo-output"))
    parser.add_argument("--cases", type=int, default=360)
    parser.add_argument("--epochs", type=int, default=27)
    options = parser.parse_args()
    main(options.folder, options.cases, options.epochs)
