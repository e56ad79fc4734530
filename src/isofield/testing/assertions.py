"""The six laws of the contract, each as an assertion.

Sizes and differences of outputs are root mean squares over points and channels.
`field` is a closed form, points (N, d) -> channels (N, C), so that it can be sampled on
any discretization. `probes` are fixed points at which the output is wanted, (M, d) or,
on a surface, a discretization with normals; an operator that answers at the points of
its source alone gets None.

All raise `AssertionError` with the numbers that break the law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from isofield.discretization import Discretization, pack
from isofield.layers.operator import Operator
from isofield.plan import pack_plans
from isofield.testing.comparing import (
    Probes,
    ScalarFields,
    apply,
    fitted_rate,
    generator,
    joined,
    measured,
    moved,
    packed_targets,
    picked,
    require_equal,
    root_mean_square,
    rounding,
)
from isofield.testing.unpacking import assert_unpacks


def assert_node_splitting(
    operator: Operator,
    source: Discretization,
    field: ScalarFields,
    probes: Probes | None = None,
    *,
    tolerance: float | None = None,
    seed: int = 0,
) -> None:
    """A point is worth its weight: two copies with half of it change nothing elsewhere.

    A random half of the nodes becomes two copies with half the weight each. The output
    at the other nodes, and at the probes, stays the same. Halving a weight is exact, so
    only the order of summation differs: tolerance 1e-5 of the output in
    float32, 1e-10 in float64.
    """
    tolerance = rounding(tolerance, source.points, 1e-5, 1e-10)
    n = len(source)
    chosen = torch.randperm(n, generator=generator(seed))[: n // 2]
    weights = source.weights.clone()
    weights[chosen] /= 2
    weights = torch.cat([weights, weights[chosen]])
    split = joined(source, picked(source, chosen), weights)
    before, after = field(source.points), field(split.points)
    if probes is not None:
        require_equal(
            apply(operator, split, after, probes),
            apply(operator, source, before, probes),
            tolerance,
            "node splitting, at the probes",
            split=f"{len(chosen)} of {n} nodes",
        )
    others = torch.ones(n, dtype=torch.bool)
    others[chosen] = False
    require_equal(
        apply(operator, split, after, None)[:n][others],
        apply(operator, source, before, None)[others],
        tolerance,
        "node splitting, at the other nodes",
        split=f"{len(chosen)} of {n} nodes",
    )


def assert_families_agree(
    operator: Operator,
    families: Mapping[float, tuple[Discretization, Discretization]],
    field: ScalarFields,
    probes: Probes,
    *,
    rate: float = 1.0,
    own_points: bool = False,
) -> None:
    """Uniform and graded meshes of one shape converge to each other: `O(h^rate)`.

    `difference(h)` is the root mean square over probes and channels between the outputs
    on the two meshes, relative to how much these outputs vary over the probes: an
    output that merely fades under refinement does not converge. A straight line through
    log difference over log h has at least the slope `rate`, and from the coarsest to
    the finest pair the difference falls at least by `(h_last / h_first)^rate`: no
    plateau. An output that varies by less than 1e-3 of its size tells nothing and is
    rejected.

    families : spacing h -> two discretizations of one shape; at least three spacings.
    own_points : the operator answers at its source's points alone; the probes then join
        the source with 1e-13 of the weight of its lightest point.
    """
    if len(families) < 3:
        raise ValueError(f"families: expected at least 3 spacings, got {len(families)}")
    spacings = sorted(families, reverse=True)
    differences = []
    for h in spacings:
        uniform, graded = families[h]
        one = _at(probes, operator, uniform, field, own_points)
        other = _at(probes, operator, graded, field, own_points)
        differences.append(_difference(one, other, h))
    exact = rounding(None, measured(probes).points, 1e-5, 1e-12)
    if max(differences) <= exact:
        return
    found = fitted_rate(spacings, [max(x, exact * 1e-3) for x in differences])
    fall = differences[-1] / differences[0]
    expected = (spacings[-1] / spacings[0]) ** rate
    if not (found >= rate and fall <= expected):
        table = ", ".join(
            f"h = {h:.3g}: {x:.3g}" for h, x in zip(spacings, differences, strict=True)
        )
        raise AssertionError(
            f"two families: the fitted rate is {found:.2f}, expected at least {rate}; "
            f"the last difference is {fall:.3g} of the first, expected at most "
            f"{expected:.3g}. Relative differences: {table}"
        )


def _at(
    probes: Probes,
    operator: Operator,
    source: Discretization,
    field: ScalarFields,
    own_points: bool,
) -> Tensor:
    if not own_points:
        return apply(operator, source, field(source.points), probes)
    light = 1e-13 * source.weights.min()
    weights = torch.cat([source.weights, light.expand(len(probes))])
    both = joined(source, measured(probes), weights)
    return apply(operator, both, field(both.points), None)[len(source) :]


def _difference(a: Tensor, b: Tensor, h: float) -> float:
    """Root mean square of a - b over the lesser variation of the two."""
    size = float(torch.maximum(a.abs().max(), b.abs().max()))
    variation = min(root_mean_square(v - v.mean(0)) for v in (a, b))
    if not 1e-3 * size < variation < float("inf"):
        raise AssertionError(
            f"two families: at h = {h:.3g} the output varies by {variation:.3g} over "
            f"the probes in size {size:.3g}, expected at least 1e-3 of the size: "
            "agreement of an output that does not vary tells nothing"
        )
    return root_mean_square(a - b) / variation


def assert_permutation(
    operator: Operator,
    source: Discretization,
    field: ScalarFields,
    probes: Probes | None = None,
    *,
    tolerance: float | None = None,
    seed: int = 0,
) -> None:
    """Renumbering permutes the output and changes nothing else.

    Source points are renumbered, then the probes; the output at the source's own points
    is renumbered with them. Only the order of summation differs: tolerance 1e-6 of the
    largest output in float32, 1e-13 in float64.
    """
    tolerance = rounding(tolerance, source.points, 1e-6, 1e-13)
    random = generator(seed)
    order = torch.randperm(len(source), generator=random)
    renumbered = picked(source, order)
    u = field(source.points)
    own = apply(operator, source, u, None)
    require_equal(
        apply(operator, renumbered, u[order], None),
        own[order],
        tolerance,
        "permutation of source and target points",
    )
    if probes is None:
        return
    targets = measured(probes)
    expected = apply(operator, source, u, targets)
    require_equal(
        apply(operator, renumbered, u[order], targets),
        expected,
        tolerance,
        "permutation of the source points",
    )
    order = torch.randperm(len(targets), generator=random)
    require_equal(
        apply(operator, source, u, picked(targets, order)),
        expected[order],
        tolerance,
        "permutation of the target points",
    )


def assert_batching(
    operator: Operator,
    sources: Sequence[Discretization],
    field: ScalarFields,
    probes: Probes | None = None,
    *,
    tolerance: float | None = None,
) -> None:
    """An operator on a batch of different meshes equals the operator on each.

    Both ways to a batch: the packed plans of the samples, and the plan of the packed
    samples. Tolerance 1e-5 of the output in float32, 1e-12 in float64, for
    sums in another order. Every attribute of the packed plan comes back bit-equal when
    it is cut at the samples (`assert_unpacks`).
    """
    tolerance = rounding(tolerance, sources[0].points, 1e-5, 1e-12)
    u = [field(source.points) for source in sources]
    plans = [
        operator.prepare(source, packed_targets(probes, source)) for source in sources
    ]
    together = pack(list(sources))
    packed = pack_plans(plans)
    assert_unpacks(together, list(sources))
    assert_unpacks(packed, plans)
    batch_plan = operator.prepare(together, packed_targets(probes, together))
    with torch.no_grad():
        for sample, (values, plan) in enumerate(zip(u, plans, strict=True)):
            alone = operator(values, plan)
            for way, plan_of_all in (
                ("packed plans", packed),
                ("the plan of packed samples", batch_plan),
            ):
                batch = operator(torch.cat(u), plan_of_all)
                length = len(sources[sample]) if probes is None else len(probes)
                lengths = [
                    len(s) if probes is None else length for s in sources[:sample]
                ]
                require_equal(
                    batch[sum(lengths) : sum(lengths) + length],
                    alone,
                    tolerance,
                    f"batching with {way}",
                    sample=sample,
                )


def assert_rigid_motion(
    operator: Operator,
    source: Discretization,
    field: ScalarFields,
    probes: Probes | None = None,
    *,
    rotations: bool = True,
    tolerance: float | None = None,
    seed: int = 0,
) -> None:
    """Scalar channels do not notice that the body moves: `K(u o m^-1) o m = K u`.

    The motion m shifts by about the size of the body and, with `rotations`, turns by a
    random rotation. Rounding of the moved points is magnified by the gradient of the
    kernel: tolerance 1e-4 of the output in float32, 1e-11 in float64.
    """
    tolerance = rounding(tolerance, source.points, 1e-4, 1e-11)
    random, d = generator(seed), source.dimension
    turn = torch.eye(d, dtype=torch.float64)
    if rotations:
        turn, _ = torch.linalg.qr(
            torch.randn(d, d, generator=random, dtype=torch.float64)
        )
        turn[:, 0] *= torch.linalg.det(turn).sign()
    shift = torch.randn(d, generator=random, dtype=torch.float64)
    shift *= source.points.std(0).max() / shift.norm()

    targets = None if probes is None else measured(probes)
    u = field(source.points)
    require_equal(
        apply(
            operator,
            moved(source, turn, shift),
            u,
            None if targets is None else moved(targets, turn, shift),
        ),
        apply(operator, source, u, targets),
        tolerance,
        "rigid motion" if rotations else "translation",
        shift=[round(x, 3) for x in shift.tolist()],
    )


def assert_same_weights(
    build: Callable[[Discretization], Operator],
    sources: Sequence[Discretization],
    field: ScalarFields,
    probes: Probes | None = None,
) -> None:
    """A checkpoint holds nothing of the size of a mesh.

    Operators built for different meshes have the same parameters and buffers, by name
    and shape; preparing and applying on every mesh adds none and changes no shape. The
    weights, written and read as a safetensors file, give another operator that was
    built for another mesh the same output, bit for bit.

    build : makes the operator with fresh weights; it is shown the mesh, of which
        nothing may remain. sources : at least two, of different sizes.
    """
    from safetensors.torch import load, save

    sizes = [len(source) for source in sources]
    if len(set(sizes)) < 2:
        raise ValueError(f"sources: expected different sizes, got {sizes}")
    operators = [build(source) for source in sources]
    expected = _state(operators[0])
    for operator, size in zip(operators, sizes, strict=True):
        _require_same_state(expected, _state(operator), f"built for {size} points")
    first, other = operators[0], operators[-1]
    for source in sources:
        apply(first, source, field(source.points), probes)
        _require_same_state(expected, _state(first), f"applied to {len(source)} points")
    stored = save({k: v.contiguous() for k, v in first.state_dict().items()})
    other.load_state_dict(load(stored))
    for source in reversed(sources):
        u = field(source.points)
        require_equal(
            apply(other, source, u, probes),
            apply(first, source, u, probes),
            0.0,
            "same weights, after the checkpoint was read",
            points=len(source),
        )


def _state(operator: Operator) -> dict[str, tuple[int, ...]]:
    """Shapes of parameters and buffers, also of buffers that are not saved."""
    held = {**operator.state_dict(), **dict(operator.named_buffers())}
    return {name: tuple(value.shape) for name, value in held.items()}


def _require_same_state(
    expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], when: str
) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise AssertionError(
                f"same weights: {when}, {name!r} has shape {found.get(name)}, expected "
                f"{expected.get(name)}: a checkpoint must not know the mesh"
            )
