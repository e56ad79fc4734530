"""Bases of kernels on the unit ball."""

from isofield.bases.basis import Basis
from isofield.bases.gauss_hermite import GaussHermiteBasis
from isofield.bases.gaussian import GaussianBasis
from isofield.bases.hermite import HermiteBasis
from isofield.bases.learned import LearnedBasis
from isofield.bases.spline import BSplineBasis
from isofield.bases.zernike import ZernikeBasis

__all__ = [
    "Basis",
    "ZernikeBasis",
    "BSplineBasis",
    "HermiteBasis",
    "GaussHermiteBasis",
    "GaussianBasis",
    "LearnedBasis",
]
