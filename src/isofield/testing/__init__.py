"""The laws that every layer and model keeps, as assertions, and who is held to them.

A layer of your own is held to all of them by two lines:

    entry = register("my layer", lambda dimension: MyLayer(dimension), channels=3, ...)
    check(entry, dimension=2)
"""

from isofield.testing.assertions import (
    assert_batching,
    assert_families_agree,
    assert_node_splitting,
    assert_permutation,
    assert_rigid_motion,
    assert_same_weights,
)
from isofield.testing.registry import (
    BASELINES,
    LAWS,
    REGISTRY,
    Entry,
    check,
    register,
)
from isofield.testing.shapes import body, families, probes, waves
from isofield.testing.unpacking import assert_samples_unpack, assert_unpacks

__all__ = [
    "assert_node_splitting",
    "assert_families_agree",
    "assert_permutation",
    "assert_batching",
    "assert_rigid_motion",
    "assert_same_weights",
    "assert_unpacks",
    "assert_samples_unpack",
    "Entry",
    "LAWS",
    "REGISTRY",
    "BASELINES",
    "check",
    "register",
    "body",
    "families",
    "probes",
    "waves",
]
