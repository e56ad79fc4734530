"""Bases of kernels on the unit ball."""

from isofield.bases.basis import Basis
from isofield.bases.zernike import ZernikeBasis

__all__ = ["Basis", "ZernikeBasis"]
