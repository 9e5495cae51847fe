"""How good a posterior is, given what was measured: functions of (posterior, y)."""

from mfmat.metrics.calibration import (
    calibration_curve,
    coverage,
    ence,
    miscalibration_area,
    pit,
    pit_bounds,
    sharpness,
    width,
)
from mfmat.metrics.scores import (
    crps,
    gaussian_crps,
    has_atoms,
    interval_score,
    mae,
    mixture_crps,
    nll,
    rmse,
    row_crps,
    row_interval_score,
    row_nll,
)
from mfmat.metrics.tables import evaluate, summary

__all__ = [
    "calibration_curve",
    "coverage",
    "crps",
    "ence",
    "evaluate",
    "gaussian_crps",
    "has_atoms",
    "interval_score",
    "mae",
    "miscalibration_area",
    "mixture_crps",
    "nll",
    "pit",
    "pit_bounds",
    "rmse",
    "row_crps",
    "row_interval_score",
    "row_nll",
    "sharpness",
    "summary",
    "width",
]
