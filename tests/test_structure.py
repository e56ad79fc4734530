"""The house: what may import what, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "isofield"

# the data path; a module imports only from its left
ORDER = [
    "files",
    "cells",
    "quadrature",
    "topology",
    "refinement",
    "regions",
    "checking",
    "validation",
    "mesh",
    "series",
    "normals",
    "voronoi",
    "discretization",
    "graph",
    "bases",
    "charts",
    "plan",
    "operators",
    "features",
    "resampling",
    "layers",
    "models",
    "data",
    "surrogate",
    "model_file",
    "loss",
    "train",
    "recommend",
    "predict",
]
LEAVES = {
    "generation",
    "io",
    "plot",
    "audit",
    "testing",
    "remeshing",
    "datasets",
    "cli",
    "__main__",
}
DOORS = {
    "meshio": {"io"},
    "meshlane": {"io"},
    "trimesh": {"io"},
    "h5py": {"io"},
    "vtkmodules": {"io", "plot"},
    "vtk": {"io", "plot"},
    "pyvista": {"io", "plot"},
    "typer": {"cli"},
    "triton": {"operators"},
    "scipy.spatial": {"graph", "voronoi", "generation", "operators"},
}
MODULES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    """The first part of a module's name below the package."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def imported_rooms(path: Path) -> set[str]:
    """The rooms of the package that a file imports from."""
    parts = [name.split(".") for name in imported(path)]
    rooms = {part[1] for part in parts if part[0] == "isofield" and len(part) > 1}
    return rooms & {*ORDER, *LEAVES}


def test_every_room_has_its_place():
    rooms = {room(path) for path in MODULES} - {"__init__"}
    assert rooms <= {*ORDER, *LEAVES}, rooms - {*ORDER, *LEAVES}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_only_from_the_left(path: Path):
    here, found = room(path), imported_rooms(path)
    if here in ORDER:
        allowed = set(ORDER[: ORDER.index(here) + 1])
        assert found <= allowed, f"{here} imports {sorted(found - allowed)}"
    elif here == "__init__":
        assert not found & LEAVES


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_one_door_per_package(path: Path):
    for name in imported(path):
        for package, rooms in DOORS.items():
            if name == package or name.startswith(f"{package}."):
                assert room(path) in rooms, f"{room(path)} imports {name}"


def test_the_order_test_sees_a_wrong_import(tmp_path: Path):
    wrong = tmp_path / "mesh.py"
    wrong.write_text("def f():\n    from isofield.layers import plan\n")
    assert imported_rooms(wrong) == {"layers"}


def test_importing_isofield_pulls_numpy_and_torch_alone():
    code = (
        "import sys, torch, numpy; before = set(sys.modules); from isofield import *; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(' '.join(sorted(new - set(sys.stdlib_module_names))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["isofield"]
