"""One question worth paying for per file."""

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.acquisitions.improvement import Improvement
from mfmat.acquisitions.variance_reduction import VarianceReduction

__all__ = ["Acquisition", "Improvement", "VarianceReduction"]
