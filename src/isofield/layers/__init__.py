"""Layers: integral operators on any discretization."""

from isofield.layers.attention import IntegralAttention
from isofield.layers.basis_convs import HermiteConv, SplineConv, ZernikeConv
from isofield.layers.continuous_conv import ContinuousConv
from isofield.layers.fitted_fourier_conv import FittedFourierConv
from isofield.layers.fourier_conv import FourierConv
from isofield.layers.kernel_integral import KernelBasis, KernelIntegral, Mixing
from isofield.layers.laplacian_conv import LaplacianSpectralConv
from isofield.layers.latent_grid import LatentGrid, latent_grid
from isofield.layers.local_mean import LocalAverage, LocalMean
from isofield.layers.moments import domain_moments
from isofield.layers.norm import MeasureNorm
from isofield.layers.norm_activation import NormActivation
from isofield.layers.operator import Operator
from isofield.layers.pooling import lattice_pooling, pool, unpool
from isofield.layers.resample import Resample
from isofield.layers.slice_attention import SliceAttention
from isofield.layers.spectral_conv import SpectralConv
from isofield.layers.steerable_conv import SteerableConv
from isofield.layers.subsampling import point_pooling

__all__ = [
    "Operator",
    "KernelIntegral",
    "KernelBasis",
    "Mixing",
    "FourierConv",
    "LaplacianSpectralConv",
    "FittedFourierConv",
    "SpectralConv",
    "LatentGrid",
    "latent_grid",
    "LocalMean",
    "LocalAverage",
    "ContinuousConv",
    "ZernikeConv",
    "SplineConv",
    "HermiteConv",
    "SteerableConv",
    "NormActivation",
    "IntegralAttention",
    "SliceAttention",
    "Resample",
    "MeasureNorm",
    "lattice_pooling",
    "point_pooling",
    "pool",
    "unpool",
    "domain_moments",
]
