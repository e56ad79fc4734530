"""Linear operators between fields on discretizations."""

from isofield.operators.basis_operator import BasisOperator, basis_operator
from isofield.operators.basis_operator_file import (
    load_basis_operator,
    save_basis_operator,
)
from isofield.operators.bounded import bounded
from isofield.operators.conservative import conservative
from isofield.operators.coverage import TransferWarning
from isofield.operators.gradient import Gradient, gradient
from isofield.operators.jets import derivative, jets, multi_indices
from isofield.operators.l2_projection import l2_projection
from isofield.operators.laplacian import (
    Eigenpairs,
    laplacian,
    laplacian_eigenpairs,
    stiffness,
)
from isofield.operators.linear import linear
from isofield.operators.moving_least_squares import (
    DegreeWarning,
    moving_least_squares,
)
from isofield.operators.nearest import nearest
from isofield.operators.operator_file import load_operator, save_operator
from isofield.operators.patches import NeighbourWarning, Patches, patches
from isofield.operators.sparse import SparseOperator, TransferError, majority
from isofield.operators.taylor import Taylor, taylor

__all__ = [
    "SparseOperator",
    "TransferError",
    "TransferWarning",
    "nearest",
    "linear",
    "conservative",
    "l2_projection",
    "bounded",
    "moving_least_squares",
    "DegreeWarning",
    "majority",
    "save_operator",
    "load_operator",
    "BasisOperator",
    "basis_operator",
    "save_basis_operator",
    "load_basis_operator",
    "Patches",
    "patches",
    "NeighbourWarning",
    "Gradient",
    "gradient",
    "stiffness",
    "laplacian",
    "laplacian_eigenpairs",
    "Eigenpairs",
    "jets",
    "derivative",
    "multi_indices",
    "Taylor",
    "taylor",
]
