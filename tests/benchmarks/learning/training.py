"""The same time for every network, of a CPU or of a GPU, and its errors on every test
set."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from rich.progress import track

from isofield import Mesh
from isofield.data import RandomClouds, Sample, Symmetry, collate, node_batches
from isofield.data.clouds import clouds_of
from isofield.data.measuring import discretized
from isofield.data.motion import with_copies
from isofield.data.sample import resident
from isofield.discretization import Discretization, from_mesh
from isofield.loss import relative_l2
from isofield.models import ARCHITECTURES
from isofield.predict import predict
from isofield.recommend import recommended
from isofield.surrogate import ExtrapolationWarning, Surrogate
from isofield.train import Schedule
from isofield.train.run import Run
from tests.benchmarks.learning.cases import CLOUD, Task, renumbered
from tests.benchmarks.learning.peers import PEERS

IN_DOMAIN = f"{CLOUD}, domain known"
ROLLED = "in distribution"  # the set on which steps follow one another
RECOMMENDED = "recommended"  # what `isofield.recommend` says of the cases
PARTS = 1_000_000  # of the budget, for the schedule


@dataclass(frozen=True)
class Job:
    """A training: seconds for its steps, of CPU time, or as the clock goes where the
    device is a GPU; preparing is timed apart.

    model : one of `ARCHITECTURES` or `PEERS`. arguments : of the architecture.
    schedule : of the optimizer; its epochs are not used. one_mesh : whether a batch
    holds samples of one mesh, as GINO's must. clouds : random clouds of the cases that
    are learned from as well, as a share of their number. copies : of every case, turned
    and mirrored as the task allows, that are learned from as well. mean : of how many
    such copies, besides the mesh itself, a prediction is the mean. device : "cpu" or
    "cuda".
    """

    model: str
    seconds: float
    arguments: dict[str, Any]
    schedule: Schedule
    seed: int = 0
    one_mesh: bool = False
    clouds: float = 0.0
    copies: int = 0
    mean: int = 0
    device: str = "cpu"


def untrained(task: Task, job: Job, cases: Sequence[Mesh]) -> Surrogate:
    """The surrogate of the task around the job's network.

    Raises `ValueError` for a model that does not exist.
    """
    known = [RECOMMENDED, *ARCHITECTURES, *PEERS]
    if job.model not in known:
        raise ValueError(f"model: expected one of {known}, got {job.model!r}")
    if job.model not in PEERS:
        options = {} if job.model == RECOMMENDED else _declared(task, job.model)
        options |= job.arguments
        return Surrogate.for_cases(
            cases, task.inputs, task.targets, seed=job.seed, **options
        )
    # scales and fields do not depend on the architecture, only the network does
    model = Surrogate.for_cases(cases, task.inputs, task.targets, width=8, blocks=1)
    given = model.arguments
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(job.seed)
        network = PEERS[job.model](
            given["in_channels"],
            given["out_channels"],
            given["dimension"],
            **job.arguments,
        )
    return replace(model, network=network, arguments={"architecture": job.model})


def _declared(task: Task, architecture: str) -> dict[str, Any]:
    """What a user tells of the task, as far as the architecture knows of it."""
    told = {"architecture": architecture, "cloud_on_boundary": False}
    if "linear" not in inspect.signature(ARCHITECTURES[architecture]).parameters:
        return told
    return told | {"linear": task.linear_in, "magnitudes": task.magnitudes}


def trained(
    model: Surrogate, job: Job, samples: Sequence[Sample], progress: bool = True
) -> dict[str, float]:
    """Steps until the time is over, the rate down a cosine of the time that is left.

    The optimizer and its step are those of `isofield.train`. Returns the steps taken,
    seconds per step and the mean training error of the last tenth of the budget.
    """
    device = torch.device(job.device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    batches, samples = _batches(samples, job), resident(samples, device)
    run = Run(model, job.schedule, device, "float32", None, {})
    if any(p.is_complex() for p in run.network.parameters()):
        run.optimizer = _for_complex(run)
    run.network.train()
    late: list[float] = []
    steps, elapsed, start = 0, 0.0, clock()
    with _bar(progress) as bar:
        work = bar.add_task(job.model, total=job.seconds)
        for members in batches:
            part = min(int(elapsed / job.seconds * PARTS), PARTS - 1)
            run.rate = job.schedule.rate * job.schedule.factor(part, PARTS)
            errors = run._step(collate([samples[i] for i in members]).to(device))
            steps, elapsed = steps + 1, clock() - start
            if elapsed > 0.9 * job.seconds:
                late.append(float(errors.mean()))
            bar.update(work, completed=elapsed)
            if elapsed >= job.seconds:
                break
    run._check_weights()
    model.network.eval()
    return {
        "steps": steps,
        "seconds per step": elapsed / steps,
        "training error": float(np.mean(late)),
    }


def _for_complex(run: Run) -> torch.optim.Optimizer:
    """The same optimizer in a form that knows complex weights."""
    given = run.optimizer.defaults
    options = {name: given[name] for name in ("lr", "betas", "weight_decay")}
    return torch.optim.AdamW(run.network.parameters(), **options)


def _batches(samples: Sequence[Sample], job: Job) -> Iterator[list[int]]:
    """Batches of pass after pass, without end."""
    sizes = [len(sample.weights) for sample in samples]
    meshes: dict[bytes, list[int]] = {}
    for i, sample in enumerate(samples):
        meshes.setdefault(sample.pos.numpy().tobytes(), []).append(i)  # type: ignore[union-attr]
    epoch = 0
    while True:
        seed = job.schedule.seed * 100_003 + epoch
        if job.one_mesh:
            order = np.random.default_rng(seed).permutation(len(meshes))
            groups = list(meshes.values())
            for group in (groups[i] for i in order):
                parts = node_batches([sizes[i] for i in group], job.schedule.nodes)
                yield from ([group[i] for i in part] for part in parts)
        else:
            yield from node_batches(sizes, job.schedule.nodes, seed)
        epoch += 1


def errors_on(
    model: Surrogate,
    task: Task,
    tests: dict[str, list[Mesh]],
    symmetry: Symmetry | None,
    device: str = "cpu",
) -> dict[str, dict[str, float]]:
    """Set -> target -> mean relative L2 error in the measure; of clouds also where the
    domain is known, by networks that answer at others than their own points."""
    at_own = isinstance(model.network, tuple(PEERS.values()))
    errors = {}

    def note(title: str, found: Sequence[dict[str, float]]) -> None:
        errors[title] = {
            name: float(np.mean([error[name] for error in found]))
            for name in task.targets
        }

    for title, cases in track(tests.items(), "Testing"):
        note(title, [_errors(model, case, symmetry, device) for case in cases])
        if title == CLOUD and task.domain is not None and not at_own:
            pairs = zip(cases, map(task.domain, task.tests[title]), strict=True)
            note(IN_DOMAIN, [_errors(model, c, symmetry, device, d) for c, d in pairs])
    if task.rolled is not None:
        far = [
            _rolled(model, case, symmetry, device, *task.rolled)
            for case in tests[ROLLED]
        ]
        title = f"{ROLLED}, {task.rolled[2]} steps"
        errors[title] = {task.targets[0]: float(np.mean(far))}
    return errors


def _errors(
    model: Surrogate,
    case: Mesh,
    symmetry: Symmetry | None,
    device: str,
    known: Mesh | None = None,
) -> dict[str, float]:
    """Of each target; with a symmetry those of means over moved copies. known : the
    domain of a cloud."""
    found = _predicted(model, case, symmetry, device, known)
    m, names = model.frame.measure_dimension, [t.name for t in model.targets]
    domain = discretized(case, "points", "a case", m, _closed(model))
    return {n: _apart(found, f"{n}_predicted", n, domain) for n in names}


def _predicted(
    model: Surrogate,
    case: Mesh,
    symmetry: Symmetry | None,
    device: str,
    known: Mesh | None = None,
) -> Mesh:
    """The case with predictions; all sets but one are beyond what training saw."""
    told: dict[str, Any] = {"symmetry": symmetry, "domain": known}
    told["cloud_on_boundary"] = _closed(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        return predict(model, case, device=device, **told)


def moved_by_renumbering(model: Surrogate, cases: Sequence[Mesh]) -> float:
    """The largest change of a prediction, relative to its size, where points and cells
    come in another order."""
    found = []
    for case in cases:
        order = np.random.default_rng(1).permutation(len(case.points))
        samples = _sampled(model, [case, renumbered(case, 1)])
        one, other = (model.evaluate(sample) for sample in samples)
        found.append(float((other - one[order]).norm() / one.norm()))
    return max(found)


def _rolled(
    model: Surrogate,
    case: Mesh,
    symmetry: Symmetry | None,
    device: str,
    step: str,
    wanted: str,
    steps: int,
) -> float:
    """The error after some steps, each but the first from what the model predicted."""
    name = f"{model.targets[0].name}_predicted"
    for _ in range(steps):
        found = _predicted(model, case, symmetry, device).point_data[name]
        case = case.with_point_data({step: found})
    return _apart(case, step, wanted, from_mesh(case))


def _closed(model: Surrogate) -> bool:
    """Points of a cloud all lie inside its domain; a closed surface has no boundary."""
    return model.frame.measure_dimension < len(model.frame.origin)


def _sampled(model: Surrogate, cases: Sequence[Mesh]) -> list[Sample]:
    return [model.sample(case, cloud_on_boundary=_closed(model)) for case in cases]


def result(
    task: Task, form: str, job: Job, cases: Sequence[Mesh], tests: dict[str, list[Mesh]]
) -> dict[str, Any]:
    """Trains and tests: one line of the results."""
    start = time.process_time()
    if job.model == RECOMMENDED:
        job = _recommended(task, job, cases)
    if job.copies:
        cases = _copied(task, job, cases)
    model = untrained(task, job, cases)
    samples = _sampled(model, cases)
    if job.clouds:
        drawn = RandomClouds(job.clouds, job.seed)
        samples += _sampled(model, clouds_of(cases, [""] * len(cases), drawn)[0])
    preparing = time.process_time() - start
    line = {
        "task": task.name,
        "form": form,
        "parameters": _numbers(model),
        "preparing": preparing,
        **asdict(job),
        "device": _device(job.device),
    }
    line |= trained(model, job, samples)
    middle = tests[task.resolutions[len(task.resolutions) // 2]]
    line["renumbered"] = moved_by_renumbering(model, middle)
    symmetry = _symmetry(task, job.mean) if job.mean else None
    errors = errors_on(model, task, tests, symmetry, job.device)
    return line | {"errors": errors} | own_errors(task, tests)


def _recommended(task: Task, job: Job, cases: Sequence[Mesh]) -> Job:
    """With what the library recommends: network, arguments, decay, clouds, copies."""
    found = recommended(
        cases,
        task.inputs,
        task.targets,
        linear=task.linear_in,
        magnitudes=task.magnitudes,
        cloud_on_boundary=False,
        symmetry=task.symmetry,
    )
    clouds = found.clouds.share if found.clouds else 0.0
    mean = found.symmetry.copies if found.symmetry else 0
    copies = found.augment.copies if found.augment else job.copies
    schedule = replace(job.schedule, decay=found.schedule.decay)
    arguments = dict(found.arguments)
    return replace(
        job,
        arguments=arguments,
        schedule=schedule,
        clouds=clouds,
        copies=copies,
        mean=mean,
    )


def _copied(task: Task, job: Job, cases: Sequence[Mesh]) -> list[Mesh]:
    symmetry = replace(_symmetry(task, job.copies), seed=job.seed)
    names = [f"case {number}" for number in range(len(cases))]
    return with_copies(cases, names, symmetry, [*task.inputs, *task.targets])[0]


def _symmetry(task: Task, copies: int) -> Symmetry:
    """Raises `ValueError` for a task that has a direction of its own."""
    if task.symmetry is None:
        raise ValueError(f"copies: {task.name} is not the same in every direction")
    return replace(task.symmetry, copies=copies)


def _numbers(model: Surrogate) -> int:
    """How many real numbers the network learns."""
    weights = model.network.parameters()
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in weights)


def own_errors(task: Task, tests: dict[str, list[Mesh]]) -> dict[str, Any]:
    """Of each set: its mean number of points, and the mean error of linear elements on
    the samples' own meshes, where the task has it; which sets differ in size alone."""

    def solved(case: Mesh, name: str) -> float:
        domain = discretized(case, "points", "a case", None, False)
        return _apart(case, f"{name}_p1", name, domain)

    own = {}
    for title, cases in tests.items():
        names = [name for name in task.targets if f"{name}_p1" in cases[0].point_data]
        errors = {
            name: float(np.mean([solved(case, name) for case in cases]))
            for name in names
        }
        own |= {title: errors} if errors else {}
    points = {k: float(np.mean([len(m.points) for m in v])) for k, v in tests.items()}
    if task.domain is not None:
        points[IN_DOMAIN] = points[CLOUD]
    if task.rolled is not None:
        points[f"{ROLLED}, {task.rolled[2]} steps"] = points[ROLLED]
    return {"points": points, "own": own, "resolutions": list(task.resolutions)}


def _apart(case: Mesh, name: str, truth: str, domain: Discretization) -> float:
    """The relative L2 error of a field of a mesh; truth : another one."""
    found, wanted = (
        torch.tensor(case.point_data[field].reshape(len(case.points), -1))
        for field in (name, truth)
    )
    return float(relative_l2(found, wanted, domain, [wanted.shape[1]]))


def _device(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def _bar(shown: bool) -> Any:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
        TimeRemainingColumn(),
        disable=not shown,
    )
