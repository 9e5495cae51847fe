"""A column becomes numbers, in named blocks called views."""

from mfmat.features.columns import Columns
from mfmat.features.composition import Composition
from mfmat.features.featurizer import Featurizer

__all__ = ["Columns", "Composition", "Featurizer"]
