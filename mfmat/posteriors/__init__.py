"""The algebra of distributions: what can be asked of any posterior, row by row."""

from mfmat.posteriors.calibrated import CalibratedPosterior, Ends
from mfmat.posteriors.components import components
from mfmat.posteriors.conformal import ConformalPosterior
from mfmat.posteriors.distributional import DistributionalPosterior, normal_score
from mfmat.posteriors.gaussian import GaussianPosterior, normal, root
from mfmat.posteriors.mixture import MixturePosterior
from mfmat.posteriors.questions import RowPosterior, ShapedPosterior, cdf, interval, log_density, log_mass, quantile
from mfmat.posteriors.recalibrated import RecalibratedPosterior
from mfmat.posteriors.transformed import TransformedIntervals, TransformedPosterior, push
from mfmat.posteriors.truncated import Truncated, squeeze, truncate
from mfmat.posteriors.weighing import CalibrationWarning, Weighing, conformal_rank, effective

__all__ = [
    "CalibratedPosterior",
    "CalibrationWarning",
    "ConformalPosterior",
    "DistributionalPosterior",
    "Ends",
    "GaussianPosterior",
    "MixturePosterior",
    "RecalibratedPosterior",
    "RowPosterior",
    "ShapedPosterior",
    "TransformedIntervals",
    "TransformedPosterior",
    "Truncated",
    "Weighing",
    "cdf",
    "components",
    "conformal_rank",
    "effective",
    "interval",
    "log_density",
    "log_mass",
    "normal",
    "normal_score",
    "push",
    "quantile",
    "root",
    "squeeze",
    "truncate",
]
