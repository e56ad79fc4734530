"""Make data, train, test and report.

    python -m tests.benchmarks.learning --task poisson_disc --form fixed \\
        --model FourierOperator --seconds 480
    python -m tests.benchmarks.learning --task poisson_disc --data
    python -m tests.benchmarks.learning --report
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import torch

from isofield.train import Schedule
from tests.benchmarks.learning import report, storage
from tests.benchmarks.learning.peers import PEERS
from tests.benchmarks.learning.training import Job, result

RESULTS = "benchmark.jsonl"
PEERS_RATE = 1e-3  # of their authors
PEERS_NODES = 8000  # per batch, 8 meshes of 1,000
# about as many parameters as the recommended network has: GINO, whose parts have sizes
# of their own, learned no more with 16 channels and 8 modes than with all of them
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Transolver": {"width": 64, "blocks": 5},
    "MeshGraphNet": {"width": 40},
}


def main(arguments: list[str] | None = None) -> None:
    """The program; data land in `--folder`, results and the report in `--docs`."""
    given = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # CPU time is then that of work, not of waiting
    if given.report:
        titles = {name: storage.task(name).title for name in storage.TASKS}
        report.report(given.docs / RESULTS, given.docs, titles)
        return
    for name in given.task or storage.TASKS:
        task = storage.task(name)
        forms = [given.form] if given.form else list(task.train)
        parts = {form: task.train[form] for form in forms} | dict(task.tests)
        storage.made(name, parts, given.folder, given.processes)
        if given.data:
            continue
        tests = {part: storage.samples(name, part, given.folder) for part in task.tests}
        for form in forms:
            cases = storage.samples(name, form, given.folder)
            for model, seed in product(given.model, given.seed):
                line = result(task, form, _job(model, seed, given), cases, tests)
                report.append(given.docs / RESULTS, line)
                print(json.dumps(line, indent=1))


def _job(model: str, seed: int, given: argparse.Namespace) -> Job:
    """The job with the options given, else the defaults of the library or the peers."""
    schedule, peer = Schedule(), model in PEERS
    slow = peer or model == "MeshGraphNet"
    rate = given.rate or (PEERS_RATE if slow else schedule.rate)
    nodes = given.nodes or (PEERS_NODES if peer else schedule.nodes)
    return Job(
        model,
        given.seconds,
        given.arguments or ARGUMENTS.get(model, {}),
        Schedule(rate=rate, nodes=nodes, seed=seed),
        seed,
        model.startswith("GINO ("),
        0.0 if peer else given.clouds,
        0 if peer else given.copies,
        device=given.device,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--task", nargs="*", choices=storage.TASKS, help="all where none is named")
    add("--form", help="which training samples; all forms where none is named")
    add("--model", nargs="*", default=["recommended"])
    add("--arguments", type=json.loads, default={}, help="'{\"width\": 64}'")
    add("--seconds", type=float, default=300.0, help="of CPU time, or of a GPU's")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--rate", type=float, help="highest learning rate")
    add("--nodes", type=int, help="points per batch")
    add("--clouds", type=float, default=0.25, help="a case, of ours alone")
    add("--copies", type=int, default=0, help="turned ones a case, of ours alone")
    add("--seed", nargs="*", type=int, default=[0])
    add("--folder", type=Path, default=storage.FOLDER)
    add("--docs", type=Path, default=Path("docs"))
    add("--processes", type=int, default=storage.PROCESSES)
    add("--data", action="store_true", help="make the data, train nothing")
    add("--report", action="store_true", help="write tables and curves, train nothing")
    return parser


if __name__ == "__main__":
    main()
