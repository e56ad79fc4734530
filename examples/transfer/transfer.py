"""A solver's field from a fine .vtu to a coarse Abaqus mesh, its integral kept."""

from pathlib import Path
from tempfile import TemporaryDirectory

from solve import solve

from isofield.discretization import from_mesh
from isofield.io import read, write
from isofield.operators import conservative
from isofield.plot import plot


def transferred(folder: Path) -> Path:
    """The temperature of `fine.vtu` on the mesh of `coarse.inp`, as `coarse.vtu`."""
    fine, coarse = map(read, solve(folder))
    transfer = conservative(fine, coarse, source_at="points", target_at="points")
    temperature = transfer(fine.point_data["temperature"])
    after = from_mesh(coarse).weights.numpy() @ temperature
    before = from_mesh(fine).weights.numpy() @ fine.point_data["temperature"]
    assert abs(after / before - 1) < 1e-12
    write(folder / "coarse.vtu", coarse.with_point_data({"temperature": temperature}))
    return folder / "coarse.vtu"


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        plot(read(transferred(Path(folder))), "temperature", unit="K")
