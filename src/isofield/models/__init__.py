"""Architectures, by the name under which a model file knows them."""

from isofield.models.gno import GNO

ARCHITECTURES = {"GNO": GNO}

__all__ = ["ARCHITECTURES", "GNO"]
