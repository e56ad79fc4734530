"""Clouds that are drawn from meshes, and trainings that see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest

from isofield import Mesh
from isofield.data import FieldError, RandomClouds, random_cloud
from isofield.data.clouds import clouds_of
from isofield.generation import box, disk, icosphere, square
from isofield.train import Schedule, TrainingError, fit

SCHEDULE = Schedule(epochs=2)


def linear(mesh: Mesh) -> Mesh:
    slope = np.arange(1, mesh.points.shape[1] + 1)
    return mesh.with_point_data({"f": 1 + mesh.points @ slope, "x": mesh.points})


@pytest.mark.parametrize(
    "mesh",
    [disk(6, grading=5.0), square(4, cell="quad"), box(3, cell="hexahedron")],
    ids=["triangles", "quads", "hexahedra"],
)
def test_linear_fields_are_kept(mesh) -> None:
    cloud = random_cloud(linear(mesh), 200, seed=1)
    assert cloud.dimension <= 0
    assert_allclose(cloud.point_data["x"], cloud.points, atol=1e-13)
    assert_allclose(cloud.point_data["f"], linear(cloud).point_data["f"], atol=1e-12)
    assert len(np.unique(cloud.points, axis=0)) == 200


def test_points_are_even_in_the_measure_whatever_the_grading() -> None:
    """On the square every coordinate is uniform: Kolmogorov and Smirnov agree."""
    cloud = random_cloud(square(8, grading=20.0), 4000, seed=2)
    for x in (cloud.points - cloud.points.min(0)).T / np.ptp(square(8).points):
        assert kstest(x, "uniform").pvalue > 1e-3
    other = random_cloud(square(8, grading=20.0), 4000, seed=3)
    assert not np.allclose(other.points, cloud.points)


def test_points_of_a_surface_lie_on_its_cells() -> None:
    mesh = icosphere(2)
    radius = np.linalg.norm(random_cloud(mesh, 500).points, axis=1)
    middles = np.linalg.norm(mesh.points[mesh.cells["triangle"]].mean(1), axis=1)
    assert middles.min() - 1e-12 <= radius.min() < radius.max() <= 1 + 1e-12


def test_clouds_come_from_the_finer_half_of_the_meshes() -> None:
    cases = [linear(disk(n)) for n in (3, 4, 8, 9)]
    names = ["a", "b", "c", "d"]
    clouds, found = clouds_of(cases, names, RandomClouds(share=2.5))
    assert len(clouds) == len(found) == 10
    assert {name.split(",")[0] for name in found} == {"c", "d"}
    counts = [len(cloud.points) for cloud in clouds]
    assert len(cases[0].points) <= min(counts) < max(counts) <= len(cases[3].points)
    again = clouds_of(cases, names, RandomClouds(share=2.5))[0]
    assert_allclose(again[4].points, clouds[4].points, rtol=0, atol=0)


def test_a_training_sees_its_clouds(blobs, tiny) -> None:
    model, other = tiny(blobs), tiny(blobs)
    fit(model, blobs, schedule=SCHEDULE, progress=False, clouds=RandomClouds(0.5))
    fit(other, blobs, schedule=SCHEDULE, progress=False)
    weights = [next(m.network.parameters()).detach().numpy() for m in (model, other)]
    assert not np.allclose(*weights)


def test_clouds_on_which_a_target_vanishes_are_left_out_by_name(tiny) -> None:
    cases = []
    for n in (4, 16):
        mesh = disk(n)
        u = np.zeros(len(mesh.points))
        u[0] = 1.0
        data = {"f": mesh.points[:, 0], "u": u}
        cases.append(mesh.with_point_data(data))
    model = tiny(cases, inputs=("f",), targets=("u",))
    with pytest.warns(
        UserWarning, match=r"left out: case 1, random cloud \d.* is zero"
    ):
        fit(
            model,
            cases,
            schedule=SCHEDULE,
            progress=False,
            clouds=RandomClouds(share=4.0),
        )


def test_interrupted_with_clouds_and_gone_on_without_is_an_error(
    blobs, tiny, tmp_path
) -> None:
    options = {"schedule": SCHEDULE, "progress": False, "directory": tmp_path}
    fit(tiny(blobs), blobs, clouds=RandomClouds(), **options)
    with pytest.raises(TrainingError, match="of another model, schedule or cases"):
        fit(tiny(blobs), blobs, **options)


def test_what_has_no_cells_or_needs_some(blobs, tiny) -> None:
    bare = [replace(blob, cells={}, facet_sets={}, cell_sets={}) for blob in blobs[:2]]
    with pytest.raises(FieldError, match="no case has cells from which clouds"):
        clouds_of(bare, ["a", "b"], RandomClouds())
    with pytest.raises(FieldError, match="expected a mesh with cells"):
        random_cloud(bare[0], 10)
    with pytest.raises(ValueError, match="share: expected more than 0, got 0"):
        RandomClouds(share=0)
    with pytest.raises(ValueError, match="clouds: they have no cells"):
        fit(tiny(blobs), blobs, loss="h1", clouds=RandomClouds(), progress=False)
