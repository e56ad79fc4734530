"""Networks of others, to compare with: GINO by its authors, Transolver from its paper,
and point transformers of PyG's layer.

None counts a point by its weight. All answer at the points of their source alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from isofield.discretization import Discretization
from isofield.graph import Graph
from isofield.layers.nearest import nearest
from isofield.layers.operator import Operator
from isofield.plan import Plan


@dataclass(frozen=True, eq=False)
class PointsPlan(Plan):
    """points : those of the source, which are the targets too."""

    points: Discretization


class _Peer(Operator):
    """What they have in common: they answer at their own points."""

    def prepare(self, source: Discretization, target: Discretization) -> PointsPlan:
        """Raises `ValueError` where the targets are not the sources."""
        if not torch.equal(source.points, target.points):
            raise ValueError("this network answers at its own points alone")
        return PointsPlan(source)


def gino() -> Any:
    """The class of the package, with sums over neighbours in one call of torch.

    Without torch-scatter the package loops over points in Python: a step of 8 samples
    of 1,000 points took 4.4 s, with these sums 0.5 s.

    Raises `ModuleNotFoundError` where the package is missing.
    """
    try:
        from neuralop.layers import integral_transform  # type: ignore[import]
        from neuralop.models import GINO  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "GINO needs neuraloperator: pip install 'isofield[benchmark]'"
        ) from error
    integral_transform.segment_csr = segments
    return GINO


def segments(
    src: Tensor, indptr: Tensor, reduction: str, use_scatter: bool = False
) -> Tensor:
    """The sums or means of rows between pointers: (..., E, C) -> (..., M, C)."""
    counts = (indptr[0] if indptr.ndim == 2 else indptr).diff()
    to = torch.repeat_interleave(torch.arange(len(counts), device=src.device), counts)
    out = src.new_zeros(*src.shape[:-2], len(counts), src.shape[-1])
    out = out.index_add(src.ndim - 2, to, src)
    return out / counts.clamp(min=1)[:, None] if reduction == "mean" else out


class Gino(_Peer):
    """GINO of the package neuraloperator (Li et al., 2023, arXiv:2309.00583).

    Its own settings, but for the latent grid (32² in the plane, 16³ in space), half as
    many Fourier modes along each axis, and a radius of 0.06 of the domain's extent (0.1
    in space). Samples that follow one another on the same points are one batch, others
    are passed alone: its batches share a mesh.

    Raises `ModuleNotFoundError` where the package is missing.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        width: int = 64,
        modes: int | None = None,
    ) -> None:
        super().__init__()
        # its kernels multiply the inputs channel by channel, or a single one
        carried = {"fno_in_channels": in_channels} if in_channels > 1 else {}
        size, radius = (32, 0.06) if dimension == 2 else (16, 0.1)
        self.network: nn.Module = gino()(
            in_channels=in_channels,
            out_channels=out_channels,
            gno_coord_dim=dimension,
            in_gno_radius=radius,
            out_gno_radius=radius,
            fno_n_modes=(size // 2 if modes is None else modes,) * dimension,
            fno_hidden_channels=width,
            gno_use_open3d=False,
            gno_use_torch_scatter=False,
            **carried,
        )
        axes = [torch.linspace(0, 1, size)] * dimension
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        self.register_buffer("grid", grid[None], persistent=False)

    def forward(self, u: Tensor, plan: PointsPlan) -> Tensor:
        """(N, C_in) -> (N, C_out), at the points in the unit box."""
        found = []
        for points, values in _by_mesh(u, plan.points):
            places = points[None]
            batch = self.network(places, self.grid, places, x=values)
            found.append(batch.flatten(0, 1))
        return torch.cat(found)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:
        """The weights alone: the package's models add a note that is no tensor."""
        found = super().state_dict(*args, **options)
        return {key: value for key, value in found.items() if torch.is_tensor(value)}


def _by_mesh(u: Tensor, domain: Discretization) -> Iterator[tuple[Tensor, Tensor]]:
    """Points (N, d) and values (B, N, C) of samples in a row on the same points."""
    points: Tensor | None = None
    values: list[Tensor] = []
    for start, stop in pairwise(domain.ptr.tolist()):
        here = domain.points[start:stop]
        if points is not None and not torch.equal(here, points):
            yield points, torch.stack(values)
            values = []
        points = here
        values.append(u[start:stop])
    if points is not None:
        yield points, torch.stack(values)


@dataclass(frozen=True, eq=False)
class NeighboursPlan(PointsPlan):
    """neighbours : from the nearest of each point, itself among them, to it."""

    neighbours: Graph


class PointTransformer(_Peer):
    """Point transformer (Zhao et al., 2021, arXiv:2012.09164) of PyG's
    `PointTransformerConv`: attention channel by channel among nearest neighbours.

    `x_i <- x_i + out sum_j softmax_j(g(q_i - k_j + d_ij)) (v_j + d_ij)`, d a network of
    x_j - x_i, over the 16 nearest as in the paper; norms of the channels before, one
    width and all points throughout, because its pooling asks for compiled packages.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        width: int = 60,
        blocks: int = 4,
        neighbours: int = 16,
    ) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.lift = nn.Sequential(
            nn.Linear(in_channels + dimension, width),
            nn.ReLU(),
            nn.Linear(width, width),
        )
        self.blocks = nn.ModuleList(_Attending(width, dimension) for _ in range(blocks))
        self.project = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, out_channels),
        )

    def prepare(self, source: Discretization, target: Discretization) -> NeighboursPlan:
        """Raises `ValueError` where the targets are not the sources."""
        plan = super().prepare(source, target)
        found = nearest(source, target, self.neighbours)
        return NeighboursPlan(plan.points, found)

    def forward(self, u: Tensor, plan: NeighboursPlan) -> Tensor:
        """(N, C_in) -> (N, C_out), at the points."""
        points = plan.points.points.to(u)
        v = self.lift(torch.cat([points, u], 1))
        for block in self.blocks:
            v = block(v, points, plan.neighbours.edge_index)
        return self.project(v)


class _Attending(nn.Module):
    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        from torch_geometric.nn import PointTransformerConv  # type: ignore[import]

        self.norm = nn.LayerNorm(width)
        self.attention = PointTransformerConv(
            width,
            width,
            pos_nn=_two_layers(dimension, width),
            attn_nn=_two_layers(width, width),
            add_self_loops=False,  # a point is the nearest of its own
        )
        self.out = nn.Linear(width, width)

    def forward(self, v: Tensor, points: Tensor, edges: Tensor) -> Tensor:
        return v + self.out(self.attention(self.norm(v).relu(), points, edges))


def _two_layers(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))


class Transolver(_Peer):
    """Transolver (Wu et al., 2024, arXiv:2402.02366), written from the paper.

    Blocks of attention among slices and a pointwise network, each after a norm of the
    point's channels and beside the identity. A slice is a mean over points that the
    network weighs itself, each point counted once.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dimension: int,
        *,
        width: int = 128,
        blocks: int = 8,
        heads: int = 8,
        slices: int = 64,
    ) -> None:
        super().__init__()
        self.lift = nn.Sequential(
            nn.Linear(in_channels + dimension, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )
        self.blocks = nn.ModuleList(_Block(width, heads, slices) for _ in range(blocks))
        self.project = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, out_channels)
        )
        self.apply(_narrow)
        for block in self.blocks:
            nn.init.orthogonal_(block.attention.assign.weight)  # type: ignore[union-attr]

    def forward(self, u: Tensor, plan: PointsPlan) -> Tensor:
        """(N, C_in) -> (N, C_out), at the points."""
        parts = list(pairwise(plan.points.ptr.tolist()))
        v = self.lift(torch.cat([plan.points.points.to(u), u], 1))
        for block in self.blocks:
            v = block(v, parts)
        return self.project(v)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, slices: int) -> None:
        super().__init__()
        self.attention = _SliceAttention(width, heads, slices)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.pointwise = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, v: Tensor, parts: list[tuple[int, int]]) -> Tensor:
        v = v + self.attention(self.first(v), parts)
        return v + self.pointwise(self.second(v))


class _SliceAttention(nn.Module):
    """`s = softmax(P x / t)`, slices `z_g = sum s_ig y_i / sum s_ig`, attention among
    the z of each sample, and back: `sum_g s_ig z_g`; for each head with its own t."""

    def __init__(self, width: int, heads: int, slices: int) -> None:
        super().__init__()
        self.heads, size = heads, width // heads
        self.where, self.what = nn.Linear(width, width), nn.Linear(width, width)
        self.assign = nn.Linear(size, slices)
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), 0.5))
        self.queries, self.keys, self.values = (
            nn.Linear(size, size, bias=False) for _ in range(3)
        )
        self.out = nn.Linear(width, width)

    def forward(self, v: Tensor, parts: list[tuple[int, int]]) -> Tensor:
        where, what = (self._by_head(x) for x in (self.where(v), self.what(v)))
        share = (self.assign(where) / self.temperature).softmax(
            -1
        )  # (heads, N, slices)
        found = [self._mixed(share[:, a:b], what[:, a:b]) for a, b in parts]
        return self.out(torch.cat(found, 1).transpose(0, 1).flatten(1))

    def _mixed(self, share: Tensor, what: Tensor) -> Tensor:
        back = share.transpose(1, 2)
        mean = back @ what / (back.sum(2, keepdim=True) + 1e-5)
        mixed: Any = nn.functional.scaled_dot_product_attention(
            self.queries(mean), self.keys(mean), self.values(mean)
        )
        return share @ mixed

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, C) -> (heads, N, C / heads)."""
        return x.unflatten(1, (self.heads, -1)).transpose(0, 1)


def _narrow(module: nn.Module) -> None:
    """The paper's code starts from normal weights of this size, cut at two of them."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


PEERS: dict[str, type[_Peer]] = {
    "GINO (neuraloperator)": Gino,
    "Transolver": Transolver,
    "PointTransformer (PyG)": PointTransformer,
}
