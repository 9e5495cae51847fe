"""Probabilities of labels hold as often as they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import mfmat as mf


@pytest.mark.promise
def test_probabilities_are_calibrated_over_repeated_draws() -> None:
    said, happened = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        # A function from the expert's own family: a few random waves with a typical length.
        waves, phases = rng.normal(size=(40, 2)), rng.uniform(0, 2 * np.pi, 40)
        x = rng.uniform(-2, 2, (400, 2))
        f = 2.5 * np.sqrt(2 / 40) * np.cos(x @ waves.T + phases).sum(axis=1)
        y = rng.uniform(size=400) < 1 / (1 + np.exp(-f))
        table = pd.DataFrame(x, columns=["a", "b"]).assign(y=y)
        schema = mf.Schema(mf.Columns(["a", "b"]), value="y", kinds={"y": ("False", "True")})
        surrogate = mf.fit(table[:200], schema, mf.GP(kernel="rbf"))
        said.append(surrogate.predict(table[200:])["p_True"].to_numpy())
        happened.append(y[200:])
    p, truth = np.concatenate(said), np.concatenate(happened)
    for low, high in [(0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)]:
        inside = (p >= low) & (p < high)
        n, expected = int(inside.sum()), p[inside].mean()
        assert n > 50
        # Rows of one table share a function: as if a quarter of them were independent.
        least, most = binom.ppf([0.005, 0.995], n // 4, expected) / (n // 4)
        assert least <= truth[inside].mean() <= most
