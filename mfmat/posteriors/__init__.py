"""The algebra of distributions: what can be asked of any posterior, row by row."""

from mfmat.posteriors.calibrated import CalibratedPosterior, conformal_rank
from mfmat.posteriors.components import components
from mfmat.posteriors.conformal import ConformalPosterior
from mfmat.posteriors.distributional import DistributionalPosterior, outlyingness
from mfmat.posteriors.gaussian import GaussianPosterior, normal, root
from mfmat.posteriors.mixture import MixturePosterior
from mfmat.posteriors.questions import RowPosterior, cdf, interval, log_density, log_mass, quantile
from mfmat.posteriors.recalibrated import RecalibratedPosterior

__all__ = [
    "CalibratedPosterior",
    "ConformalPosterior",
    "DistributionalPosterior",
    "GaussianPosterior",
    "MixturePosterior",
    "RecalibratedPosterior",
    "RowPosterior",
    "cdf",
    "components",
    "conformal_rank",
    "interval",
    "log_density",
    "log_mass",
    "normal",
    "outlyingness",
    "quantile",
    "root",
]
