"""One question worth paying for per file."""

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.acquisitions.hypervolume import Hypervolume
from mfmat.acquisitions.improvement import Improvement
from mfmat.acquisitions.knowledge_gradient import KnowledgeGradient
from mfmat.acquisitions.level_set import LevelSet, TopK
from mfmat.acquisitions.max_value_entropy import MaxValueEntropy
from mfmat.acquisitions.noisy_improvement import NoisyImprovement
from mfmat.acquisitions.thompson import Thompson
from mfmat.acquisitions.upper_confidence import UpperConfidence
from mfmat.acquisitions.variance_reduction import VarianceReduction

__all__ = [
    "Acquisition",
    "Hypervolume",
    "Improvement",
    "KnowledgeGradient",
    "LevelSet",
    "MaxValueEntropy",
    "NoisyImprovement",
    "Thompson",
    "TopK",
    "UpperConfidence",
    "VarianceReduction",
]
