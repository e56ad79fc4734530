"""Every layer and model with what it promises, and the laws that hold it to that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from isofield.bases import LearnedBasis
from isofield.layers import (
    block,
    ends,
    field_types,
    fourier_conv,
    kernel_gains,
    moments,
    nearest,
    norm,
    norm_activation,
    pointwise,
    pooling,
    subsampling,
    wave_fit,
)
from isofield.layers.attention import IntegralAttention
from isofield.layers.basis_convs import HermiteConv, SplineConv, ZernikeConv
from isofield.layers.continuous_conv import ContinuousConv
from isofield.layers.fitted_fourier_conv import FittedFourierConv
from isofield.layers.fourier_conv import FourierConv
from isofield.layers.kernel_integral import KernelIntegral
from isofield.layers.laplacian_conv import LaplacianSpectralConv
from isofield.layers.latent_grid import latent_grid
from isofield.layers.local_mean import LocalAverage, LocalMean
from isofield.layers.operator import Operator
from isofield.layers.resample import Resample
from isofield.layers.slice_attention import SliceAttention
from isofield.layers.spectral_conv import SpectralConv
from isofield.layers.steerable_conv import SteerableConv
from isofield.models import (
    FNO,
    GINO,
    GNO,
    UNO,
    FourierOperator,
    GreenOperator,
    MeshGraphNet,
    RegionalOperator,
    SliceTransformer,
    SplineUNet,
    ZernikeNet,
)
from isofield.testing.adapters import (
    Gridded,
    Moments,
    Normed,
    PooledAndBack,
    SelfAttention,
    Sliced,
    Steered,
)
from isofield.testing.assertions import (
    assert_batching,
    assert_families_agree,
    assert_node_splitting,
    assert_permutation,
    assert_rigid_motion,
    assert_same_weights,
)
from isofield.testing.shapes import Shape, body, families, probes, waves

Motion = Literal["none", "translation", "rigid"]


@dataclass(frozen=True)
class Entry:
    """A layer or model and its promises.

    name : for people. build : a shape of `shapes` -> the operator for it, with fresh
    random weights: the dimension of a body, the name of a surface.
    channels : C_in. covers : the classes and functions that stand or fall with it.
    rate : of the two families, at least 1. own_points : it answers at the points of its
    source alone. motion : which motions of the body leave its output unchanged.
    dimensions : the shapes on which it exists. laws : names in `LAWS`, all of them but
    for baselines.
    """

    name: str
    build: Callable[[Any], Operator]
    channels: int
    covers: tuple[Any, ...]
    rate: float = 1.0
    own_points: bool = False
    motion: Motion = "none"
    dimensions: tuple[Shape, ...] = (1, 2, 3)
    laws: tuple[str, ...] = (
        "node splitting",
        "two families",
        "permutation",
        "batching",
        "rigid motion",
        "same weights",
    )

    def operator(
        self, dimension: Shape, dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> Operator:
        """The operator with the weights of this seed, ready to be applied."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build(dimension).to(dtype).eval()


REGISTRY: dict[str, Entry] = {}

# what is offered to compare with: keeps some of the laws, says so, and breaks others
BASELINES: dict[str, Entry] = {}


def register(
    name: str,
    build: Callable[[Any], Operator],
    *,
    baseline_laws: tuple[str, ...] | None = None,
    **promises: Any,
) -> Entry:
    """Adds an `Entry` to the registry. Raises `ValueError` where the name is taken.

    baseline_laws : the laws that a baseline keeps; the entry then joins `BASELINES`.
    """
    if name in REGISTRY or name in BASELINES:
        raise ValueError(f"{name!r} is registered already")
    if baseline_laws is None:
        REGISTRY[name] = Entry(name, build, **promises)
        return REGISTRY[name]
    BASELINES[name] = Entry(name, build, laws=baseline_laws, **promises)
    return BASELINES[name]


def check(
    entry: Entry,
    dimension: Shape,
    dtype: torch.dtype = torch.float64,
    law: str = "all",
) -> None:
    """Holds an entry to one law, or to all its laws, on intervals, disks, balls or
    surfaces.

    dimension : 1, 2, 3, "sphere" or "surface". law : a name in `LAWS`, or "all". Raises
    `AssertionError` where a law is broken.
    """
    if dimension not in entry.dimensions:
        known = ", ".join(map(label, entry.dimensions))
        raise ValueError(f"{entry.name} exists in {known}, not in {label(dimension)}")
    if law != "all" and law not in LAWS:
        raise ValueError(f"law: expected 'all' or one of {list(LAWS)}, got {law!r}")
    for name in entry.laws if law == "all" else (law,):
        LAWS[name](entry, dimension, dtype)


def label(dimension: Shape) -> str:
    """2-D, or the name of a surface."""
    return dimension if isinstance(dimension, str) else f"{dimension}-D"


def _arguments(entry: Entry, dimension: Shape, dtype: torch.dtype) -> dict[str, Any]:
    at = None if entry.own_points else probes(dimension, dtype=dtype)
    return {"field": waves(entry.channels), "probes": at}


def _source(dimension: Shape, dtype: torch.dtype) -> Any:
    n = {1: 24, 2: 8, 3: 4, "sphere": 7, "surface": 8}[dimension]
    return body(dimension, n, 2.0, dtype)


def _sources(dimension: Shape, dtype: torch.dtype) -> list:
    sizes = {
        1: (16, 24, 20),
        2: (7, 9, 8),
        3: (4, 5, 3),
        "sphere": (6, 8, 7),
        "surface": (8, 9, 7),
    }[dimension]
    gradings = (1.0, 2.0, 1.5)
    return [body(dimension, n, g, dtype) for n, g in zip(sizes, gradings, strict=True)]


def _on_one_mesh(
    assertion: Callable, entry: Entry, dimension: Shape, dtype: torch.dtype
) -> None:
    assertion(
        entry.operator(dimension, dtype),
        _source(dimension, dtype),
        **_arguments(entry, dimension, dtype),
    )


def _families(entry: Entry, dimension: Shape, dtype: torch.dtype) -> None:
    """In float64 whatever the dtype: below 1e-6, rounding would look like a plateau."""
    assert_families_agree(
        entry.operator(dimension),
        families(dimension),
        waves(entry.channels),
        probes(dimension),
        rate=entry.rate,
        own_points=entry.own_points,
    )


def _batching(entry: Entry, dimension: Shape, dtype: torch.dtype) -> None:
    assert_batching(
        entry.operator(dimension, dtype),
        _sources(dimension, dtype),
        **_arguments(entry, dimension, dtype),
    )


def _motion(entry: Entry, dimension: Shape, dtype: torch.dtype) -> None:
    if entry.motion != "none":
        assertion = partial(assert_rigid_motion, rotations=entry.motion == "rigid")
        _on_one_mesh(assertion, entry, dimension, dtype)


def _weights(entry: Entry, dimension: Shape, dtype: torch.dtype) -> None:
    seeds = iter(range(10))
    assert_same_weights(
        lambda _: entry.operator(dimension, dtype, next(seeds)),
        _sources(dimension, dtype)[:2],
        **_arguments(entry, dimension, dtype),
    )


LAWS: dict[str, Callable[[Entry, Shape, torch.dtype], None]] = {
    "node splitting": partial(_on_one_mesh, assert_node_splitting),
    "two families": _families,
    "permutation": partial(_on_one_mesh, assert_permutation),
    "batching": _batching,
    "rigid motion": _motion,
    "same weights": _weights,
}

# of the unit ball and sphere; above 3 of their coarsest spacings
RADIUS = {1: 0.6, 2: 0.6, 3: 0.9, "sphere": 0.75, "surface": 0.6}


def _kernel_integral(dimension: int, **form: Any) -> Operator:
    return KernelIntegral(3, 3, dimension, RADIUS[dimension], hidden=8, rank=4, **form)


def _gno(dimension: int, in_channels: int = 3) -> Operator:
    radius = 2 * RADIUS[dimension]
    return GNO(
        in_channels,
        2,
        dimension,
        radius=radius,
        levels=2,
        width=12,
        blocks=2,
        rank=4,
        hidden=8,
    )


# of the waves, longer than the unit ball and sphere
PERIOD = 2.6

# of fitted waves: less would magnify rounding above the tolerances of the laws, since
# waves of space can hardly be told apart on a surface
FIT_NOISE = 1e-2


def _fourier_conv(shape: Shape, **form: Any) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    return FourierConv(3, 2, d, PERIOD, modes=2, measure_dimension=within, **form)


def _fourier_operator(shape: Shape) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    size: dict[str, Any] = {"modes": 2, "width": 12, "blocks": 2}
    size |= {"radius": 2 * RADIUS[shape], "period": PERIOD}
    return FourierOperator(3, 2, d, measure_dimension=within, **size)


def _fitted_conv(shape: Shape) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    size: dict[str, Any] = {"modes": 2, "measure_dimension": within}
    return FittedFourierConv(3, 2, d, PERIOD, noise=FIT_NOISE, **size)


def _green(shape: Shape) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    size: dict[str, Any] = {"modes": 2, "inner": 2, "width": 8, "context": 8}
    size |= {"radius": 2 * RADIUS[shape], "period": PERIOD, "blocks": 2}
    size |= {"noise": FIT_NOISE, "magnitudes": [1]}
    return GreenOperator(3, 2, d, linear=[0, 2], measure_dimension=within, **size)


def _zernike_net(shape: Shape) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    radius = 2 * RADIUS[shape]
    size: dict[str, Any] = {"width": 8, "blocks": 2, "order": 2}
    return ZernikeNet(3, 2, d, measure_dimension=within, radius=radius, **size)


def _spline_unet(shape: Shape) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    size: dict[str, Any] = {"levels": 2, "width": 8}
    radius = 1.5 * RADIUS[shape]
    return SplineUNet(3, 2, d, measure_dimension=within, radius=radius, **size)


def _attention(shape: Shape, **form: Any) -> Operator:
    d = 3 if isinstance(shape, str) else shape
    return IntegralAttention(3, 2, d, heads=2, width=8, **form)


def _slice_transformer(shape: Shape) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    size: dict[str, Any] = {"width": 8, "blocks": 2, "heads": 2, "slices": 5}
    radius = 2 * RADIUS[shape]
    return SliceTransformer(3, 2, d, measure_dimension=within, radius=radius, **size)


def _gridded(dimension: int) -> Operator:
    reach = RADIUS[dimension]
    period, nodes = 2.2 + 2 * reach, {1: 12, 2: 10, 3: 8}[dimension]
    return Gridded(SpectralConv(3, 2, dimension, period, modes=2), period, reach, nodes)


def _latent(shape: Shape, model: type[Operator], **size: Any) -> Operator:
    """GINO or FNO on as few nodes as there may be."""
    size |= {"period": 2.2 + 8 / 3 * RADIUS[shape], "latent": 8}
    return _small(shape, model, modes=2, blocks=2, **size)


def _small(shape: Shape, model: Callable[..., Operator], **size: Any) -> Operator:
    within, d = (2, 3) if isinstance(shape, str) else (shape, shape)
    size = {"measure_dimension": within, "radius": 2 * RADIUS[shape], **size}
    return model(3, 2, d, width=8, **size)


def _zernike(dimension: Shape, order: int = 2, **options: Any) -> Operator:
    options = {"skip": False, **options}
    within = 2 if isinstance(dimension, str) else dimension
    return ZernikeConv(3, 2, within, RADIUS[dimension], order=order, **options)


def _spline(dimension: int) -> Operator:
    degree = 2 if dimension < 3 else 1
    size = {"n_control": degree + 1, "degree": degree}
    return SplineConv(3, 2, dimension, RADIUS[dimension], skip=False, **size)


def _hermite(dimension: int) -> Operator:
    size = {"nodes": 2 if dimension < 3 else 1}
    return HermiteConv(3, 2, dimension, RADIUS[dimension], skip=False, **size)


def _learned(dimension: int) -> Operator:
    """Functions and radius, which begins short of its reach."""
    basis, radius = LearnedBasis(dimension, 4, 8), RADIUS[dimension]
    return ContinuousConv(3, 2, basis, 0.95 * radius, reach=radius, skip=False)


for _form in ("full", "diagonal", "low_rank"):
    register(
        f"kernel integral, {_form}",
        partial(_kernel_integral, kernel=_form),
        channels=3,
        covers=(KernelIntegral,),
        rate=1.75,
        motion="translation",
    )
register(
    "kernel integral, nonlinear",
    partial(_kernel_integral, nonlinear=True),
    channels=3,
    covers=(KernelIntegral,),
    rate=1.75,
    motion="translation",
)
register(
    "norm in the measure",
    lambda dimension: Normed(3),
    channels=3,
    covers=(norm.MeasureNorm,),
    own_points=True,
    motion="rigid",
    dimensions=(1, 2, 3, "surface"),
)
register(
    "lattice pooling and back",
    lambda dimension: PooledAndBack(0.5),
    channels=3,
    covers=(pooling.lattice_pooling, pooling.pool, pooling.unpool),
    rate=1.5,
    own_points=True,
)
register(
    "moments of the domain",
    lambda dimension: Moments(RADIUS[dimension]),
    channels=1,
    covers=(moments.domain_moments,),
    rate=1.75,
    motion="translation",
)
register(
    "zeroth moment of the domain",
    lambda dimension: Moments(RADIUS[dimension], count=1),
    channels=1,
    covers=(moments.domain_moments,),
    rate=1.75,
    motion="rigid",
)
register(
    "local mean",
    lambda dimension: LocalMean(RADIUS[dimension]),
    channels=3,
    covers=(LocalMean,),
    rate=1.75,
    motion="rigid",
)
register(
    "Fourier convolution",
    _fourier_conv,
    channels=3,
    covers=(FourierConv,),
    rate=1.75,
    motion="translation",
    dimensions=(1, 2, 3, "surface"),
)
register(
    "Fourier convolution, isotropic",
    partial(_fourier_conv, kernel="isotropic"),
    channels=3,
    covers=(FourierConv, fourier_conv.hats),
    rate=1.75,
    motion="translation",
    dimensions=(2,),
)
register(
    "Fourier convolution, directional",
    partial(_fourier_conv, kernel="directional"),
    channels=3,
    covers=(FourierConv,),
    rate=1.75,
    motion="translation",
    dimensions=(2,),
)
register(
    "Fourier convolution, fitted",
    _fitted_conv,
    channels=3,
    covers=(FittedFourierConv, wave_fit.WaveFit),
    rate=1.75,
    dimensions=(1, 2, "surface"),
)
register(
    "Green operator",
    _green,
    channels=3,
    covers=(GreenOperator,),
    rate=1.5,
    dimensions=(1, 2, "surface"),
)
register(
    "Laplacian convolution",
    lambda shape: LaplacianSpectralConv(3, 2, {2: 5.0, "sphere": 3.0}[shape]),
    channels=3,
    covers=(LaplacianSpectralConv,),
    rate=1.75,
    motion="rigid",
    dimensions=(2, "sphere"),
)
register(
    "moving least squares",
    lambda dimension: Resample(RADIUS[dimension]),
    channels=3,
    covers=(Resample,),
    rate=1.75,
    motion="rigid",
)
for _name, _conv, _class in (
    ("Zernike", _zernike, ZernikeConv),
    ("spline", _spline, SplineConv),
    ("Hermite", _hermite, HermiteConv),
):
    register(
        f"{_name} convolution",
        _conv,
        channels=3,
        covers=(_class, kernel_gains.kernel_gains),
        rate=1.75,
        motion="translation",
    )
for _name, _promises in {
    "shepard": {"build": partial(_zernike, mode="shepard"), "rate": 1.75},
    # of order 1: higher ones begin with errors too small to fall at their rate yet
    "fit": {"build": partial(_zernike, order=1, mode="fit"), "rate": 1.75},
    "learned": {"build": _learned, "rate": 1.75},
    "with a skip": {
        "build": partial(_zernike, skip=True),
        "rate": 1.75,
        "own_points": True,
        "dimensions": (1, 2),
    },
    "isotropic": {
        "build": partial(_zernike, gauge="isotropic"),
        "rate": 1.75,
        "motion": "rigid",
        "dimensions": (2, 3, "sphere"),
    },
    "pooled over angles": {
        "build": partial(_zernike, order=3, gauge="pool"),
        "rate": 1.75,
        "motion": "rigid",
        "dimensions": (2, "surface"),
    },
}.items():
    register(
        f"continuous convolution, {_name}",
        channels=3,
        covers=(ContinuousConv,),
        **{"motion": "translation", "dimensions": (2,), **_promises},
    )
register(
    "steerable convolution",
    lambda dimension: SteerableConv((3,), (2, 1), RADIUS[dimension]),
    channels=3,
    covers=(SteerableConv, field_types.widths),
    rate=1.75,
    motion="translation",
    dimensions=(2, "sphere", "surface"),
)
register(
    "steerable network of scalars",
    lambda dimension: Steered(3, 2, RADIUS[dimension]),
    channels=3,
    covers=(SteerableConv, norm_activation.NormActivation),
    rate=1.75,
    motion="rigid",
    dimensions=(2, "sphere"),
)
register("GNO", _gno, channels=3, covers=(GNO,), rate=1.5)
register(
    "GNO of the geometry alone",
    partial(_gno, in_channels=0),
    channels=0,
    covers=(GNO,),
    rate=1.5,
    dimensions=(2,),
)
register(
    "ZernikeNet",
    _zernike_net,
    channels=3,
    covers=(ZernikeNet, pointwise.pointwise),
    rate=1.5,
    dimensions=(1, 2, 3, "sphere", "surface"),
)
register(
    "SplineUNet",
    _spline_unet,
    channels=3,
    covers=(SplineUNet,),
    rate=1.5,
    dimensions=(1, 2, 3, "sphere"),
)
register(
    "Fourier operator",
    _fourier_operator,
    channels=3,
    covers=(FourierOperator,),
    rate=1.5,
    dimensions=(1, 2, 3, "surface"),
)
for _form in ("softmax", "linear"):
    register(
        f"integral attention, {_form}",
        partial(_attention, form=_form),
        channels=3,
        covers=(IntegralAttention,),
        rate=1.75,
        dimensions=(2, 3, "surface") if _form == "softmax" else (2, 3),
    )
register(
    "self-attention of features",
    lambda dimension: SelfAttention(3, 2, 8),
    channels=3,
    covers=(IntegralAttention,),
    rate=1.75,
    own_points=True,
    motion="rigid",
    dimensions=(2, 3),
)
register(
    "slice attention",
    lambda dimension: Sliced(3, 8),
    channels=3,
    covers=(SliceAttention,),
    rate=1.75,
    own_points=True,
    motion="rigid",
    dimensions=(2, 3, "surface"),
)
register(
    "slice transformer",
    _slice_transformer,
    channels=3,
    covers=(SliceTransformer,),
    rate=1.5,
    dimensions=(2, 3, "surface"),
)
register(
    "point pooling and back",
    lambda dimension: PooledAndBack(0.5, subsampling.point_pooling),
    channels=3,
    covers=(subsampling.point_pooling, nearest.nearest),
    rate=1.5,
    own_points=True,
    dimensions=(2, "sphere"),
)
register(
    "local average",
    lambda dimension: LocalAverage(RADIUS[dimension]),
    channels=3,
    covers=(LocalAverage,),
    rate=1.75,
    motion="rigid",
    dimensions=(1, 2),
)
register(
    "spectral convolution on a latent grid",
    _gridded,
    channels=3,
    covers=(SpectralConv, latent_grid),
    rate=1.5,
)
for _model, _size, _shapes in (
    (GINO, {"rank": 4, "hidden": 8}, (2, "sphere")),
    (FNO, {}, (2, 3)),
):
    register(
        _model.__name__,
        partial(_latent, model=_model, **_size),
        channels=3,
        covers=(_model, ends.Ends, block.Block),
        rate=1.5,
        dimensions=_shapes,
    )
for _model, _size in (
    (UNO, {"levels": 2, "period": 2.6, "modes": 4}),
    (RegionalOperator, {"blocks": 2, "heads": 2, "rank": 4, "hidden": 8}),
):
    register(
        _model.__name__,
        partial(_small, model=_model, **_size),
        channels=3,
        covers=(_model,),
        rate=1.5,
        dimensions=(2,),
    )
register(
    "MeshGraphNet",
    partial(_small, model=MeshGraphNet, blocks=2),
    baseline_laws=("permutation", "batching", "rigid motion", "same weights"),
    channels=3,
    covers=(MeshGraphNet,),
    motion="translation",
    dimensions=(2,),
)
