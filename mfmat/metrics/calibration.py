"""How far stated uncertainty is that which is seen."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfmat.errors import CalibrationError
from mfmat.metrics.scores import has_atoms
from mfmat.posteriors import RowPosterior, cdf, interval, log_mass
from mfmat.types import Values

ROUNDING = 1e-9
"""Probability between a value and the next smaller number up to which it is on no atom."""


def coverage(posterior: RowPosterior, y: Values, level: float = 0.9) -> float:
    """Share of rows whose value lies in the central interval of that level."""
    lower, upper = interval(posterior, level)
    return float(((lower <= y) & (y <= upper)).double().mean())


def width(posterior: RowPosterior, level: float = 0.9) -> float:
    """Mean width of the central interval of that level, in the units of y."""
    lower, upper = interval(posterior, level)
    return float((upper - lower).mean())


def sharpness(posterior: RowPosterior) -> float:
    r"""Root mean predicted variance, $\sqrt{\frac1n\sum_i \sigma_i^2}$, in the units of y: small is good, if it holds.

    Gneiting et al. 2007, doi:10.1111/j.1467-9868.2007.00587.x.
    """
    return float(posterior.variance.mean().sqrt())


def ence(posterior: RowPosterior, y: Values, bins: int = 10) -> float:
    r"""Expected normalised calibration error: how far predicted spread is from the errors seen where it was predicted.

    Rows are put in bins of (nearly) equal size by their predicted standard deviation;
    $\frac1B \sum_b |RMV_b - RMSE_b| / RMV_b$ with the root mean predicted variance and the root mean squared
    error of the mean in each bin. 0 where every spread is right on average; n rows of a right model show about
    $\sqrt{B / \pi n}$ by chance.

    Args:
        bins: B.

    Raises:
        CalibrationError: fewer rows than bins.

    Levi et al. 2022, doi:10.3390/s22155540.

    >>> from mfmat.posteriors import normal
    >>> round(ence(normal(torch.zeros(4, 1), torch.ones(4, 1, 1)), torch.full((4, 1, 1), 3.0), bins=2), 2)
    2.0
    """
    variance, error = posterior.variance.flatten(), (y - posterior.mean).flatten().square()
    parts = spread_bins(variance, bins)
    predicted = torch.stack([variance[part].mean().sqrt() for part in parts])
    seen = torch.stack([error[part].mean().sqrt() for part in parts])
    return float(((predicted - seen).abs() / predicted).mean())


def spread_bins(variance: Tensor, bins: int) -> list[Tensor]:
    """Positions of rows (n) in each bin of nearly equal size, from the smallest predicted variance to the largest.

    Raises:
        CalibrationError: fewer rows than bins.
    """
    if len(variance) < bins:
        raise CalibrationError(
            f"{len(variance)} rows in {bins} bins", expected="a row in each", fix=f"bins={max(len(variance), 1)}"
        )
    return list(torch.tensor_split(variance.argsort(stable=True), bins))


def pit(posterior: RowPosterior, y: Values, seed: int = 0) -> Values:
    r"""Probability integral transform $F_i(y_i)$ of each row (b x q x 1), uniform on [0, 1] where predictions hold.

    A value on an atom lies at all probabilities between those of less than it and of at most it; one of them is drawn.

    Args:
        seed: of these draws.

    Dawid 1984, doi:10.2307/2981683; Czado et al. 2009, doi:10.1111/j.1541-0420.2009.01191.x.
    """
    below, upto = pit_bounds(posterior, y)
    share = torch.rand(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(seed))
    return torch.where(upto > below, below + share * (upto - below), upto)


def pit_bounds(posterior: RowPosterior, y: Values) -> tuple[Values, Values]:
    """The predictive probabilities of less than each value and of at most it; equal where it is on no atom."""
    upto = cdf(posterior, y)
    if not has_atoms(posterior):
        return upto, upto
    before = torch.nextafter(y, torch.full_like(y, -math.inf))
    on = log_mass(posterior, before, y).exp() > ROUNDING
    return torch.where(on, cdf(posterior, before), upto), upto


def miscalibration_area(posterior: RowPosterior, y: Values) -> float:
    """Area between the calibration curve and the diagonal, 0 (perfect) to 0.5."""
    below, pit = pit_bounds(posterior, y)
    levels, observed = calibration_curve(pit, below=below)
    return float(torch.trapezoid((observed - levels).abs(), levels))


def calibration_curve(pit: Tensor, points: int = 101, below: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Nominal levels of central intervals and the share of rows inside each.

    A value on an atom lies at all probabilities from `below` to `pit` alike (Czado et al. 2009,
    doi:10.1111/j.1541-0420.2009.01191.x), and is inside by the share of them that is.

    Args:
        pit: the predictive cumulative probability at each measured value (any shape), see `posteriors.cdf`.
        points: number of levels from 0 to 1.
        below: the probability of less than the measured value, where that is less than `pit`.

    >>> levels, observed = calibration_curve(torch.tensor([0.5, 0.9]), points=3)
    >>> observed
    tensor([0.5000, 0.5000, 1.0000])
    """
    levels = torch.linspace(0, 1, points, dtype=pit.dtype)
    return levels, row_inside(pit, levels, below).mean(dim=0)


def row_inside(pit: Tensor, levels: Tensor, below: Tensor | None = None) -> Tensor:
    """Whether each of n values lies in the central interval of each level (n x k), see `calibration_curve`."""
    pit = pit.reshape(-1, 1)
    start = pit if below is None else below.reshape(-1, 1)
    inside = ((2 * pit - 1).abs() <= levels + 1e-12).to(pit)
    overlap = torch.minimum(pit, (1 + levels) / 2) - torch.maximum(start, (1 - levels) / 2)
    jump = pit - start
    return torch.where(jump > 0, overlap.clamp_min(0) / torch.where(jump > 0, jump, 1.0), inside)


def band(n: int, levels: NDArray[np.float64], chance: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of n rows between which intervals of each level hold with that chance, if they are calibrated.

    >>> low, high = band(100, np.array([0.9]))
    >>> float(low[0]), float(high[0])
    (0.84, 0.95)
    """
    # A tenth of a second that only those who ask whether chance explains it should wait for.
    from scipy.special import bdtrik

    tail = (1 - chance) / 2
    low, high = (np.clip(np.ceil(bdtrik(share, n, levels)), 0, n) / n for share in (tail, 1 - tail))
    # At levels 0 and 1 no row or every row is inside, which the inverse leaves undefined.
    sure = (levels <= 0) | (levels >= 1)
    return np.where(sure, levels, low), np.where(sure, levels, high)
