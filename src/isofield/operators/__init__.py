"""Linear operators between fields on discretizations."""

from isofield.operators.gradient import Gradient, gradient

__all__ = ["Gradient", "gradient"]
