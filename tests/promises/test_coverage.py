"""Intervals hold as often as they say, over repeated draws of a known two-fidelity problem."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import mfmat as mf

NEW = 5
TRUSTED = 38
"""Half of them, 19, calibrate the split form: the 18th of 19 scores covers exactly 18/20."""
SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"cheap": 1, "trusted": 10})


def draw(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A Gaussian-process pair, y = 1.5 cheap + correction + noise, with a few trusted rows, and new trusted ones."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(0, 1, 60), rng.uniform(0, 1, TRUSTED + NEW)])
    distance = np.abs(x[:, None] - x[None])

    def process(length: float) -> np.ndarray:
        covariance = np.exp(-0.5 * (distance / length) ** 2) + 1e-9 * np.eye(len(x))
        return np.linalg.cholesky(covariance) @ rng.normal(size=len(x))

    low = process(0.12)
    high = 1.5 * low + 0.4 * process(0.25)
    cheap = pd.DataFrame({"x": x[:60], "s": "cheap", "y": low[:60] + 0.05 * rng.normal(size=60)})
    trusted = pd.DataFrame({"x": x[60:], "s": "trusted", "y": high[60:] + 0.1 * rng.normal(size=TRUSTED + NEW)})
    return pd.concat([cheap, trusted[:TRUSTED]], ignore_index=True), trusted[TRUSTED:]


def covered(recipe: mf.Learner, draws: int) -> int:
    """New measurements inside their 90% intervals, one problem a draw, one new row of each in turn counted."""
    inside = 0
    for seed in range(draws):
        table, new = draw(seed)
        said = mf.fit(table, SCHEMA, recipe).predict(new.iloc[[seed % NEW]])
        inside += int(said["lower"].iloc[0] <= new["y"].iloc[seed % NEW] <= said["upper"].iloc[0])
    return inside


@pytest.mark.promise
@pytest.mark.parametrize(
    ("recipe", "draws"),
    [
        pytest.param(mf.Difference([mf.GP()]), 200, id="before"),
        pytest.param(mf.Conformal(mf.Difference([mf.GP()]), folds=5), 100, id="cross conformal"),
        pytest.param(mf.Conformal(mf.Difference([mf.GP()]), form="split", folds=2), 200, id="split conformal"),
    ],
)
def test_ninety_percent_intervals_cover_within_the_binomial_band(recipe: mf.Learner, draws: int) -> None:
    # One row a draw makes the rows independent, so that the band is the binomial one.
    low, high = binom.interval(0.99, draws, 0.9)
    assert low <= covered(recipe, draws) <= high
