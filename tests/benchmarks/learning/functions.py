"""Random smooth functions of the place, the same on every mesh."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def at(function: Function, x: np.ndarray) -> np.ndarray:
    """A function's values where scikit-fem integrates: x (d, T, Q) -> (T, Q)."""
    return function(x.reshape(len(x), -1).T).reshape(x.shape[1:])


def waves(random: np.random.Generator, highest: float, count: int = 12) -> Function:
    """A sum of random waves with up to `highest` periods in a length of 1."""
    direction = random.standard_normal((count, 2))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wave = 2 * np.pi * direction * random.uniform(0.3, highest, (count, 1))
    phase, height = random.uniform(0, 2 * np.pi, count), random.standard_normal(count)
    return lambda x: np.cos(x @ wave.T + phase) @ height


def bumps(random: np.random.Generator, centres: np.ndarray) -> Function:
    """A sum of 2 to 5 Gaussian functions of either sign around some of the places."""
    count = random.integers(2, 6)
    centre = centres[random.integers(len(centres), size=count)]
    width, height = random.uniform(0.06, 0.2, count), random.standard_normal(count)

    def values(x: np.ndarray) -> np.ndarray:
        square = ((x[:, None] - centre) ** 2).sum(2)
        return np.exp(-square / (2 * width**2)) @ height

    return values
