"""A network for surfaces, however they are meshed, against networks on edges.

From the source of a screened Poisson equation to its solution, on random closed
surfaces: `ZernikeNet` and networks of PyG's `GMMConv` and `GCNConv` with as many
parameters learn from the same meshes of mixed resolution for the same CPU time, and
answer on surfaces that they have never seen, meshed in other ways.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from fair import passes_for, report, timed
from peers import PEERS, parameters, peer
from rich.progress import track
from sets import meshes, mixed, test_sets

from isofield import Mesh
from isofield.model_file import save_model
from isofield.plot import compare
from isofield.predict import predict
from isofield.surrogate import Surrogate
from isofield.train import Schedule, evaluate, fit

SCHEDULE = Schedule(nodes=1500)  # of all networks


@dataclass(frozen=True)
class Job:
    """surfaces : to learn from, with `sources` cases on each. checks : surfaces whose
    errors say which pass was the best. tests : surfaces that are never seen. seconds :
    of CPU time for each network, preparing included."""

    surfaces: int = 96
    sources: int = 1
    checks: int = 6
    tests: int = 12
    seconds: float = 100.0


def main(folder: Path, job: Job) -> dict[str, list[float]]:
    """The whole job; every file lands in `folder`. Returns the errors by test set."""
    torch.set_num_threads(1)  # CPU time is then that of work, not of waiting
    folder.mkdir(parents=True, exist_ok=True)
    train = meshes("Surfaces to learn from", mixed(0, job.surfaces, job.sources))
    checks = meshes("Surfaces to stop by", mixed(10_000, job.checks))
    tests = test_sets(job.tests)

    # the equation has no direction of its own: no turned kernels
    found = Surrogate.for_cases(
        train, ["source"], ["potential"], architecture="ZernikeNet", turned=0
    )
    size = parameters(found.network), found.arguments["radius"]
    models = {"ZernikeNet": found}
    models |= {name: replace(found, network=peer(name, *size)) for name in PEERS}
    lines = []
    for name, model in models.items():
        passes = passes_for(job.seconds, model, train, SCHEDULE)
        schedule = replace(SCHEDULE, epochs=passes)
        fitted = partial(fit, model, train, validation=checks, schedule=schedule)
        seconds = timed(fitted)
        lines.append(
            f"{name}: {parameters(model.network):,} parameters, {passes} "
            f"passes, {seconds:.0f} s of CPU time"
        )
    save_model(folder / "surface.safetensors", found)
    errors = {
        title: [error(model, cases) for model in models.values()]
        for title, cases in track(tests.items(), "Testing")
    }
    report(folder / "errors.md", lines, tests, list(models), errors)
    unseen = predict(found, tests["4 times the finest"][0])
    picture = folder / "surface.png"
    compare(unseen, "potential", "potential_predicted", path=picture)
    return errors


def error(model: Surrogate, cases: list[Mesh]) -> float:
    """Mean relative L2 error in the measure."""
    return float(evaluate(model, [model.sample(case) for case in cases]).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("surface-output"))
    for name, size in vars(Job()).items():
        parser.add_argument(f"--{name}", type=type(size), default=size)
    options = vars(parser.parse_args())
    main(options.pop("folder"), Job(**options))
