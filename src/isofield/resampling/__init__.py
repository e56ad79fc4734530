"""All fields of one mesh on another, of one step or of a whole series."""

from isofield.resampling.carried import Carried, Found, Together, together
from isofield.resampling.resampler import METHODS, Options, Resampler, resample
from isofield.resampling.series import Latest, resample_series, stepped

__all__ = [
    "METHODS",
    "Options",
    "Resampler",
    "resample",
    "resample_series",
    "stepped",
    "Latest",
    "Carried",
    "Together",
    "Found",
    "together",
]
