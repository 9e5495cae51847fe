"""A forest's intervals hold as often as they say, over repeated draws of functions that trees can follow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import mfmat as mf

DRAWS = 200
ROWS, COLUMNS = 200, 4
LEVELS = (0.5, 0.8, 0.9, 0.95)
NAMES = [f"x{i}" for i in range(COLUMNS)]


def draw(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two hundred rows of a sum of 20 random steps with noise, and one new row."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (ROWS + 1, COLUMNS))
    columns, places, heights = rng.integers(COLUMNS, size=20), rng.uniform(0, 1, 20), rng.normal(size=20)
    y = (heights * (x[:, columns] > places)).sum(1) + 0.5 * rng.normal(size=len(x))
    table = pd.DataFrame(x, columns=NAMES).assign(y=y)
    return table[:ROWS], table[ROWS:]


@pytest.mark.promise
@pytest.mark.parametrize("recipe", [mf.Forest(), mf.Forest(splits="best", leaf=3)], ids=["random", "best"])
def test_intervals_cover_within_the_binomial_band(recipe: mf.Forest) -> None:
    # One new row a draw: only then are the rows independent, and the band is the binomial one.
    inside = dict.fromkeys(LEVELS, 0)
    schema = mf.Schema(mf.Columns(NAMES), value="y")
    for seed in range(DRAWS):
        table, new = draw(seed)
        surrogate = mf.fit(table, schema, recipe)
        for level in LEVELS:
            said, y = surrogate.predict(new, level=level).iloc[0], new["y"].iloc[0]
            inside[level] += int(said["lower"] <= y <= said["upper"])
    bands = {level: binom.interval(0.99, DRAWS, level) for level in LEVELS}
    assert {level: n for level, n in inside.items() if not bands[level][0] <= n <= bands[level][1]} == {}, inside
