"""The examples do what their first lines say."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from isofield.discretization import from_mesh
from isofield.io import read

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_field_is_carried_to_a_coarse_abaqus_mesh(tmp_path, monkeypatch):
    """The integral of the equation's right-hand side, by a quadrature of its own."""
    pytest.importorskip("skfem", reason="the extra `solvers` is not installed")
    monkeypatch.setattr(sys, "path", [str(EXAMPLES / "transfer"), *sys.path])
    coarse = read(importlib.import_module("transfer").transferred(tmp_path))
    assert (tmp_path / "coarse.inp").is_file()
    assert set(coarse.point_data) == {"temperature"}
    t = (np.arange(4000) + 0.5) / 4000 * 2 - 1
    bump_x, bump_y = np.exp(-400 * (t - 0.3) ** 2), np.exp(-400 * (t - 0.35) ** 2)
    inside = (t[:, None] < 0) | (t > 0)
    heat = (bump_x[:, None] * bump_y * inside).sum() * (t[1] - t[0]) ** 2
    values = torch.from_numpy(coarse.point_data["temperature"].copy())
    found = from_mesh(coarse).integrate(values)
    # f is interpolated on a mesh of spacing h = 1/96: h² / 12 times its curvature
    assert float(found) == pytest.approx(heat, rel=2e-2)
