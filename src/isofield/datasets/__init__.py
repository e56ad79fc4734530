"""Whole data sets: many mesh files in, as many files out."""

from isofield.datasets.resample import resample_dataset
from isofield.datasets.task import Outcome

__all__ = ["resample_dataset", "Outcome"]
