"""One question worth paying for per file."""

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.acquisitions.improvement import Improvement
from mfmat.acquisitions.knowledge_gradient import KnowledgeGradient
from mfmat.acquisitions.level_set import LevelSet, TopK
from mfmat.acquisitions.max_value_entropy import MaxValueEntropy
from mfmat.acquisitions.thompson import Thompson
from mfmat.acquisitions.upper_confidence import UpperConfidence
from mfmat.acquisitions.variance_reduction import VarianceReduction

__all__ = [
    "Acquisition",
    "Improvement",
    "KnowledgeGradient",
    "LevelSet",
    "MaxValueEntropy",
    "Thompson",
    "TopK",
    "UpperConfidence",
    "VarianceReduction",
]
