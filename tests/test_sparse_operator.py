"""Sparse operators: products, adjoints, masks, labels, packing and files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isofield.discretization import Discretization
from isofield.generation import square
from isofield.graph import Graph
from isofield.operators import (
    SparseOperator,
    TransferError,
    conservative,
    load_operator,
    majority,
    nearest,
    save_operator,
)
from isofield.operators.mass import Mass
from isofield.plan import pack_plans


def spd(n: int, generator: torch.Generator) -> tuple[Mass, torch.Tensor]:
    """A mass matrix of n points on a closed line of random cells, and it dense."""
    h = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
    dense = torch.diag((h + h.roll(1)) / 3)
    for i in range(n):
        j = (i + 1) % n
        dense[i, j] = dense[j, i] = h[i] / 6
    target, source = dense.nonzero(as_tuple=True)
    return Mass.of(
        Graph(torch.stack([source, target]), n, n), dense[target, source]
    ), dense


def cloud(n: int, generator: torch.Generator) -> Discretization:
    points = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    return Discretization(
        points, torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
    )


def example(
    seed: int = 0, m: int = 7, n: int = 9, after: bool = False, before: bool = False
) -> tuple[SparseOperator, torch.Tensor]:
    """A random operator and its dense matrix."""
    generator = torch.Generator().manual_seed(seed)
    entries = torch.rand(m, n, generator=generator, dtype=torch.float64)
    entries = torch.where(entries > 0.6, entries, 0.0)
    target, source = entries.nonzero(as_tuple=True)
    dense = entries
    p, q = spd(m, generator), spd(n, generator)
    if after:
        dense = torch.linalg.solve(p[1], dense)
    if before:
        dense = dense @ torch.linalg.inv(q[1])
    operator = SparseOperator(
        Graph(torch.stack([source, target]), n, m),
        entries[target, source],
        cloud(n, generator),
        cloud(m, generator),
        "example",
        torch.zeros(m, dtype=torch.bool),
        {"outside": torch.zeros(m, dtype=torch.float64)},
        p[0] if after else None,
        q[0] if before else None,
    )
    return operator, dense


MASSES = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize(("after", "before"), MASSES)
@pytest.mark.parametrize("trailing", [(), (3,), (2, 2)])
def test_fields_of_any_rank(after, before, trailing):
    operator, dense = example(after=after, before=before)
    u = torch.randn(9, *trailing, dtype=torch.float64)
    expected = torch.tensordot(dense, u, 1)
    torch.testing.assert_close(operator(u), expected, rtol=1e-12, atol=1e-13)
    array = operator(u.numpy())
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, operator(u).numpy())
    assert operator(u.float()).dtype == torch.float32


@pytest.mark.parametrize(("after", "before"), MASSES)
def test_adjoint_in_the_weighted_inner_products(after, before):
    operator, _ = example(after=after, before=before)
    adjoint = operator.adjoint()
    u, v = torch.randn(9, 2).double(), torch.randn(7, 2).double()
    left = operator.target.inner(operator(u), v)
    right = operator.source.inner(u, adjoint(v))
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13)
    again = adjoint.adjoint()
    torch.testing.assert_close(again(u), operator(u), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("after", "before"), MASSES)
def test_differentiable_twice_in_the_field(after, before):
    operator, _ = example(after=after, before=before)
    u = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operator.apply, u)
    assert torch.autograd.gradgradcheck(lambda x: operator.apply(x) ** 3, u)


@pytest.mark.parametrize(("after", "before"), MASSES)
def test_packed_operators_are_the_operators(after, before):
    parts = [example(seed, m, 9 - m, after, before)[0] for seed, m in ((0, 4), (1, 5))]
    u = [torch.randn(part.shape[1], 3).double() for part in parts]
    packed = pack_plans(parts)(torch.cat(u))
    alone = torch.cat([part(x) for part, x in zip(parts, u, strict=True)])
    torch.testing.assert_close(packed, alone, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("after", "before"), MASSES)
def test_a_file_holds_the_whole_operator(tmp_path, after, before):
    operator, _ = example(after=after, before=before)
    save_operator(tmp_path / "a.safetensors", operator)
    loaded = load_operator(tmp_path / "a.safetensors")
    u, v = torch.randn(9).double(), torch.randn(7).double()
    assert torch.equal(loaded(u), operator(u))
    assert torch.equal(loaded.adjoint()(v), operator.adjoint()(v))
    assert torch.equal(loaded.facts["outside"], operator.facts["outside"])
    assert loaded.method == "example"


@pytest.mark.parametrize("content", [None, b"", b"noise" * 100])
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "a.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TransferError, match=r"a\.safetensors"):
        load_operator(path)


def test_a_disk_that_is_full_leaves_no_file(tmp_path, monkeypatch):
    import safetensors.torch

    def failing(*_):
        raise safetensors.SafetensorError("no space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", failing)
    path = tmp_path / "a.safetensors"
    with pytest.raises(TransferError, match=r"not written .no space left on device"):
        save_operator(path, example()[0])
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_named_or_left_out():
    operator, dense = example()
    u = torch.ones(9, 2, dtype=torch.float64)
    u[4, 1] = torch.nan
    with pytest.raises(TransferError, match=r"1 of 9 .* number 4; pass masked=True"):
        operator(u)
    v = operator(u, masked=True)
    torch.testing.assert_close(v[:, 0], dense.sum(1))
    others = dense.sum(1) > dense[:, 4]
    expected = torch.where(others, dense.sum(1), torch.nan)
    torch.testing.assert_close(v[:, 1], expected, equal_nan=True)
    alone = torch.full((9,), torch.nan, dtype=torch.float64)
    alone[4] = 2.0
    expected = torch.where(dense[:, 4] > 0, 2 * dense.sum(1), torch.nan)
    torch.testing.assert_close(operator(alone, masked=True), expected, equal_nan=True)


def test_missing_targets_are_nan_and_take_no_part_in_the_adjoint():
    operator, _ = example()
    from dataclasses import replace

    missing = torch.zeros(7, dtype=torch.bool)
    missing[2] = True
    partial = replace(operator, missing=missing)
    v = partial(torch.ones(9).double())
    assert torch.equal(v.isnan(), missing)
    weight = torch.zeros(7, dtype=torch.float64)
    weight[2] = 1.0
    assert not partial.adjoint()(weight).any()
    assert operator.adjoint()(weight).any()


def test_labels_are_picked_or_counted_never_averaged():
    operator, dense = example()
    labels = torch.tensor([5, 5, -3, -3, 5, 8, 8, 8, -3])
    with pytest.raises(TransferError, match=r"labels, which example would average"):
        operator(labels)
    expected = []
    for row in dense:
        totals = {k: float(row[labels == k].sum()) for k in (-3, 5, 8)}
        expected.append(max(totals, key=lambda k: totals[k]))
    assert majority(operator, labels).tolist() == expected
    assert majority(operator, labels.numpy()).tolist() == expected
    edges = torch.tensor([[3, 0, 1], [0, 1, 2]])
    picking = SparseOperator(
        Graph(edges, 4, 3),
        torch.ones(3).double(),
        None,
        None,
        "nearest",
        torch.zeros(3, dtype=torch.bool),
    )
    assert picking(np.array([7, 8, 9, 6])).tolist() == [6, 7, 8]
    with pytest.raises(TransferError, match="no measure"):
        picking.adjoint()


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_unsigned_labels_are_those_of_signed_ones(dtype):
    """The smallest label wins among equals, in the order of the unsigned numbers."""
    mesh = square(6, jitter=0.2)
    over = conservative(mesh, square(4))
    near = nearest(mesh, square(4), source_at="cells", target_at="cells")
    labels = torch.randint(0, 4, (72,), generator=torch.Generator().manual_seed(0))
    high = 2 ** (8 * dtype.itemsize - 1)
    names = np.array([0, 1, high, high + 1], dtype=str(dtype).removeprefix("torch."))
    for carried in (lambda x: majority(over, x), lambda x: near(x)):
        found = carried(names[labels.numpy()])
        np.testing.assert_array_equal(found, names[carried(labels).numpy()])


def test_wrong_lengths_are_named():
    operator, _ = example()
    with pytest.raises(TransferError, match=r"N = 9 source values, got \(7, 2\)"):
        operator(torch.ones(7, 2))


def test_a_mass_matrix_that_is_none_says_so():
    edges = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]])
    indefinite = Mass.of(
        Graph(edges, 2, 2), torch.tensor([1.0, 2.0, 2.0, 1.0]).double()
    )
    with pytest.raises(ArithmeticError, match="not solved"):
        indefinite.solve(torch.tensor([[1.0], [-1.0]]).double())
