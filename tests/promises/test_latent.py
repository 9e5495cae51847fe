"""Latent's intervals hold as often as they say, whether the cheap value of a material is measured or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import mfmat as mf

DRAWS = 200
CHEAP, TRUSTED = 80, 40
SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"cheap": 1, "trusted": 10})


def draw(seed: int, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A bent function of a cheap value that x does not tell all of; a share of the trusted rows has one.

    Of the two new rows the first has a cheap value, the second has none.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, CHEAP + TRUSTED + 2)
    distance = np.abs(x[:, None] - x[None])
    smooth = np.linalg.cholesky(np.exp(-0.5 * (distance / 0.2) ** 2) + 1e-9 * np.eye(len(x))) @ rng.normal(size=len(x))
    cheap = smooth + 0.4 * rng.normal(size=len(x))
    y = 1.5 * cheap + 0.4 * np.sin(2 * cheap) + 0.5 * x + 0.2 * rng.normal(size=len(x))
    trusted = np.arange(CHEAP, CHEAP + TRUSTED)
    low = np.r_[np.arange(CHEAP), trusted[: round(share * TRUSTED)], CHEAP + TRUSTED]
    rows = [
        pd.DataFrame({"x": x[low], "s": "cheap", "y": cheap[low]}),
        pd.DataFrame({"x": x[trusted], "s": "trusted", "y": y[trusted]}),
    ]
    return pd.concat(rows, ignore_index=True), pd.DataFrame({"x": x[-2:], "y": y[-2:]})


@pytest.mark.promise
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_ninety_percent_intervals_cover_within_the_binomial_band(share: float) -> None:
    # One draw gives one row of each kind, so that the rows of a kind are independent.
    inside = np.zeros(2)
    for seed in range(DRAWS):
        table, new = draw(seed, share)
        said = mf.fit(table, SCHEMA, mf.Latent([mf.GP()])).predict(new)
        inside += new["y"].between(said["lower"], said["upper"]).to_numpy()
    low, high = binom.interval(0.99, DRAWS, 0.9)
    assert ((low <= inside) & (inside <= high)).all(), inside / DRAWS


@pytest.mark.promise
def test_half_measured_rows_are_not_judged_by_the_errors_of_the_others() -> None:
    """Fitted once, the noise of g holds the errors of predicted latents, and measured rows are too unsure."""
    widths = []
    for rounds in (1, 2):
        said = []
        for seed in range(20):
            table, new = draw(seed, 0.5)
            row = mf.fit(table, SCHEMA, mf.Latent([mf.GP()], rounds=rounds)).predict(new[:1])
            said.append(float((row["upper"] - row["lower"]).iloc[0]))
        widths.append(np.median(said))
    assert widths[1] < 0.8 * widths[0]
