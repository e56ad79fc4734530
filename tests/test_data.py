"""Fields, normalizers, frames, envelopes, batches and samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch_geometric.data import Batch as GraphBatch
from torch_geometric.loader import DataLoader

from isofield import Discretization, Graph, Mesh, from_mesh, from_points, generation
from isofield.data import (
    Field,
    FieldError,
    Normalizer,
    Sample,
    Similarity,
    check_same_fields,
    collate,
    node_batches,
    stacked,
)
from isofield.data.envelope import Envelope
from isofield.data.frame import Frame
from isofield.data.measuring import discretized, mean_spacing, measure_dimension
from isofield.mesh import MeshError
from isofield.models.gno import GNO
from isofield.operators import gradient
from isofield.plan import Plan

# --- fields -------------------------------------------------------------------------


def with_everything() -> Mesh:
    """A square of 9 points, 8 triangles and, first, 2 lines; fields of many kinds."""
    square = generation.square(2)
    cells = {"line": np.array([[0, 1], [1, 2]]), **square.cells}
    n, total = len(square.points), 10
    return Mesh(
        square.points,
        cells,
        point_data={
            "u": np.arange(2.0 * n).reshape(n, 2),
            "t": np.arange(9.0 * n).reshape(n, 3, 3),
            "p": np.arange(n, dtype=np.float32),
            "flag": np.arange(n) % 2 == 0,
            "z": np.ones(n, dtype=complex),
            "text": np.array(["a"] * n),
        },
        cell_data={"e": np.arange(total), "s": np.arange(2.0 * total).reshape(-1, 2)},
        field_data={
            "load": 7.5,
            "many": np.arange(3.0),
            "one": np.array([2]),
            "note": "steel",
            "unit:load": "kN",
            "unit:u": "mm",
        },
    )


def test_a_field_knows_shape_channels_and_unit():
    mesh = with_everything()
    assert Field.of("u", mesh, "points") == Field("u", (2,), "mm")
    assert Field.of("t", mesh, "points").channels == 9
    assert Field.of("load", mesh, "points") == Field("load", (), "kN")
    assert Field.of("s", mesh, "cells") == Field("s", (2,), "")
    assert Field("p").channels == 1


def test_components_stand_side_by_side_in_the_order_asked_for():
    mesh = with_everything()
    names = ["p", "t", "load", "u", "flag", "one"]
    parts = [Field.of(name, mesh, "points") for name in names]
    found = stacked(mesh, parts)
    assert found.dtype == np.float64
    assert found.shape == (9, 1 + 9 + 1 + 2 + 1 + 1)
    assert_allclose(found[:, 0], mesh.point_data["p"])
    assert_allclose(found[:, 1:10].reshape(9, 3, 3), mesh.point_data["t"])
    assert_allclose(found[:, 10], 7.5)
    assert_allclose(found[:, 11:13], mesh.point_data["u"])
    assert_allclose(found[:, 13], mesh.point_data["flag"])
    assert_allclose(found[:, 14], 2)


def test_no_fields_are_rows_without_columns():
    mesh = with_everything()
    assert stacked(mesh, []).shape == (9, 0)
    assert stacked(mesh, [], "cells").shape == (8, 0)


def test_only_cells_that_carry_measure_have_rows():
    mesh = with_everything()
    found = stacked(mesh, [Field("e"), Field("s", (2,))], "cells")
    assert_allclose(found[:, 0], np.arange(2, 10))
    assert_allclose(found[:, 1:], mesh.cell_data["s"][2:])
    last = Mesh(
        mesh.points,
        {"triangle": mesh.cells["triangle"], "line": mesh.cells["line"]},
        cell_data={"e": np.arange(10)},
    )
    assert_allclose(stacked(last, [Field("e")], "cells")[:, 0], np.arange(8))


def test_given_numbers_come_before_those_of_the_mesh():
    mesh = with_everything()
    fields = [Field("load", (), "kN"), Field("p"), Field("new")]
    found = stacked(mesh, fields, values={"load": 1.5, "p": -2, "new": 3})
    assert_allclose(found, np.broadcast_to([1.5, -2, 3], (9, 3)))


@pytest.mark.parametrize(
    ("field", "at", "message"),
    [
        (Field("w"), "points", r"plate: no field 'w' at points; it has flag, load, "),
        (Field("w"), "cells", r"no field 'w' at cells; it has e, load, one, s$"),
        (Field("e"), "points", r"no field 'e' at points, but one at cells; it has "),
        (Field("p"), "cells", r"no field 'p' at cells, but one at points; it has "),
        (Field("note"), "points", r"no field 'note' at points; it has flag, load, one"),
        (Field("many"), "points", r"no field 'many' at points"),
        (
            Field("u", (3,)),
            "points",
            r"'u' has shape \(2,\) per point, expected \(3,\)",
        ),
        (Field("load", (2,)), "points", r"'load' has shape \(\) per point, expected"),
        (Field("z"), "points", r"'z' holds complex128, expected real numbers"),
        (Field("text"), "points", r"'text' holds <U1, expected real numbers"),
        (Field("u", (2,), "m"), "points", r"'u' has the unit 'mm', expected 'm'"),
    ],
)
def test_what_is_wrong_with_a_field_is_said(field, at, message):
    with pytest.raises(FieldError, match=message) as caught:
        stacked(with_everything(), [field], at, where="plate")
    assert str(caught.value).startswith("plate: ")
    assert "\n" not in str(caught.value)


def test_a_mesh_without_fields_says_so():
    with pytest.raises(FieldError, match=r"it has none$"):
        stacked(generation.square(1), [Field("u")])


def test_numbers_that_are_not_finite_are_counted():
    mesh = generation.square(2)
    u = np.zeros((9, 2))
    u[4, 1], u[7] = np.nan, np.inf
    bad = mesh.with_point_data({"u": u})
    with pytest.raises(
        FieldError, match="not finite at 2 of 9 points, the first is number 4"
    ):
        stacked(bad, [Field("u", (2,))])
    with pytest.raises(FieldError, match="not finite at 9 of 9 points"):
        stacked(mesh, [Field("load")], values={"load": float("nan")})


def test_cells_that_are_not_finite_are_counted_by_their_number_in_the_mesh():
    mesh = with_everything()
    e = np.zeros(10)
    e[0] = e[5] = np.nan  # cell 0 is a line and counts for nothing
    with pytest.raises(
        FieldError, match="not finite at 1 of 8 cells, the first is number 5"
    ):
        stacked(mesh.with_cell_data({"e": e}), [Field("e")], "cells")


def units(*given: str | None) -> list[Mesh]:
    meshes = []
    for unit in given:
        data = {} if unit is None else {"unit:u": unit}
        square = generation.square(1)
        meshes.append(Mesh(square.points, square.cells, {"u": np.ones(4)}, {}, data))
    return meshes


def test_a_unit_counts_if_any_case_gives_it():
    names = ["a", "b", "c"]
    cases = units(None, "mm", None)
    assert check_same_fields(cases, [["u"], []], "points", names) == [
        [Field("u", (), "mm")],
        [],
    ]
    with pytest.raises(FieldError, match=r"c: .*the unit 'm', expected 'mm' as in b"):
        check_same_fields(units(None, "mm", "m"), [["u"]], "points", names)


def test_cases_must_have_the_same_fields():
    square = generation.square(1)
    one = square.with_point_data({"u": np.ones(4)})
    two = square.with_point_data({"u": np.ones((4, 2))})
    space = Mesh(np.eye(3), {"triangle": [[0, 1, 2]]}, {"u": np.ones(3)})
    with pytest.raises(FieldError, match=r"b: field 'u' has shape \(2,\)"):
        check_same_fields([one, two], [["u"]], "points", ["a", "b"])
    with pytest.raises(FieldError, match="b: no field 'u' at points"):
        check_same_fields([one, square], [["u"]], "points", ["a", "b"])
    with pytest.raises(FieldError, match="b: has points in 3 dimensions, expected 2"):
        check_same_fields([one, space], [["u"]], "points", ["a", "b"])


# --- normalizers --------------------------------------------------------------------

GRADED = partial(generation.square, grading=4.0)


def normalized(meshes, function, fields):
    domains = [from_mesh(mesh) for mesh in meshes]
    values = [function(mesh.points.copy()) for mesh in meshes]
    return Normalizer.of(fields, values, domains), values, domains


def test_mean_0_and_size_1_in_the_measure():
    """Samples count alike, whatever their size; points count by their weight."""
    meshes = [GRADED(4), generation.disk(3), GRADED(12)]

    def function(points):
        x, y = points.T
        return np.stack([3 * x + 5, x * y, 1e-9 * np.sin(y), 1e12 * x], 1)

    fields = [Field("a"), Field("b"), Field("c"), Field("d")]
    normalizer, values, domains = normalized(meshes, function, fields)
    scaled = [normalizer.apply(u) for u in values]
    pairs = list(zip(scaled, domains, strict=True))
    mean = sum(domain.mean(u)[0] for u, domain in pairs) / 3
    square = sum(domain.mean(u.square())[0] for u, domain in pairs) / 3
    assert_allclose(mean, np.zeros(4), atol=1e-12)
    assert_allclose(square, np.ones(4), rtol=1e-12)


def test_statistics_of_a_linear_field_in_closed_form():
    """x on the unit square: mean 1/2, variance 1/12, also on a graded mesh."""
    normalizer, *_ = normalized([GRADED(32)], lambda p: p[:, :1], [Field("x")])
    assert_allclose(normalizer.mean, [0.5], rtol=1e-12)
    assert_allclose(normalizer.scale, [12**-0.5], rtol=3e-3)
    nodes = GRADED(32).points[:, 0].mean()
    assert abs(nodes - 0.5) > 0.1  # what a plain mean over nodes would give


def test_components_share_a_scale():
    """(x, 100 y): one number for both, so directions stay what they are."""
    normalizer, values, _ = normalized(
        [generation.square(4)],
        lambda p: np.column_stack([p * [1, 100], p[:, 0]]),
        [Field("u", (2,)), Field("s")],
    )
    first, second, third = normalizer.scale.tolist()
    assert first == second
    assert third < 0.1 * first
    moved = normalizer.apply(values[0])
    slope = (moved[1:, :2] - moved[0, :2]) * first
    assert_allclose(slope, values[0][1:, :2] - values[0][0, :2], atol=1e-12)


def test_node_splitting_changes_no_statistics():
    domain = from_mesh(GRADED(5))
    x, y = domain.points.numpy().T
    u = np.column_stack([np.cos(3 * x), y**2])
    some = np.arange(0, len(u), 2)
    weights = domain.weights.clone()
    weights[some] /= 2
    split = from_points(
        torch.cat([domain.points, domain.points[some]]),
        torch.cat([weights, weights[some]]),
    )
    fields = [Field("a"), Field("b")]
    before = Normalizer.of(fields, [u], [domain])
    after = Normalizer.of(fields, [np.concatenate([u, u[some]])], [split])
    assert_allclose(after.mean, before.mean, rtol=1e-13)
    assert_allclose(after.scale, before.scale, rtol=1e-13)


@pytest.mark.parametrize("value", [0.0, 0.1, -2.1e11, 1e-12])
def test_a_constant_field_enters_as_zero(value):
    normalizer, values, _ = normalized(
        [GRADED(4), generation.disk(3)],
        lambda p: np.full((len(p), 1), value),
        [Field("load")],
    )
    assert normalizer.scale.tolist() == [1.0]
    assert_allclose(
        normalizer.apply(values[0]), np.zeros((25, 1)), atol=abs(value) * 1e-15
    )


@pytest.mark.parametrize("unit", [1e-15, 1e-6, 1.0, 1e9])
def test_a_unit_changes_the_scale_and_nothing_else(unit):
    """A displacement of picometres is no constant."""
    meshes = [GRADED(4), generation.disk(3)]
    one, values, _ = normalized(meshes, lambda p: p + 1, [Field("u", (2,))])
    other, scaled, _ = normalized(meshes, lambda p: unit * (p + 1), [Field("u", (2,))])
    assert_allclose(other.scale, unit * one.scale, rtol=1e-12)
    assert_allclose(other.apply(scaled[0]), one.apply(values[0]), atol=1e-12)


def test_inverting_gives_the_values_back():
    normalizer, values, _ = normalized(
        [GRADED(4)], lambda p: 1e5 * p + 3, [Field("u", (2,))]
    )
    again = normalizer.invert(normalizer.apply(values[0]))
    assert_allclose(again, values[0], rtol=1e-14)
    single = normalizer.invert(normalizer.apply(values[0]).float())
    assert single.dtype == torch.float32


# --- frames and measures ------------------------------------------------------------


def test_a_frame_is_the_box_of_all_points():
    meshes = [generation.l_shape(2), generation.square(3)]
    frame = Frame.around([from_mesh(mesh) for mesh in meshes], 2)
    assert frame.origin == (-1.0, -1.0)
    assert frame.length == 2.0
    scaled = frame.scaled(from_mesh(meshes[0]))
    assert_allclose(scaled.points.amin(0), [0, 0])
    assert_allclose(scaled.points.amax(0), [1, 1])
    assert_allclose(scaled.measure(), [3 / 4], rtol=1e-12)


@pytest.mark.parametrize(
    ("mesh", "m"),
    [
        (generation.square(3), 2),
        (generation.box(2), 3),
        (generation.icosphere(2), 2),
        (
            Mesh(
                np.array([[0, 0, 0], [1, 1, 0], [2, 1, 3.0]]),
                {"line": [[0, 1], [1, 2]]},
            ),
            1,
        ),
    ],
)
@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_scaled_points_and_weights_have_no_unit(mesh, m, unit):
    """On surfaces and curves too: the weights are areas and lengths."""
    assert measure_dimension([mesh], ["a"]) == m
    other = Mesh(unit * mesh.points, mesh.cells)
    found = []
    for case in (mesh, other):
        domain = discretized(case)
        frame = Frame.around([domain], m)
        scaled = frame.scaled(domain)
        spacing = mean_spacing(domain, m) / frame.length
        found.append((scaled.points, scaled.weights, spacing))
    for one, two in zip(*found, strict=True):
        assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_a_mesh_far_from_the_origin_is_moved_in_float64():
    """An origin in float32 would be off by 0.25 here, more than a spacing."""
    mesh = generation.square(5)
    far = Mesh(mesh.points + np.array([5e6 + 1 / 3, -4e5]), mesh.cells)
    found = [
        Frame.around([domain], 2).scaled(domain).points
        for domain in (from_mesh(mesh), from_mesh(far))
    ]
    assert_allclose(found[0], found[1], atol=2e-9)


def test_mean_spacing_of_a_sphere():
    """sqrt(4 pi / N), not its 2/3rd power."""
    mesh = generation.icosphere(8)
    expected = (4 * np.pi / len(mesh.points)) ** 0.5
    assert_allclose(mean_spacing(from_mesh(mesh), 2), expected, rtol=0.02)


def test_clouds_have_the_measure_of_the_other_cases():
    """Points of the unit sphere: 4 pi; of the unit ball, if nothing is said: 4/3 pi."""
    cloud = Mesh(generation.icosphere(8).points)
    assert_allclose(
        discretized(cloud, measure_dimension=2).measure(), 4 * np.pi, rtol=0.02
    )
    body = Mesh(generation.ball(4).points)
    assert_allclose(discretized(body).measure(), 4 / 3 * np.pi, rtol=0.06)
    curve = Mesh(np.array([[0, 0], [1, 0], [2, 1.0]]))
    with pytest.raises(
        MeshError, match="a: the weights of a cloud of points on a curve"
    ):
        discretized(curve, "points", "a", 1)


def test_measure_dimensions_must_agree():
    sphere, box = generation.icosphere(1), generation.box(1)
    cloud = Mesh(box.points)
    assert measure_dimension([cloud, sphere], ["a", "b"]) == 2
    assert measure_dimension([cloud], ["a"]) == 3
    with pytest.raises(FieldError, match=r"c: .* dimension 3, expected 2 as in b"):
        measure_dimension([cloud, sphere, box], ["a", "b", "c"])


def test_cells_of_a_cloud_are_refused():
    with pytest.raises(FieldError, match="a: expected a mesh with cells"):
        discretized(Mesh(np.eye(3)), "cells", "a")


def test_a_mesh_without_measure_is_named():
    flat = Mesh(np.array([[0, 0], [1, 0], [2, 0.0]]), {"triangle": [[0, 1, 2]]})
    with pytest.raises(MeshError, match=r"^a: 3 of 3 points have no positive measure"):
        discretized(flat, "points", "a")


# --- envelopes ----------------------------------------------------------------------


INPUTS = (Field("load"), Field("u", (2,)))


def envelope(fields=INPUTS):
    values = [np.array([[1.0, 0, 0], [1, 3, 1]]), np.array([[2.0, -4, 1]])]
    points = [np.array([[0.0, 0], [1, 2]]), np.array([[-1.0, 1]])]
    width = sum(field.channels for field in fields)
    values = [part[:, :width] for part in values]
    return Envelope.of(fields, values, points, [0.1, 0.4])


def test_an_envelope_holds_the_extremes():
    found = envelope()
    assert found.inputs == {"load": (1.0, 2.0), "u": (-4.0, 3.0)}
    assert (found.lower, found.upper) == ((-1.0, 0.0), (1.0, 2.0))
    assert (found.points, found.spacing) == ((1, 2), (0.1, 0.4))


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"values": [[2.5, 0, 0]]}, [r"load is 2.5, training saw 1 to 2"]),
        ({"values": [[1, 0, 9]]}, [r"u is 0 to 9, training saw -4 to 3"]),
        (
            {"points": [[0, 0], [0, 5.0]]},
            [r"the mesh spans [0, 0] x [0, 5], training spanned [-1, 1] x [0, 2]"],
        ),
        (
            {"spacing": 0.7},
            ["the mean spacing of points is 0.7, the coarsest in training was 0.4"],
        ),
        ({"spacing": 1e-3}, []),
        ({"values": [[2 * (1 + 1e-9), 0, 0]]}, []),
    ],
)
def test_what_leaves_the_envelope_is_said_with_numbers(change, lines):
    normal = {"values": [[1.5, 0, 0]], "points": [[0, 1.0]], "spacing": 0.5}
    sample = {key: np.array(value) for key, value in {**normal, **change}.items()}
    found = envelope().outside(
        INPUTS, sample["values"], sample["points"], float(sample["spacing"])
    )
    assert found == lines


def test_an_envelope_without_inputs():
    found = envelope(())
    assert found.inputs == {}
    assert found.outside((), np.empty((1, 0)), np.array([[0, 1.0]]), 0.1) == []


# --- similarity ---------------------------------------------------------------------

LOADED = [Field("load"), Field("young"), Field("wind", (2,))]
TARGETS = [Field("u", (2,)), Field("s"), Field("p")]


@pytest.mark.parametrize(
    ("text", "powers"),
    [
        ("load", {"load": 1}),
        ("load / young", {"load": 1, "young": -1}),
        (" a_1^2*b ^ -0.5/ c^3 ", {"a_1": 2, "b": -0.5, "c": -3}),
        ("a * a / a^3", {"a": -1}),
    ],
)
def test_products_as_text(text, powers):
    assert Similarity.parsed({"u": text}).powers == {"u": powers}


@pytest.mark.parametrize("text", ["", "a + b", "a //b", "2 * a", "a^b", "a b", "*a"])
def test_what_is_no_product_is_refused(text):
    with pytest.raises(ValueError, match="similarity: expected names joined"):
        Similarity.parsed({"u": text})


def test_factors_are_the_products_at_every_point():
    values = np.array([[2.0, 4, 0, 0], [3, 0.5, 1, -1]])
    similarity = Similarity({"u": {"load": 1, "young": -2}, "p": {"young": 0.5}})
    found = similarity.factors(LOADED, TARGETS, values)
    expected = [[2 / 16, 2 / 16, 1, 2], [3 / 0.25, 3 / 0.25, 1, 0.5**0.5]]
    assert_allclose(found, expected, rtol=1e-14)
    assert_allclose(Similarity().factors(LOADED, TARGETS, values), np.ones((2, 4)))


def test_what_cannot_scale_is_said():
    with pytest.raises(FieldError, match="no target 'w'; targets are u, s, p"):
        Similarity({"w": {"load": 1}}).check(LOADED, TARGETS)
    for name in ("wind", "mass"):
        with pytest.raises(FieldError, match=f"no scalar input '{name}'; there are"):
            Similarity({"u": {name: 1}}).check(LOADED, TARGETS)
    values = np.array([[1.0, 1, 0, 0], [-2, 1, 0, 0], [0, 1, 0, 0]])
    with pytest.raises(FieldError, match=r"a: 'load' scales 's' .* -2 at 2 sites"):
        Similarity({"s": {"load": 1}}).factors(LOADED, TARGETS, values, "a")


# --- batches by nodes ---------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("budget", [1, 100, 1000, 10**6])
def test_every_sample_once_and_within_the_budget(seed, budget):
    sizes = np.random.default_rng(3).integers(10, 300, 50).tolist()
    batches = node_batches(sizes, budget, seed)
    assert sorted(i for batch in batches for i in batch) == list(range(50))
    for batch in batches:
        assert sum(sizes[i] for i in batch) <= budget or len(batch) == 1
    for before, after in pairwise(batches):
        # cut only where the next one did not fit
        assert sum(sizes[i] for i in before) + sizes[after[0]] > budget


def test_the_order_is_that_of_the_seed():
    sizes = [10] * 30
    assert node_batches(sizes, 50) == [list(range(i, i + 5)) for i in range(0, 30, 5)]
    assert node_batches(sizes, 50, 1) == node_batches(sizes, 50, 1)
    assert node_batches(sizes, 50, 1) != node_batches(sizes, 50, 2)
    state = torch.get_rng_state()
    node_batches(sizes, 50, 1)
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_of_nothing_and_bad_budgets():
    assert node_batches([], 10) == []
    with pytest.raises(ValueError, match="budget: expected a positive number"):
        node_batches([1], 0)


# --- samples ------------------------------------------------------------------------


def samples(with_gradient: bool = False) -> list[Sample]:
    torch.manual_seed(0)
    network = GNO(2, 1, 2, radius=0.8, levels=2, width=6, blocks=1, rank=2, hidden=4)
    made = []
    for mesh in [generation.square(2), generation.disk(2), generation.square(3)]:
        domain = from_mesh(mesh)
        made.append(
            Sample(
                pos=domain.points.float(),
                weights=domain.weights.float(),
                x=domain.points.float() ** 2,
                y=domain.points.float()[:, :1],
                factor=1 + domain.points.float()[:, 1:],
                plan=network.prepare(domain, domain).to(torch.float32),
            )
        )
        if with_gradient:
            made[-1].gradient = gradient(mesh).to(torch.float32)
    return made


TENSORS = ("pos", "weights", "x", "y", "factor")


def test_batch_then_unbatch_is_the_identity():
    made = samples()
    batch = GraphBatch.from_data_list(made)
    assert batch.num_graphs == 3
    assert batch.batch.tolist() == [i for i, s in enumerate(made) for _ in s.x]
    for one, again in zip(made, batch.to_data_list(), strict=True):
        assert isinstance(again, Sample)
        for name in TENSORS:
            assert torch.equal(again[name], one[name]), name
        assert again.plan is one.plan


def test_every_attribute_survives_under_any_name():
    """torch_geometric shifts what is called `index` or `face`; no value here is one."""
    made = samples()
    for sample in made:
        sample.face_index = torch.arange(len(sample.x))
    again = GraphBatch.from_data_list(made).to_data_list()
    for one, other in zip(made, again, strict=True):
        assert torch.equal(other.face_index, one.face_index)


def test_a_loader_of_torch_geometric_takes_samples():
    made = samples()
    loader = DataLoader(made, batch_size=2, shuffle=False)  # type: ignore[arg-type]
    batches = list(loader)
    assert [batch.num_graphs for batch in batches] == [2, 1]
    assert torch.equal(batches[0].x, torch.cat([made[0].x, made[1].x]))
    assert batches[0].ptr.tolist() == [
        0,
        len(made[0].x),
        len(made[0].x) + len(made[1].x),
    ]


def test_collated_is_what_torch_geometric_batches():
    made = samples()
    ours, theirs = collate(made), GraphBatch.from_data_list(made)
    assert torch.equal(ours.domain.points, theirs.pos)
    assert torch.equal(ours.domain.weights, theirs.weights)
    assert torch.equal(ours.domain.ptr, theirs.ptr)
    assert torch.equal(ours.x, theirs.x)
    assert torch.equal(ours.y, theirs.y)
    assert torch.equal(ours.factor, theirs.factor)
    assert ours.gradient is None


def test_some_samples_with_a_gradient_and_some_without_are_refused():
    with pytest.raises(ValueError, match="2 of 3 samples have a gradient"):
        collate([*samples(True)[:2], samples()[0]])


def test_what_cannot_be_collated_is_said():
    made = samples()
    del made[1].y
    with pytest.raises(ValueError, match="no targets"):
        collate(made)


def test_a_sample_moves_as_a_whole(monkeypatch):
    """Also what torch_geometric knows nothing of: the plan follows the tensors."""
    sample, moved = samples()[0], []
    monkeypatch.setattr(Plan, "to", lambda self, *a, **k: moved.append(k) or self)
    sample.to("cpu")
    assert [str(k["device"]) for k in moved] == ["cpu"]


def tensors(value) -> list[torch.Tensor]:
    """Every tensor in a plan, in a fixed order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple):
        return [t for item in value for t in tensors(item)]
    if isinstance(value, Plan | Graph | Discretization):
        return [t for item in vars(value).values() for t in tensors(item)]
    return []


def test_collated_plans_and_gradients_are_packed():
    made = samples(with_gradient=True)
    batch = collate(made)
    assert isinstance(batch.plan, Plan)
    assert batch.gradient is not None
    assert len(batch.gradient.sites) == sum(len(s.gradient.sites) for s in made)
    found = batch.gradient(batch.x)
    parts = [sample.gradient(sample.x) for sample in made]
    assert_allclose(found, torch.cat(parts), atol=1e-6)
    again = batch.to("cpu")
    for one, two in zip(tensors(batch.plan), tensors(again.plan), strict=True):
        assert torch.equal(one, two)


def test_a_plan_that_is_cast_stays_where_it_is():
    """Only a type is named, so no number may move: `meta` stands for an accelerator."""

    @dataclass(frozen=True, eq=False)
    class Pair(Plan):
        number: torch.Tensor
        value: torch.Tensor

    plan = Pair(
        torch.zeros(3, dtype=torch.int64, device="meta"), torch.zeros(3, device="meta")
    )
    cast = plan.to(torch.float64)
    assert cast.number.device.type == cast.value.device.type == "meta"
    assert cast.number.dtype == torch.int64
    assert cast.value.dtype == torch.float64
    assert plan.to(device="meta", dtype=torch.float64).number.dtype == torch.int64
