"""Architectures, by the name under which a model file knows them."""

from isofield.models.fourier import FourierOperator
from isofield.models.gno import GNO
from isofield.models.slice_transformer import SliceTransformer
from isofield.models.spline_unet import SplineUNet
from isofield.models.zernike_net import ZernikeNet

ARCHITECTURES = {
    "GNO": GNO,
    "FourierOperator": FourierOperator,
    "ZernikeNet": ZernikeNet,
    "SplineUNet": SplineUNet,
    "SliceTransformer": SliceTransformer,
}

__all__ = [
    "ARCHITECTURES",
    "GNO",
    "FourierOperator",
    "ZernikeNet",
    "SplineUNet",
    "SliceTransformer",
]
