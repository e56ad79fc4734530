"""Architectures, by the name under which a model file knows them."""

from isofield.models.fno import FNO
from isofield.models.fourier import FourierOperator
from isofield.models.gino import GINO
from isofield.models.gno import GNO
from isofield.models.green import GreenOperator
from isofield.models.mesh_graph_net import MeshGraphNet
from isofield.models.regional import RegionalOperator
from isofield.models.slice_transformer import SliceTransformer
from isofield.models.spline_unet import SplineUNet
from isofield.models.uno import UNO
from isofield.models.zernike_net import ZernikeNet

ARCHITECTURES = {
    "GNO": GNO,
    "FourierOperator": FourierOperator,
    "GreenOperator": GreenOperator,
    "ZernikeNet": ZernikeNet,
    "SplineUNet": SplineUNet,
    "SliceTransformer": SliceTransformer,
    "GINO": GINO,
    "FNO": FNO,
    "UNO": UNO,
    "RegionalOperator": RegionalOperator,
    "MeshGraphNet": MeshGraphNet,
}

__all__ = [
    "ARCHITECTURES",
    "GNO",
    "FourierOperator",
    "GreenOperator",
    "ZernikeNet",
    "SplineUNet",
    "SliceTransformer",
    "GINO",
    "FNO",
    "UNO",
    "RegionalOperator",
    "MeshGraphNet",
]
