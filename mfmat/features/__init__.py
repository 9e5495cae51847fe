"""A column becomes numbers, in named blocks called views."""

from mfmat.features.clusters import Clusters
from mfmat.features.columns import Columns
from mfmat.features.composition import Composition
from mfmat.features.density_ratio import DensityRatio
from mfmat.features.featurizer import Featurizer
from mfmat.features.groups import ChemicalGroups, Groups

__all__ = ["ChemicalGroups", "Clusters", "Columns", "Composition", "DensityRatio", "Featurizer", "Groups"]
