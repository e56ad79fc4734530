"""All fields of one mesh on another, of one step or of a whole series."""

from isofield.resampling.carried import Carried, Together, together
from isofield.resampling.resampler import METHODS, Options, Resampler, resample
from isofield.resampling.series import resample_series

__all__ = [
    "METHODS",
    "Options",
    "Resampler",
    "resample",
    "resample_series",
    "Carried",
    "Together",
    "together",
]
