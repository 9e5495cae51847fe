"""A column becomes numbers, in named blocks called views."""

from mfmat.features.backbones import CGCNN, Backbone, CHGNet, Geometry
from mfmat.features.clusters import Clusters
from mfmat.features.columns import Columns
from mfmat.features.composition import Composition
from mfmat.features.density_ratio import DensityRatio
from mfmat.features.featurizer import Featurizer
from mfmat.features.groups import ChemicalGroups, Groups
from mfmat.features.molecule import Molecule
from mfmat.features.source_networks import SourceNetworks
from mfmat.features.structure import Structure

__all__ = [
    "CGCNN",
    "Backbone",
    "CHGNet",
    "ChemicalGroups",
    "Clusters",
    "Columns",
    "Composition",
    "DensityRatio",
    "Featurizer",
    "Geometry",
    "Groups",
    "Molecule",
    "SourceNetworks",
    "Structure",
]
