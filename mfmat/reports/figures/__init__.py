"""Figures for papers and notebooks, drawn by matplotlib: one function each, which returns its Axes.

All take what this package gives, and an optional `ax`. Colours can be told apart by colour-blind readers, and
differ in shape, dash or shade, too. Without an `ax` the figure is as wide as a column of print: `width=SINGLE` (89 mm)
or `DOUBLE` (183 mm), or any number of mm. Inside `with paper():` letters and lines have the size of print.
"""

from mfmat.reports.figures.classes import reliability, selective_accuracy
from mfmat.reports.figures.fusions import source_contribution, source_gains, sources
from mfmat.reports.figures.growth import learning_curve
from mfmat.reports.figures.honesty import calibration, coverage_by_group, pit_histogram, spread_against_error
from mfmat.reports.figures.money import cost_to_target
from mfmat.reports.figures.paper import DOUBLE, SINGLE, paper
from mfmat.reports.figures.planes import blend, gate_weights
from mfmat.reports.figures.points import intervals, parity
from mfmat.reports.figures.transfer import transferability

__all__ = [
    "DOUBLE",
    "SINGLE",
    "blend",
    "calibration",
    "cost_to_target",
    "coverage_by_group",
    "gate_weights",
    "intervals",
    "learning_curve",
    "paper",
    "parity",
    "pit_histogram",
    "reliability",
    "selective_accuracy",
    "source_contribution",
    "source_gains",
    "sources",
    "spread_against_error",
    "transferability",
]
