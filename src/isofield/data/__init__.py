"""Samples, normalizers and the batches of mixed resolution that training draws."""

from isofield.data.clouds import RandomClouds, random_cloud
from isofield.data.fields import Field, FieldError, check_same_fields, stacked
from isofield.data.motion import Symmetry, mirrored, moved, rotated
from isofield.data.normalizer import Normalizer
from isofield.data.sample import Sample, collate
from isofield.data.sampler import node_batches
from isofield.data.similarity import Similarity

__all__ = [
    "Field",
    "FieldError",
    "check_same_fields",
    "stacked",
    "RandomClouds",
    "random_cloud",
    "Symmetry",
    "mirrored",
    "moved",
    "rotated",
    "Normalizer",
    "Sample",
    "collate",
    "node_batches",
    "Similarity",
]
