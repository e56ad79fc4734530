"""PyVista's data sets and ours."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from isofield.io import sets
from isofield.io.registry import FormatError, MeshWarning
from isofield.io.vtk_cells import VTK_NUMBERS, cells_from_vtk, cells_to_vtk
from isofield.mesh import Mesh


def from_pyvista(data: Any) -> Mesh:
    """The mesh in a PyVista data set: any grid, surface or composite of them.

    Points are 3-D float64. Pixels, voxels, strips and polylines are translated as
    `cells_from_vtk` says. The leaves of a composite are joined one after the other; the
    path of names of each leaf ("block/part") becomes a cell set. Arrays that only some
    leaves have are NaN elsewhere where they are floating and are left out otherwise,
    each with a `MeshWarning`.

    Raises `FormatError` where there is nothing, or where cells have no counterpart.
    """
    import pyvista

    if isinstance(data, pyvista.MultiBlock):
        leaves = _leaves(data, "")
        if not leaves:
            raise FormatError("the data set is empty: no block has any points")
        return _joined([(name, _leaf(block)) for name, block in leaves])
    return _leaf(data)


def to_pyvista(mesh: Mesh) -> Any:
    """The `pyvista.UnstructuredGrid` with the same cells and fields.

    2-D points get z = 0; tensors become rows of 9 components; sets become field data
    (see `isofield.io.sets`).

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
            flat = values.reshape(len(values), -1) if values.ndim > 2 else values
            target[name] = flat.copy()
    for name, values in {**mesh.field_data, **sets.as_arrays(mesh)}.items():
        array = np.array(values, ndmin=1)
        if array.dtype.kind == "U":
            grid.GetFieldData().AddArray(_texts(name, array))
        else:
            grid.add_field_data(array, name)
    return grid


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
    grid = data.cast_to_unstructured_grid()
    connectivity = np.asarray(grid.cell_connectivity)
    if len(connectivity) and not 0 <= connectivity.min() <= connectivity.max() < (
        count := grid.n_points
    ):
        raise FormatError(f"cells name points that do not exist; there are {count}")
    cells, parents = cells_from_vtk(connectivity, grid.offset, grid.celltypes)
    fields, named = sets.from_arrays(_field_data(grid))
    return Mesh(
        points=np.array(grid.points, dtype=np.float64),
        cells=cells,
        point_data={n: np.array(grid.point_data[n]) for n in grid.point_data},
        cell_data={n: np.asarray(grid.cell_data[n])[parents] for n in grid.cell_data},
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


def _joined(leaves: list[tuple[str, Mesh]]) -> Mesh:
    """One mesh of several: points one after the other, cells gathered by type."""
    meshes = [mesh for _, mesh in leaves]
    starts = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    kinds = list(dict.fromkeys(kind for mesh in meshes for kind in mesh.cells))
    blocks = [
        (number, kind)
        for kind in kinds
        for number, mesh in enumerate(meshes)
        if kind in mesh.cells
    ]
    owner = np.concatenate(
        [
            np.zeros(0, np.int64),
            *(
                np.full(len(meshes[number].cells[kind]), number)
                for number, kind in blocks
            ),
        ]
    )
    cells = {
        kind: np.concatenate(
            [meshes[n].cells[kind] + starts[n] for n, other in blocks if other == kind]
        )
        for kind in kinds
    }
    order = _gathered_order(meshes, blocks)
    cell_data = {
        name: values[order] for name, values in _filled(meshes, "cell_data").items()
    }
    names = [name for name, _ in leaves]
    fields: dict[str, Any] = {}
    for mesh in meshes:
        fields |= mesh.field_data
    return Mesh(
        points=np.concatenate([mesh.points for mesh in meshes]),
        cells=cells,
        point_data=_filled(meshes, "point_data"),
        cell_data=cell_data,
        field_data=fields,
        cell_sets={
            name: np.flatnonzero(
                np.isin(owner, [i for i, n in enumerate(names) if n == name])
            )
            for name in dict.fromkeys(names)
        },
    )


def _gathered_order(meshes: list[Mesh], blocks: list[tuple[int, str]]) -> np.ndarray:
    """For each cell of the joined mesh, its number counted mesh after mesh."""
    first: dict[tuple[int, str], int] = {}
    count = 0
    for number, mesh in enumerate(meshes):
        for kind, nodes in mesh.cells.items():
            first[number, kind] = count
            count += len(nodes)
    ranges = [
        first[number, kind] + np.arange(len(meshes[number].cells[kind]))
        for number, kind in blocks
    ]
    return np.concatenate([np.zeros(0, np.int64), *ranges])


def _filled(meshes: list[Mesh], attribute: str) -> dict[str, np.ndarray]:
    """Arrays of all meshes one after the other; NaN rows where a mesh has none."""
    counts = [_rows(mesh, attribute) for mesh in meshes]
    names = dict.fromkeys(name for mesh in meshes for name in getattr(mesh, attribute))
    joined = {}
    for name in names:
        having = [getattr(mesh, attribute).get(name) for mesh in meshes]
        model = next(values for values in having if values is not None)
        missing = sum(
            count
            for values, count in zip(having, counts, strict=True)
            if values is None
        )
        if missing and not np.issubdtype(model.dtype, np.floating):
            warnings.warn(
                f"{attribute} {name!r} is missing in some blocks and was left out",
                MeshWarning,
                stacklevel=2,
            )
            continue
        if missing:
            warnings.warn(
                f"{attribute} {name!r} is missing in some blocks: {missing} rows NaN",
                MeshWarning,
                stacklevel=2,
            )
        joined[name] = np.concatenate(
            [
                np.full((count, *model.shape[1:]), np.nan) if values is None else values
                for values, count in zip(having, counts, strict=True)
            ]
        )
    return joined


def _rows(mesh: Mesh, attribute: str) -> int:
    if attribute == "point_data":
        return len(mesh.points)
    return sum(len(nodes) for nodes in mesh.cells.values())
