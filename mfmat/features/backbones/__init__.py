"""Networks over crystals whose inner layers become features, one a file."""

from mfmat.features.backbones.backbone import Backbone, Level, RefusedError
from mfmat.features.backbones.cgcnn import CGCNN
from mfmat.features.backbones.chgnet import CHGNet
from mfmat.features.backbones.geometry import Geometry
from mfmat.features.backbones.memory import CacheWarning, recall

NAMED: dict[str, type[Backbone]] = {each.name: each for each in (CHGNet, CGCNN, Geometry)}
"""The backbones that a name stands for, as they are without options."""

__all__ = ["CGCNN", "NAMED", "Backbone", "CHGNet", "CacheWarning", "Geometry", "Level", "RefusedError", "recall"]
