"""A network with its scales: what it takes from the cases, and what no unit changes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from isofield import Mesh, from_mesh, generation
from isofield.data import Field, FieldError
from isofield.mesh import MeshError
from isofield.surrogate import ExtrapolationWarning, Surrogate


def tensors(value) -> list[torch.Tensor]:
    """Every tensor in a plan, in a fixed order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple):
        return [t for item in value for t in tensors(item)]
    return [t for v in getattr(value, "__dict__", {}).values() for t in tensors(v)]


# --- what comes from the cases ------------------------------------------------------


def test_fields_frame_and_arguments(blobs, tiny):
    model = tiny(blobs)
    assert model.inputs == (Field("load", (), "kN"), Field("f"))
    assert model.targets == (Field("u", (2,), "mm"), Field("s"))
    points = np.concatenate([case.points for case in blobs])
    assert_allclose(model.frame.origin, points.min(0))
    assert model.frame.length == pytest.approx(np.ptp(points, axis=0).max())
    assert model.frame.measure_dimension == 2
    assert model.arguments["architecture"] == "GNO"
    assert model.arguments["in_channels"] == 2
    assert model.arguments["out_channels"] == 3
    assert model.arguments["dimension"] == 2


def test_the_radius_is_three_spacings_of_the_coarsest_case(blobs, tiny):
    model = tiny(blobs)
    coarsest = max(
        (float(from_mesh(case).measure()) / len(case.points)) ** 0.5 for case in blobs
    )
    assert model.arguments["radius"] == pytest.approx(3 * coarsest / model.frame.length)
    assert model.envelope.spacing[1] == pytest.approx(coarsest)
    assert tiny(blobs, radius=0.7).arguments["radius"] == 0.7


def test_a_radius_below_the_spacing_is_warned_of(blobs, tiny):
    model = tiny(blobs)
    spacing = model.envelope.spacing[1] / model.frame.length
    with pytest.warns(
        UserWarning, match=r"less than the mean spacing .* see no others"
    ):
        tiny(blobs, radius=0.99 * spacing)
    tiny(blobs, radius=1.01 * spacing)


def test_the_envelope_is_that_of_all_cases(blobs, tiny):
    envelope = tiny(blobs).envelope
    assert envelope.inputs["load"] == (1.0, 1.875)
    f = np.concatenate([case.point_data["f"] for case in blobs])
    assert envelope.inputs["f"] == (f.min(), f.max())
    assert envelope.points == (37, 91)


def test_a_unit_is_taken_from_the_first_case_that_has_one(blobs, tiny):
    bare = [
        replace(case, field_data={"load": case.field_data["load"]}) for case in blobs
    ]
    mixed = [*bare[:3], blobs[3], *bare[4:]]
    assert [f.unit for f in tiny(mixed).inputs] == ["kN", ""]
    assert [f.unit for f in tiny(mixed).targets] == ["mm", ""]
    assert [f.unit for f in tiny(bare).targets] == ["", ""]


def test_samples_are_normalized_in_the_measure(blobs, tiny):
    model = tiny(blobs)
    samples = [model.sample(case) for case in blobs]
    for name in ("x", "y"):
        # the points of the mesh are the first, those of split cells follow
        values = [s[name][: len(s.pos)] for s in samples]
        pairs = list(zip(samples, values, strict=True))
        means = torch.stack([s.domain.mean(v)[0] for s, v in pairs])
        squares = torch.stack([s.domain.mean(v.square())[0] for s, v in pairs])
        size = means.shape[1]
        assert_allclose(means.mean(0), np.zeros(size), atol=2e-6)
        assert_allclose(squares.mean(0)[-1], 1, rtol=1e-5)
    assert_allclose(squares.mean(0)[:2].mean(), 1, rtol=1e-5)  # u: over both components
    assert all(s.pos.min() >= -1e-6 and s.pos.max() <= 1 + 1e-6 for s in samples)


def test_the_seed_decides_the_weights_and_nothing_else(blobs, tiny):
    before = torch.get_rng_state()
    one, same, other = tiny(blobs), tiny(blobs), tiny(blobs, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [
        torch.cat([p.ravel() for p in m.network.parameters()])
        for m in (one, same, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_geometry_alone_is_an_input(blobs, tiny):
    model = tiny(blobs, inputs=())
    sample = model.sample(blobs[0])
    assert sample.x.shape[1] == 0
    assert model.evaluate(sample).shape == (37, 3)


# --- what no unit changes -----------------------------------------------------------


def in_units(mesh: Mesh, length: float, force: float = 1.0) -> Mesh:
    """The same case with other units of length, force, and of the target u."""
    points = length * mesh.points
    data = {**mesh.point_data, "u": 1e-9 * length * mesh.point_data["u"]}
    numbers = {k: v for k, v in mesh.field_data.items() if k == "load"}
    numbers["load"] = force * numbers["load"]
    return replace(mesh, points=points, point_data=data, field_data=numbers)


@pytest.mark.parametrize("at", ["points", "cells"])
@pytest.mark.parametrize("length", [1e-3, 1e3])
def test_metres_and_millimetres_give_the_same_sample(length, at, blobs, tiny):
    cases = [in_units(case, 1.0) for case in blobs[:3]]
    if at == "cells":
        cases = [as_cells(case) for case in cases]
    scaled = [replace(c, points=length * c.points) for c in cases]
    if at == "points":
        scaled = [in_units(case, length, 1e6) for case in blobs[:3]]
    one, other = tiny(cases, at=at), tiny(scaled, at=at)
    gradient = at == "points"
    for case, twin in zip(cases, scaled, strict=True):
        a = one.sample(case, with_gradient=gradient)
        b = other.sample(twin, with_gradient=gradient)
        for name in ("pos", "weights", "x", "y"):
            assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-6)
        for s, t in zip(tensors(a.plan), tensors(b.plan), strict=True):
            assert_allclose(s, t, rtol=1e-5, atol=1e-6)
        if gradient:
            for s, t in zip(tensors(a.gradient), tensors(b.gradient), strict=True):
                assert_allclose(s, t, rtol=1e-5, atol=1e-5)
        assert_allclose(
            one.network(a.x, a.plan).detach(),
            other.network(b.x, b.plan).detach(),
            atol=1e-5,
        )


def on_sphere(n: int, unit: float = 1.0) -> Mesh:
    mesh = generation.icosphere(n)
    x, y, z = mesh.points.T
    return Mesh(unit * mesh.points, mesh.cells, {"f": x * y, "s": z + x})


def test_a_surface_in_other_units_is_the_same_surface(tiny):
    """Its weights are areas, though its points have three coordinates."""
    names = {"inputs": ["f"], "targets": ["s"]}
    one = tiny([on_sphere(2), on_sphere(3)], **names)
    other = tiny([on_sphere(2, 1e3), on_sphere(3, 1e3)], **names)
    assert one.frame.measure_dimension == 2
    assert one.arguments["radius"] == pytest.approx(other.arguments["radius"], rel=1e-9)
    assert one.arguments["radius"] == pytest.approx(
        1.5 * (4 * np.pi / 42) ** 0.5, rel=0.05
    )
    a, b = one.sample(on_sphere(3)), other.sample(on_sphere(3, 1e3))
    assert_allclose(a.weights, b.weights, rtol=1e-6)
    assert_allclose(float(a.weights.sum()), np.pi, rtol=0.07)
    for s, t in zip(tensors(a.plan), tensors(b.plan), strict=True):
        assert_allclose(s, t, rtol=1e-4, atol=1e-5)
    assert_allclose(one.evaluate(a), other.evaluate(b), atol=1e-5)


# --- other sites and meshes ---------------------------------------------------------


def as_cells(mesh: Mesh, with_lines: bool = False) -> Mesh:
    """The fields at the cells, the lines of the rim first if wanted."""
    cells = dict(mesh.cells)
    if with_lines:
        cells = {"line": mesh.cells["triangle"][:3, :2], **cells}
    parts = {
        name: [u[nodes].mean(1) for nodes in cells.values()]
        for name, u in mesh.point_data.items()
    }
    data = {name: np.concatenate(part) for name, part in parts.items()}
    return Mesh(mesh.points, cells, {}, data, dict(mesh.field_data))


def test_fields_at_cells(blobs, tiny):
    cases = [as_cells(case, with_lines=case is blobs[0]) for case in blobs[:3]]
    model = tiny(cases, at="cells")
    samples = [model.sample(case) for case in cases]
    for sample, case in zip(samples, blobs, strict=False):
        assert len(sample.x) == len(sample.y) == len(case.cells["triangle"])
        assert_allclose(
            sample.weights.sum(),
            float(from_mesh(case).measure()) / model.frame.length**2,
            rtol=1e-5,
        )
    again = tiny([as_cells(case) for case in blobs[:3]], at="cells")
    assert_allclose(samples[0].y, again.sample(as_cells(blobs[0])).y, atol=1e-5)


def test_clouds_among_the_cases(blobs, tiny):
    """Without cells the weights are estimated; the rest is the same."""
    clouds = [replace(case, cells={}) for case in blobs[:3]]
    with_cells, bare = tiny(blobs[:3]), tiny(clouds)
    assert bare.frame == with_cells.frame
    assert bare.arguments["radius"] == pytest.approx(
        with_cells.arguments["radius"], rel=0.1
    )
    sample = with_cells.sample(clouds[0])
    assert_allclose(sample.pos, with_cells.sample(blobs[0]).pos)
    assert_allclose(
        float(sample.weights.sum()),
        float(with_cells.sample(blobs[0]).weights.sum()),
        rtol=0.05,
    )
    mixed = tiny([clouds[0], *blobs[1:3]])
    assert mixed.frame == with_cells.frame


def test_a_cloud_on_a_surface_gets_areas(tiny):
    model = tiny([on_sphere(3), on_sphere(4)], ["f"], ["s"])
    cloud = replace(on_sphere(4), cells={})
    area = float(model.sample(cloud).weights.sum())
    assert_allclose(area, np.pi, rtol=0.05)  # 4 pi over the squared length, 2 * 2


def test_finer_and_graded_meshes_give_nearby_outputs(tiny, loaded):
    """An untrained network is already one operator on all meshes of a shape."""
    square = partial(generation.square, cell="triangle")
    model = tiny([loaded(square(4), 1.0), loaded(square(8), 2.0)])
    points = np.random.default_rng(0).uniform(0, 1, (40, 2))
    found = [
        model.evaluate(model.sample(loaded(mesh, 1.5), at_points=points))
        for mesh in (square(12), square(24), square(24, grading=3.0))
    ]
    size = (found[1] - found[1].mean(0)).abs().max()
    assert (found[0] - found[1]).abs().max() < 0.05 * size
    assert (found[2] - found[1]).abs().max() < 0.05 * size


# --- values, queries, gradients -----------------------------------------------------


def test_given_values_are_those_of_the_mesh(blobs, tiny):
    model = tiny(blobs)
    bare = replace(blobs[2], field_data={})
    one = model.sample(blobs[2])
    other = model.sample(bare, values={"load": 1.25})
    assert torch.equal(one.x, other.x)
    with pytest.raises(FieldError, match="plate: no field 'load' at points"):
        model.sample(bare, where="plate")


def test_a_value_for_no_input_is_refused(blobs, tiny):
    with pytest.raises(FieldError, match=r"'laod' is no input .* are load, f"):
        tiny(blobs).sample(blobs[0], values={"laod": 1.0})


def test_targets_and_gradients_are_prepared_where_wanted(blobs, tiny):
    model = tiny(blobs)
    bare = replace(blobs[0], point_data={"f": blobs[0].point_data["f"]})
    sample = model.sample(bare, with_targets=False)
    assert "y" not in sample
    assert "gradient" not in sample
    with pytest.raises(FieldError, match="no field 'u'"):
        model.sample(bare)
    steep = model.sample(blobs[0], with_gradient=True)
    x = steep.gradient(steep.pos)  # of the coordinates themselves: the identity
    assert_allclose(x, np.broadcast_to(np.eye(2), x.shape), atol=1e-5)
    cloud = replace(blobs[0], cells={})
    with pytest.raises(MeshError, match="plate: a gradient needs cells"):
        model.sample(cloud, with_gradient=True, where="plate")


def test_outputs_at_the_mesh_points_are_those_of_the_mesh(blobs, tiny):
    model = tiny(blobs)
    case = blobs[3]
    whole = model.evaluate(model.sample(case))
    some = np.arange(0, len(case.points), 5)
    found = model.evaluate(model.sample(case, at_points=case.points[some]))
    assert_allclose(found, whole[some], rtol=1e-4, atol=1e-5)
    assert whole.dtype == torch.float64


@pytest.mark.parametrize(
    "points", [[0.0, 1.0], [[0.0]], [[0.0, 1, 2]], [[0.0, float("nan")]]]
)
def test_bad_queries(points, blobs, tiny):
    with pytest.raises(ValueError, match=r"points: expected finite numbers \(M, 2\)"):
        tiny(blobs).sample(blobs[0], at_points=np.array(points))


def test_varying_scales_are_not_known_away_from_the_mesh(blobs, tiny, loaded):
    model = tiny(blobs, similarity={"u": "load"})
    points = blobs[0].points[:3]
    assert model.sample(blobs[0], at_points=points).factor.shape == (3, 3)
    load = np.linspace(1, 1.5, len(blobs[0].points))
    varying = blobs[0].with_point_data({"load": load})
    with pytest.raises(FieldError, match="varies over the mesh"):
        model.sample(varying, at_points=points)


def test_similar_cases_have_similar_outputs(blobs, tiny, loaded):
    """u scales with the load, which no network has to learn then."""
    model = tiny(blobs, inputs=("load",), similarity={"u": "load"})
    network = model.network
    u = []
    for load in (1.0, 1.5):
        sample = model.sample(loaded(blobs[0], load))
        sample.x = torch.zeros_like(sample.x)  # the network sees no load
        u.append(model.evaluate(sample))
    assert network is model.network
    assert_allclose(u[1][:, :2], 1.5 * u[0][:, :2], rtol=1e-6)
    assert_allclose(u[1][:, 2], u[0][:, 2], rtol=1e-6)


# --- the envelope -------------------------------------------------------------------


def test_inside_the_envelope_nothing_is_said(blobs, tiny):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny(blobs).sample(blobs[1], check=True)


def test_points_that_the_network_cannot_see_are_counted(blobs, tiny):
    model = tiny(blobs)
    points = np.array([[0.0, 0], [9, 9], [0.1, 0], [-7, 0]])
    with pytest.warns(
        ExtrapolationWarning, match="2 of 4 points, the first is number 1, lie farther"
    ):
        model.sample(blobs[0], at_points=points, check=True)


# --- errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"targets": ()}, ValueError, "targets: expected at least one name"),
        (
            {"at": "nodes"},
            ValueError,
            'at: expected "points" or "cells", got \'nodes\'',
        ),
        ({"architecture": "MLP"}, ValueError, "architecture: expected one of .*'GNO'"),
        ({"targets": ("w",)}, FieldError, "case 0: no field 'w'"),
        ({"at": "cells"}, FieldError, "case 0: no field 'f' at cells, but one at"),
        ({"similarity": {"w": "load"}}, FieldError, "similarity: no target 'w'"),
        ({"similarity": {"u": "f"}}, FieldError, "case .: 'f' scales 'u' and must be"),
        ({"names": ["a"]}, ValueError, "names: expected 8, got 1"),
    ],
)
def test_what_does_not_fit_is_said(change, error, message, blobs, tiny):
    with pytest.raises(error, match=message):
        tiny(blobs, **change)


def test_no_cases():
    with pytest.raises(ValueError, match="expected at least one case"):
        Surrogate.for_cases([], [], ["u"])


def test_the_bad_case_is_named(blobs, tiny):
    names = ["a.vtu", "b.vtu"]
    wrong = blobs[1].with_point_data({"u": np.full((61, 2), np.nan)})
    with pytest.raises(FieldError, match=r"b.vtu: field 'u' is not finite at 61 of 61"):
        tiny([blobs[0], wrong], names=names)
    orphan = Mesh(
        np.concatenate([blobs[1].points, [[9, 9]]]),
        blobs[1].cells,
        {"f": np.ones(62), "u": np.ones((62, 2)), "s": np.ones(62)},
        field_data={"load": 1.0},
    )
    with pytest.raises(
        MeshError, match=r"b.vtu: 1 of 62 points, the first is number 61"
    ):
        tiny([blobs[0], orphan], names=names)


def test_meshes_of_another_dimension_are_refused(blobs, tiny):
    model = tiny(blobs)
    sphere = on_sphere(2)
    with pytest.raises(FieldError, match=r"ball: has points in 3 dimensions, .* in 2"):
        model.sample(sphere, where="ball")
    surface = tiny([sphere], ["f"], ["s"])
    box = generation.box(2)
    body = box.with_point_data({"f": box.points[:, 0], "s": box.points[:, 1]})
    with pytest.raises(
        FieldError, match=r"box: has cells of dimension 3, .* dimension 2"
    ):
        surface.sample(body, where="box")
    with pytest.raises(
        FieldError, match="case 1: has cells of dimension 3, expected 2"
    ):
        tiny([sphere, body], ["f"], ["s"])
