"""Linear operators between fields on discretizations."""

from isofield.operators.gradient import Gradient, gradient
from isofield.operators.operator_file import load_operator, save_operator
from isofield.operators.sparse import SparseOperator, TransferError, majority

__all__ = [
    "Gradient",
    "gradient",
    "SparseOperator",
    "TransferError",
    "majority",
    "save_operator",
    "load_operator",
]
