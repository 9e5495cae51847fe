"""What Ensemble and AtomSet promise of their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mfmat as mf

pytestmark = pytest.mark.promise
SCHEMA = mf.Schema(mf.Columns(["a", "b"]), value="y")


def draw(n: int, seed: int) -> pd.DataFrame:
    """A curved function with noise that grows tenfold along a."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, n))
    noise = 0.05 * 10 ** ((a + 1) / 2)
    return pd.DataFrame({"a": a, "b": b, "y": np.sin(3 * a) + b**2 + noise * rng.normal(size=n)})


@pytest.mark.parametrize("recipe", [mf.Ensemble(hidden=(64, 64)), mf.AtomSet(hidden=(64, 64))])
def test_intervals_hold_as_often_as_they_say_where_noise_is_uneven(recipe: mf.Learner) -> None:
    levels, inside, quiet = (0.5, 0.8, 0.9), [], []
    for seed in range(6):
        surrogate, new = mf.fit(draw(800, seed), SCHEMA, recipe), draw(1000, 100 + seed)
        held = []
        for level in levels:
            said = surrogate.predict(new, level=level)
            held.append(((new["y"] >= said["lower"]) & (new["y"] <= said["upper"])).to_numpy())
        inside.append([each.mean() for each in held])
        quiet.append([held[2][new["a"] < -0.5].mean(), held[2][new["a"] > 0.5].mean()])
    # Scale and shape are learned from 80 and 720 rows: a standard deviation of about 0.03 a draw.
    np.testing.assert_allclose(np.mean(inside, axis=0), levels, atol=0.05)
    # Where there is little noise they may be too wide: what is smoothed over is the noise nearby.
    assert np.mean(quiet, axis=0).min() > 0.83


@pytest.mark.parametrize("recipe", [mf.Ensemble(hidden=(64, 64)), mf.AtomSet(hidden=(64, 64))])
def test_far_away_the_interval_is_that_of_the_values_themselves(recipe: mf.Learner) -> None:
    table = draw(800, 0)
    said = mf.fit(table, SCHEMA, recipe).predict(
        pd.DataFrame({"a": [0.0, 1e3, 1e6], "b": [0.0, 1e3, -1e6]}), noise=False
    )
    assert said["std"].iloc[0] < 0.3 * table["y"].std()
    np.testing.assert_allclose(said["std"].iloc[1:], table["y"].std(), rtol=0.02)
    np.testing.assert_allclose(said["mean"].iloc[1:], table["y"].mean(), atol=0.02)
