"""Evenly spaced subsets of clouds, however dense the clouds are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from isofield.discretization import Discretization, from_mesh, pack
from isofield.generation import disk, square
from isofield.remeshing import subsample, subsampled


def sphere(count: int, rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal((count, 3))
    return x / np.linalg.norm(x, axis=1)[:, None]


def spacing(dimension: int, measure: float, n: int) -> float:
    """The distance of neighbours in the densest packing of n points in a measure."""
    share = {1: 1.0, 2: 2 / 3**0.5, 3: 2**0.5}[dimension]
    return (share * measure / n) ** (1 / dimension)


def distances(chosen: np.ndarray) -> np.ndarray:
    """(n,) to the nearest other point."""
    return cKDTree(chosen).query(chosen, 2)[0][:, 1]


RNG = np.random.default_rng(7)
CLOUDS = {
    "line": (RNG.random((4000, 1)), 100, spacing(1, 1, 100)),
    "plane": (RNG.random((20000, 2)), 300, spacing(2, 1, 300)),
    "space": (RNG.random((20000, 3)), 300, spacing(3, 1, 300)),
    "sphere": (sphere(20000, RNG), 300, spacing(2, 4 * np.pi, 300)),
    "a thousandfold denser in one half": (
        np.concatenate(
            [
                RNG.random((50000, 2)) * [0.5, 1],
                RNG.random((3000, 2)) * [0.5, 1] + [0.5, 0],
            ]
        ),
        150,
        spacing(2, 1, 150),
    ),
    "a lattice": (square(100).points, 200, spacing(2, 1, 200)),
}


@pytest.mark.parametrize("name", list(CLOUDS))
def test_points_are_spread_as_far_as_a_packing_allows(name):
    """No two are nearer than 0.6 of the densest packing's distance, no place of the
    cloud is further than about one distance from one of them."""
    cloud, n, packed = CLOUDS[name]
    numbers = subsample(cloud, n)
    assert numbers.dtype == torch.int64
    assert (numbers.diff() > 0).all()
    chosen = cloud[numbers.numpy()]
    assert len(chosen) == n
    apart = distances(chosen)
    # n points within a domain, its border included, are never further apart than this
    assert 0.58 * packed < apart.min() < 1.1 * packed
    assert 0.7 * packed < np.median(apart) < 0.95 * packed
    assert cKDTree(chosen).query(cloud)[0].max() < 1.1 * packed
    # the counterexample: a random subset keeps the density of the cloud
    rng = np.random.default_rng(0)
    assert distances(rng.permutation(cloud)[:n]).min() < 0.4 * packed


def test_both_halves_get_their_share_whatever_their_density():
    cloud, n, _ = CLOUDS["a thousandfold denser in one half"]
    chosen = cloud[subsample(cloud, n).numpy()]
    assert abs((chosen[:, 0] < 0.5).sum() - n / 2) < 0.06 * n


@pytest.mark.parametrize("name", ["line", "plane", "space", "a lattice"])
def test_the_same_subset_in_any_order(name):
    cloud, n, _ = CLOUDS[name]
    chosen = cloud[subsample(cloud, n).numpy()]
    order = np.random.default_rng(3).permutation(len(cloud))
    again = cloud[order][subsample(cloud[order], n).numpy()]
    assert np.array_equal(
        chosen[np.lexsort(chosen.T)],
        again[np.lexsort(again.T)],
    )


def test_units_origin_and_container_do_not_matter():
    cloud, n, _ = CLOUDS["plane"]
    numbers = subsample(cloud, n)
    assert torch.equal(subsample(1024.0 * cloud, n), numbers)
    assert torch.equal(subsample(torch.tensor(cloud), n), numbers)
    measured = Discretization(torch.tensor(cloud), torch.ones(len(cloud)).double())
    assert torch.equal(subsample(measured, n), numbers)
    moved = cloud[subsample(cloud * 1e-3 + 5.0, n).numpy()]
    assert distances(moved).min() > 0.58 * CLOUDS["plane"][2]


def test_seeds_draw_other_subsets_and_the_same_again():
    cloud, n, packed = CLOUDS["plane"]
    one, other = (subsample(cloud, n, seed=seed) for seed in (1, 2))
    assert torch.equal(subsample(cloud, n, seed=1), one)
    assert len(np.intersect1d(one, other)) < n / 2
    assert distances(cloud[other.numpy()]).min() > 0.58 * packed


def test_points_at_one_place_count_once():
    cloud = RNG.random((50, 2))
    many = np.repeat(cloud, 20, axis=0)
    # the lowest number of each place
    assert np.array_equal(subsample(many, 50), 20 * np.arange(50))
    numbers = subsample(many, 30)
    assert len(np.unique(many[numbers.numpy()], axis=0)) == 30
    with pytest.raises(ValueError, match="expected 1 to 50, the number of different"):
        subsample(many, 51)
    # 0 and -0, and what no box can tell from 0
    rounding = np.array([[0.0], [-0.0], [1e-30], [1e-17], [0.5], [1.0]])
    assert subsample(rounding, 3).tolist() == [0, 4, 5]
    with pytest.raises(ValueError, match="expected 1 to 3"):
        subsample(rounding, 4)
    assert subsample(np.zeros((4, 3)), 1).tolist() == [0]


def test_very_close_pairs_end_and_are_told_apart():
    """A cloud with distances over ten orders of magnitude."""
    cloud = np.concatenate([RNG.random((40, 2)), 0.5 + 1e-10 * RNG.random((40, 2))])
    for n in (1, 2, 40, 79, 80):
        numbers = subsample(cloud, n)
        assert len(numbers.unique()) == n
    # forty-one places are apart: all that lie alone are chosen first
    chosen = subsample(cloud, 41).numpy()
    assert (chosen < 40).sum() >= 39


def test_sparse_places_keep_all_of_their_points():
    lone = np.array([[10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    cloud = np.concatenate([RNG.random((5000, 2)), lone])
    numbers = subsample(cloud, 60)
    assert set(range(5000, 5003)) <= set(numbers.tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_measure_is_kept_to_rounding(dtype):
    rng = np.random.default_rng(5)
    points = torch.tensor(rng.random((4000, 2)), dtype=dtype)
    weights = torch.tensor(rng.random(4000) ** 3 + 1e-6, dtype=dtype)
    few, numbers = subsampled(Discretization(points, weights), 200)
    assert torch.equal(numbers, subsample(points, 200))
    assert torch.equal(few.points, points[numbers])
    assert few.weights.dtype == dtype
    total, kept = weights.double().sum(), few.weights.double().sum()
    rounding = torch.finfo(dtype).eps
    assert abs(kept / total - 1) < 4 * rounding
    # each weight is the sum of those that are nearest: an oracle by brute force
    nearest = torch.cdist(points.double(), few.points.double()).argmin(1)
    sums = torch.zeros(200, dtype=torch.float64).index_add(0, nearest, weights.double())
    assert torch.allclose(few.weights.double(), sums, rtol=4 * rounding, atol=0)


def test_integrals_converge_at_first_order_at_least():
    mesh = disk(60)
    whole = from_mesh(mesh)

    def f(points: torch.Tensor) -> torch.Tensor:
        return torch.exp(points[:, 0]) * torch.cos(2 * points[:, 1])

    exact = float(whole.integrate(f(whole.points)))
    counts, errors = [50, 100, 200, 400, 800], []
    for n in counts:
        each = []
        for seed in range(5):
            few, _ = subsampled(whole, n, seed=seed)
            each.append(float(few.integrate(f(few.points))) - exact)
        errors.append(np.sqrt(np.mean(np.square(each))))
    rate = np.polyfit(np.log(np.sqrt(counts)), np.log(errors), 1)[0]
    assert -4.0 < rate < -1.0
    assert errors[-1] < 0.01 * abs(exact)


def test_bad_input_is_refused():
    cloud = RNG.random((9, 2))
    for wrong, message in (
        (cloud[:, 0], r"expected \(N, d\), d = 1 to 3, got \(9,\)"),
        (RNG.random((9, 4)), r"d = 1 to 3, got \(9, 4\)"),
        (np.where(cloud > 0.9, np.nan, 2.0 * np.inf), "expected finite coordinates"),
    ):
        with pytest.raises(ValueError, match=message):
            subsample(wrong, 3)
    for n in (0, -1, 10):
        with pytest.raises(ValueError, match=f"expected 1 to 9.*got {n}"):
            subsample(cloud, n)
    with pytest.raises(ValueError, match="expected 1 to 0"):
        subsample(np.zeros((0, 2)), 1)
    one = Discretization(torch.tensor(cloud), torch.ones(9).double())
    with pytest.raises(ValueError, match=r"expected one sample, got 2; unpack\(\)"):
        subsample(pack([one, one]), 3)


def test_inputs_are_unchanged():
    cloud = RNG.random((300, 2))
    points, before = torch.tensor(cloud), cloud.copy()
    weights = torch.rand(300, dtype=torch.float64)
    kept = weights.clone()
    subsampled(Discretization(points, weights), 40)
    subsample(cloud, 40)
    assert np.array_equal(cloud, before)
    assert np.array_equal(points.numpy(), before)
    assert torch.equal(weights, kept)
