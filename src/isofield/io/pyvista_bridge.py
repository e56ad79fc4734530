"""PyVista's data sets and ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from isofield.io import planar, sets
from isofield.io.joining import joined
from isofield.io.registry import FormatError
from isofield.io.vtk_cells import VTK_NUMBERS, cells_from_vtk, cells_to_vtk
from isofield.mesh import Mesh


def from_pyvista(data: Any, *, dimension: int | None = 3) -> Mesh:
    """The mesh in a PyVista data set: any grid, surface or composite of them.

    dimension : 3 keeps three columns; None and 2 as in `isofield.io.read`.

    Pixels, voxels, strips and polylines are translated as
    `cells_from_vtk` says. The leaves of a composite are joined one after the other; the
    path of names of each leaf ("block/part") becomes a cell set. Arrays that only some
    leaves have are NaN elsewhere where they are floating and are left out otherwise,
    each with a `MeshWarning`.

    Raises `FormatError` where there is nothing, or where cells have no counterpart.
    """
    return planar.unpadded(stored_mesh(data), dimension)


def stored_mesh(data: Any) -> Mesh:
    """As `from_pyvista`, with points and field data as they stand."""
    import pyvista

    if isinstance(data, pyvista.MultiBlock):
        leaves = _leaves(data, "")
        if not leaves:
            raise FormatError("the data set is empty: no block has any points")
        return joined([(name, _leaf(block)) for name, block in leaves])
    if not isinstance(data, pyvista.DataSet):
        raise FormatError(f"expected a data set of PyVista, got {type(data).__name__}")
    return _leaf(data)


def to_pyvista(mesh: Mesh) -> Any:
    """The `pyvista.UnstructuredGrid` with the same cells and fields.

    2-D points get z = 0; tensors become rows of 9 components; sets become field data
    (see `isofield.io.sets`). `from_pyvista(to_pyvista(mesh), dimension=None)` is `mesh`
    but for the shape of tensors and of rows of one number.

    Raises `FormatError` for cell types that VTK does not have.
    """
    import pyvista

    unknown = [kind for kind in mesh.cells if kind not in VTK_NUMBERS]
    if unknown:
        raise FormatError(f"VTK has no cells of type {unknown}; see Mesh.linearised")
    points = np.zeros((len(mesh.points), 3))
    points[:, : mesh.points.shape[1]] = mesh.points
    connectivity, offsets, types = cells_to_vtk(mesh.cells)
    sizes = np.diff(offsets)
    rows = np.insert(connectivity, offsets[:-1], sizes)
    grid = pyvista.UnstructuredGrid(rows, types, points)
    for target, data in (
        (grid.point_data, mesh.point_data),
        (grid.cell_data, mesh.cell_data),
    ):
        for name, values in data.items():
            target[name] = values.reshape(_two_axes(values)).copy()
    for name, values in {**mesh.field_data, **sets.as_arrays(mesh)}.items():
        array = np.array(values, ndmin=1)
        if array.dtype.kind == "U":
            grid.GetFieldData().AddArray(_texts(name, array))
        else:
            grid.add_field_data(array.reshape(_two_axes(array)), name)
    return grid


def _two_axes(values: np.ndarray) -> tuple[int, ...]:
    """The shape with the axes of each row as one, as VTK has them."""
    if values.ndim <= 2:
        return values.shape
    return len(values), int(np.prod(values.shape[1:]))


def _texts(name: str, values: np.ndarray) -> Any:
    """VTK's own array of texts; PyVista's conversion takes ASCII alone."""
    from vtkmodules.vtkCommonCore import vtkStringArray

    array = vtkStringArray()
    array.SetName(name)
    for text in values.reshape(-1):
        array.InsertNextValue(str(text))
    return array


def _leaves(data: Any, path: str) -> list[tuple[str, Any]]:
    """The data sets with points in a composite, with the path of their names."""
    import pyvista

    found: list[tuple[str, Any]] = []
    for number in range(data.n_blocks):
        block = data[number]
        name = f"{path}{data.get_block_name(number) or f'block {number}'}"
        if isinstance(block, pyvista.MultiBlock):
            found.extend(_leaves(block, f"{name}/"))
        elif block is not None and block.n_points:
            found.append((name, block))
    return found


def _leaf(data: Any) -> Mesh:
    grid, cells, parents = data, {}, np.zeros(0, np.int64)
    if data.n_cells:  # VTK's conversion ends the process where there are no cells
        grid = data.cast_to_unstructured_grid()
        # PyVista renamed the attribute in 0.48
        new = hasattr(grid, "cell_offsets")
        cells, parents = cells_from_vtk(
            np.array(grid.cell_connectivity),
            np.array(grid.cell_offsets if new else grid.offset),
            np.array(grid.celltypes),
        )
    fields, named = sets.from_arrays(_field_data(grid))
    return Mesh(
        points=np.array(grid.points, dtype=np.float64),
        cells=cells,
        point_data={n: np.array(grid.point_data[n]) for n in grid.point_data},
        cell_data={
            name: np.array(grid.cell_data[name])[parents]
            for name in (grid.cell_data if cells else ())
        },
        field_data=fields,
        **named,
    )


def _field_data(grid: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    stored = grid.GetFieldData()
    for number in range(stored.GetNumberOfArrays()):
        array = stored.GetAbstractArray(number)
        name = array.GetName() or f"array{number}"
        if array.GetClassName() == "vtkStringArray":
            texts = [array.GetValue(i) for i in range(array.GetNumberOfValues())]
            found[name] = texts[0] if len(texts) == 1 else np.array(texts)
        else:
            found[name] = np.array(grid.field_data[name])
    return found
