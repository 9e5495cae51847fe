"""The algebra of distributions: what can be asked of any posterior, row by row."""

from mfmat.posteriors.conformal import ConformalPosterior, conformal_rank
from mfmat.posteriors.gaussian import GaussianPosterior, normal, root
from mfmat.posteriors.mixture import MixturePosterior
from mfmat.posteriors.questions import RowPosterior, cdf, interval, log_density, log_mass, quantile

__all__ = [
    "ConformalPosterior",
    "GaussianPosterior",
    "MixturePosterior",
    "RowPosterior",
    "cdf",
    "conformal_rank",
    "interval",
    "log_density",
    "log_mass",
    "normal",
    "quantile",
    "root",
]
