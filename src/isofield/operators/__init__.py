"""Linear operators between fields on discretizations."""

from isofield.operators.bounded import bounded
from isofield.operators.conservative import conservative
from isofield.operators.coverage import TransferWarning
from isofield.operators.gradient import Gradient, gradient
from isofield.operators.l2_projection import l2_projection
from isofield.operators.linear import linear
from isofield.operators.moving_least_squares import (
    DegreeWarning,
    moving_least_squares,
)
from isofield.operators.nearest import nearest
from isofield.operators.operator_file import load_operator, save_operator
from isofield.operators.sparse import SparseOperator, TransferError, majority

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
    "Gradient",
    "gradient",
]
