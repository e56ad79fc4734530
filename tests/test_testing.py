"""Every assertion accepts what keeps its law and rejects what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from isofield import Discretization, Graph, from_mesh, knn_graph, radius_graph
from isofield.data.sample import Batch, Sample
from isofield.discretization import pack
from isofield.generation import disk
from isofield.layers.kernel_integral import KernelIntegral, KernelPlan
from isofield.layers.operator import Operator
from isofield.models import GNO
from isofield.operators import gradient
from isofield.plan import Plan, pack_plans
from isofield.testing import (
    assert_batching,
    assert_families_agree,
    assert_node_splitting,
    assert_permutation,
    assert_rigid_motion,
    assert_same_weights,
    assert_samples_unpack,
    assert_unpacks,
    body,
    families,
    probes,
    waves,
)

RADIUS = 0.6
SOURCE = body(2, 8, 2.0)
MESHES = [disk(7), disk(9, grading=2.0), disk(8, grading=1.5)]
SOURCES = [from_mesh(mesh) for mesh in MESHES]
FAMILIES = families(2)
PROBES = probes(2)
FIELD = waves(2)


@dataclass(frozen=True, eq=False)
class PairsPlan(Plan):
    """A graph with the points at its ends and the weights of its sources."""

    graph: Graph
    offset: Tensor
    weight: Tensor
    target: Discretization


def kernel(offset: Tensor) -> Tensor:
    """A smooth, not rotation invariant function of (y - x)/r."""
    square = (offset * offset).sum(1)
    return (1 - square).clamp(min=0) ** 2 * (1 + 0.5 * offset[:, 0])


class Aggregation(Operator):
    """Sums over neighbours: how they are found and weighted is the subclass."""

    def neighbours(self, source: Discretization, target: Discretization) -> Graph:
        return radius_graph(source, target, RADIUS)

    def prepare(self, source: Discretization, target: Discretization) -> PairsPlan:
        graph = self.neighbours(source, target)
        offset = (source.points[graph.source] - target.points[graph.target]) / RADIUS
        return PairsPlan(graph, offset, source.weights[graph.source], target)

    def terms(self, plan: PairsPlan) -> Tensor:
        return kernel(plan.offset) * plan.weight

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        terms = self.terms(plan)[:, None] * u[plan.graph.source]
        return _summed(terms, plan.graph)


class InTheMeasure(Aggregation):
    """The integral itself: keeps every law but rotation."""


class Isotropic(Aggregation):
    """A radial kernel: keeps every law."""

    def terms(self, plan: PairsPlan) -> Tensor:
        return (1 - plan.offset.square().sum(1)).clamp(min=0) ** 2 * plan.weight


class UnweightedMean(Aggregation):
    """The mean over neighbours, as in message passing over a radius graph."""

    def terms(self, plan: PairsPlan) -> Tensor:
        return kernel(plan.offset) / plan.graph.degree()[plan.graph.target]


class UnweightedSum(Aggregation):
    """The sum over neighbours."""

    def terms(self, plan: PairsPlan) -> Tensor:
        return kernel(plan.offset)


class NearestNeighbours(Aggregation):
    """The right weights over a neighbourhood that shrinks with the mesh."""

    def neighbours(self, source: Discretization, target: Discretization) -> Graph:
        return knn_graph(source, target, 12)


class FirstNeighbours(Aggregation):
    """The first 12 of the neighbours by number, as truncated ball queries do."""

    def neighbours(self, source: Discretization, target: Discretization) -> Graph:
        graph = radius_graph(source, target, RADIUS)
        rank = torch.arange(graph.n_edges) - graph.ptr[graph.target]
        edges = graph.edge_index[:, rank < 12]
        return Graph(edges, graph.n_sources, graph.n_targets)


class Attention(Aggregation):
    """Softmax over the neighbours, with or without their weights."""

    in_the_measure = False

    def terms(self, plan: PairsPlan) -> Tensor:
        score = torch.exp(2 * plan.offset[:, 0]) * kernel(plan.offset)
        if self.in_the_measure:
            score = score * plan.weight
        return score / _summed(score[:, None], plan.graph)[plan.graph.target, 0]


class AttentionInTheMeasure(Attention):
    in_the_measure = True


class AbsoluteCoordinates(Aggregation):
    """The integral, times a coordinate of the target."""

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        return super().forward(u, plan) * plan.target.points[:, :1]


class Constant(Aggregation):
    """The same number everywhere."""

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        return torch.ones_like(super().forward(u, plan))


class AlmostConstant(Aggregation):
    """A number that hides how little is left of the field."""

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        return 1e5 + super().forward(u, plan)


class Broken(Aggregation):
    """One output is not a number."""

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        v = super().forward(u, plan).clone()
        v[0] = torch.nan
        return v


class Fading(Aggregation):
    """Unweighted, and divided by the square of the number of points: tends to 0."""

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        terms = kernel(plan.offset)[:, None] * u[plan.graph.source]
        return _summed(terms, plan.graph) / plan.graph.n_sources**2


class BatchNorm(Aggregation):
    """Divided by the root mean square over all points of all samples."""

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        v = super().forward(u, plan)
        return v / v.square().mean().sqrt()


@dataclass(frozen=True, eq=False)
class NumbersPlan(Plan):
    """Point numbers in a tensor, where packing cannot shift them."""

    first: Tensor


class PointNumbers(Operator):
    """The field at the point before, by a number kept outside of a graph."""

    def prepare(self, source: Discretization, target: Discretization) -> NumbersPlan:
        n = len(source)
        return NumbersPlan((torch.arange(n) - 1).clamp(min=0))

    def forward(self, u: Tensor, plan: NumbersPlan) -> Tensor:
        return u[plan.first]


class ParameterPerNode(InTheMeasure):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n, 1))


class GrowingBuffer(InTheMeasure):
    """Keeps the points that it was prepared for."""

    def prepare(self, source: Discretization, target: Discretization) -> PairsPlan:
        self.register_buffer("points", source.points, persistent=False)
        return super().prepare(source, target)


class FirstMeshMatters(InTheMeasure):
    """A scale taken from the first mesh, in no state dict."""

    scale: float | None = None

    def prepare(self, source: Discretization, target: Discretization) -> PairsPlan:
        self.scale = self.scale or float(len(source))
        return super().prepare(source, target)

    def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
        assert self.scale is not None
        return super().forward(u, plan) * self.scale


def _summed(terms: Tensor, graph: Graph) -> Tensor:
    v = terms.new_zeros(graph.n_targets, terms.shape[1])
    return v.index_add(0, graph.target, terms)


def splitting(operator: Operator) -> None:
    assert_node_splitting(operator, SOURCE, FIELD, PROBES)


def two_families(operator: Operator) -> None:
    assert_families_agree(operator, FAMILIES, FIELD, PROBES)


def permutation(operator: Operator) -> None:
    assert_permutation(operator, SOURCE, FIELD, PROBES)


def batching(operator: Operator) -> None:
    assert_batching(operator, SOURCES, FIELD, PROBES)


def translation(operator: Operator) -> None:
    assert_rigid_motion(operator, SOURCE, FIELD, PROBES, rotations=False)


def rigid(operator: Operator) -> None:
    assert_rigid_motion(operator, SOURCE, FIELD, PROBES)


def same_weights(operator: Operator) -> None:
    kind = type(operator)
    assert_same_weights(lambda source: kind(), SOURCES, FIELD, PROBES)


KEPT = [
    (InTheMeasure, splitting),
    (InTheMeasure, two_families),
    (InTheMeasure, permutation),
    (InTheMeasure, batching),
    (InTheMeasure, translation),
    (InTheMeasure, same_weights),
    (Isotropic, rigid),
    (AttentionInTheMeasure, splitting),
    (AttentionInTheMeasure, two_families),
    # what breaks one law alone keeps the others: the laws are independent
    (UnweightedMean, permutation),
    (UnweightedMean, batching),
    (BatchNorm, permutation),
    (AbsoluteCoordinates, two_families),
    (Constant, splitting),
]
BROKEN = [
    (UnweightedMean, splitting),
    (UnweightedMean, two_families),
    (UnweightedSum, splitting),
    (UnweightedSum, two_families),
    (NearestNeighbours, splitting),
    (NearestNeighbours, two_families),
    (Attention, splitting),
    (Attention, two_families),
    (Constant, two_families),
    (AlmostConstant, two_families),
    (Fading, two_families),
    (FirstNeighbours, permutation),
    # the meshes are symmetric, and of two at the same distance the lower number counts
    (NearestNeighbours, permutation),
    (BatchNorm, batching),
    (AbsoluteCoordinates, translation),
    (InTheMeasure, rigid),
    (GrowingBuffer, same_weights),
    (FirstMeshMatters, same_weights),
    *((Broken, law) for law in (splitting, two_families, permutation, batching)),
    *((Broken, law) for law in (rigid, same_weights)),
]


def _names(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("kind", "law"), KEPT, ids=_names)
def test_law_is_kept(kind: type[Operator], law: Callable[[Operator], None]):
    law(kind())


@pytest.mark.parametrize(("kind", "law"), BROKEN, ids=_names)
def test_law_is_broken(kind: type[Operator], law: Callable[[Operator], None]):
    """The message says by how much, in numbers."""
    with pytest.raises(AssertionError, match=r"(?s): .*\d"):
        law(kind())


def test_a_parameter_per_node_is_no_checkpoint():
    with pytest.raises(AssertionError, match=r"bias.*\(271, 1\).*\(169, 1\)"):
        assert_same_weights(
            lambda source: ParameterPerNode(len(source)), SOURCES, FIELD, PROBES
        )


def test_point_numbers_outside_a_graph_break_batching():
    with pytest.raises(AssertionError, match=r"packed plans.*sample = 1"):
        assert_batching(PointNumbers(), SOURCES, FIELD)


def test_an_operator_on_its_own_points_is_checked_there():
    """Order matters to it: found without any probes."""
    with pytest.raises(AssertionError, match="source and target points"):
        assert_permutation(PointNumbers(), SOURCE, FIELD)


@pytest.mark.parametrize("share", [1e-9, 1e-6, 1e-3])
def test_a_small_share_without_measure_is_still_seen(share):
    """In float64 the tolerance is rounding, not a guess."""

    class Mixed(Aggregation):
        def terms(self, plan: PairsPlan) -> Tensor:
            return kernel(plan.offset) * (plan.weight + share)

    with pytest.raises(AssertionError, match="node splitting"):
        splitting(Mixed())


def test_a_plateau_is_seen_behind_a_good_start():
    """1 % of an unweighted mean stays when the rest has converged."""

    class Mixed(Aggregation):
        def terms(self, plan: PairsPlan) -> Tensor:
            mean = 1 / plan.graph.degree()[plan.graph.target]
            return kernel(plan.offset) * (plan.weight + 0.2 * mean)

    with pytest.raises(AssertionError, match="fitted rate"):
        two_families(Mixed())


def test_the_stated_rate_is_held_to():
    assert_families_agree(InTheMeasure(), FAMILIES, FIELD, PROBES, rate=1.75)
    with pytest.raises(AssertionError, match=r"expected at least 2\.5"):
        assert_families_agree(InTheMeasure(), FAMILIES, FIELD, PROBES, rate=2.5)


def test_two_sizes_are_no_rate():
    two = dict(list(FAMILIES.items())[:2])
    with pytest.raises(ValueError, match="at least 3 spacings, got 2"):
        assert_families_agree(InTheMeasure(), two, FIELD, PROBES)


def test_one_size_is_no_two_meshes():
    with pytest.raises(ValueError, match=r"different sizes, got \[217, 217\]"):
        assert_same_weights(
            lambda source: InTheMeasure(), [SOURCE, SOURCE], FIELD, PROBES
        )


def test_a_missing_output_is_an_error_of_shape():
    class Short(InTheMeasure):
        def forward(self, u: Tensor, plan: PairsPlan) -> Tensor:
            return super().forward(u, plan)[: -u.shape[0] % 7 or None]

    with pytest.raises(AssertionError, match="shape"):
        splitting(Short())


# --- batch, then unbatch ------------------------------------------------------------


def plans(kind: type[Operator], **arguments) -> list[Plan]:
    torch.manual_seed(0)
    operator = kind(2, 2, 2, radius=RADIUS, **arguments)
    return [operator.prepare(source, source) for source in SOURCES]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(SOURCES, id="discretizations"),
        pytest.param(plans(KernelIntegral), id="kernel plans"),
        pytest.param(plans(GNO, width=6, blocks=1), id="plans of the model"),
    ],
)
def test_unbatch_is_the_identity(parts):
    pack_all = pack if isinstance(parts[0], Discretization) else pack_plans
    assert_unpacks(pack_all(parts), parts)


def test_wrong_batches_are_rejected():
    parts = plans(KernelIntegral)
    packed = pack_plans(parts)
    assert isinstance(packed, KernelPlan)
    shifted = replace(packed, weight=packed.weight.roll(1))
    with pytest.raises(AssertionError, match=r"batch\.weight"):
        assert_unpacks(shifted, parts)
    with pytest.raises(AssertionError, match="rows"):
        assert_unpacks(replace(packed, offset=packed.offset[:-1]), parts)
    with pytest.raises(AssertionError, match=r"batch\.graph"):
        assert_unpacks(packed, [parts[0], parts[2], parts[1]])
    with pytest.raises(AssertionError, match=r"batch\.points: .* changes \d+ of 434"):
        assert_unpacks(pack(SOURCES), [SOURCES[0], SOURCES[1], body(2, 8, 1.6)])
    with pytest.raises(AssertionError, match=r"float64, got .* torch\.float32"):
        assert_unpacks(packed.to(torch.float32), [p.to(torch.float64) for p in parts])


def test_what_no_batch_can_hold_is_named():
    with pytest.raises(AssertionError, match="set is nothing that a batch can hold"):
        assert_unpacks({1}, [{1}])


def test_words_and_dictionaries_are_those_of_every_sample():
    one = torch.ones(2)
    assert_unpacks({"a": torch.ones(4)}, [{"a": one}, {"a": one}])
    assert_unpacks("linear", ["linear", "linear"])
    with pytest.raises(AssertionError, match=r"batch\['a'\]"):
        assert_unpacks({"a": torch.zeros(4)}, [{"a": one}, {"a": one}])
    with pytest.raises(AssertionError, match="expected 'nearest', got 'linear'"):
        assert_unpacks("linear", ["linear", "nearest"])


def samples(**extra: Tensor) -> list[Sample]:
    """With every tensor that a batch holds, whatever it is called."""
    other = {"domain", "plan", "gradient"}
    tensors = [name for name in Batch._fields if name not in other]
    return [
        Sample(
            pos=source.points,
            weights=source.weights,
            plan=plan,
            gradient=gradient(mesh),
            **{name: torch.rand(len(source), 2) for name in tensors},
            **extra,
        )
        for source, mesh, plan in zip(
            SOURCES, MESHES, plans(KernelIntegral), strict=True
        )
    ]


def test_samples_come_back_from_a_batch():
    assert_samples_unpack(samples())


def test_an_attribute_that_a_batch_loses_is_named():
    with pytest.raises(AssertionError, match="loses the attribute 'load'"):
        assert_samples_unpack(samples(load=torch.ones(1)))


def test_samples_come_back_from_the_batches_of_torch_geometric():
    from torch_geometric.data import Batch as TheirBatch

    parts = samples()
    batch = TheirBatch.from_data_list(parts)
    for part, back in zip(parts, batch.to_data_list(), strict=True):
        assert isinstance(back, Sample)
        for name, value in part.to_dict().items():
            if isinstance(value, Tensor):
                assert torch.equal(back[name], value)
            else:
                assert_unpacks(back[name], [value])
