"""MultiTask finds planted correlations, signed, within the error it states, and its intervals hold what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import mfmat as mf

DRAWS = 40
RECIPE = mf.MultiTask(mf.GP(kernel="rbf"))
SCHEMA = mf.Schema(mf.Columns(["a", "b"]), value="y", source="s", costs={"cheap": 1, "trusted": 10})


def draw(
    seed: int, rho: float, own: float = 0.0, cheap_rows: int = 80, trusted_rows: int = 40
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two sources in other units whose functions have correlation rho; half of the trusted rows are cheap ones, too.

    With `own`, each material has a part that no input tells, opposed where rho is. Of the two new rows the first
    has a cheap value, the second has none.
    """
    rng = np.random.default_rng(seed)
    n = cheap_rows + trusted_rows // 2 + 1
    x = rng.uniform(0, 1, (n, 2))
    distance = np.square(x[:, None] - x[None]).sum(-1)
    root = np.linalg.cholesky(np.exp(-0.5 * distance / 0.25**2) + 1e-9 * np.eye(n))
    u, v = root @ rng.normal(size=(n, 2)).T[0], root @ rng.normal(size=n)
    part = own * rng.normal(size=n)
    low = 300 * (u + part + 0.1 * rng.normal(size=n)) + 50
    high = rho * u + np.sqrt(1 - rho**2) * v + np.sign(rho) * part + 0.1 * rng.normal(size=n)
    table = pd.DataFrame(x, columns=["a", "b"])
    seen = np.arange(n - 1)
    cheap, trusted = seen[:cheap_rows], seen[cheap_rows - trusted_rows // 2 :]
    rows = [table.iloc[cheap].assign(s="cheap", y=low[cheap]), table.iloc[trusted].assign(s="trusted", y=high[trusted])]
    new = [0, n - 1]
    return pd.concat(rows, ignore_index=True), table.iloc[new].assign(y=high[new])


@pytest.mark.promise
@pytest.mark.parametrize("rho", [-0.95, -0.6, 0.0, 0.6, 0.95])
def test_a_planted_correlation_is_found_within_the_error_it_states(rho: float) -> None:
    off, right = [], 0
    for seed in range(DRAWS):
        model = RECIPE.fit(SCHEMA.data(draw(seed, rho)[0]))
        said, error = float(model.correlations()[0, 1]), float(model.correlation_errors()[0, 1])
        # On the scale on which a correlation's error does not depend on it.
        off.append((np.arctanh(said) - np.arctanh(rho)) * (1 - said**2) / error)
        right += said * rho > 0
    # The prior pulls towards 0, and an error of chosen hyperparameters is a little small.
    assert abs(np.mean(off)) < 0.9
    assert 0.8 < np.sqrt(np.mean(np.square(off))) < 1.5
    assert (np.abs(off) < 1.645).mean() > binom.ppf(0.005, DRAWS, 0.8) / DRAWS
    assert right == DRAWS or abs(rho) < 0.6


@pytest.mark.promise
@pytest.mark.parametrize(("rho", "own"), [(-0.9, 0.0), (-0.9, 0.4), (0.0, 0.0)])
def test_ninety_percent_intervals_cover_within_the_binomial_band(rho: float, own: float) -> None:
    # One draw gives one row of each kind, so that the rows of a kind are independent.
    draws, inside = 60, np.zeros(2)
    for seed in range(draws):
        # Of fewer rows hyperparameters that are chosen, not sampled, are too sure: about 0.82 of 40 with own parts.
        table, new = draw(seed, rho, own, cheap_rows=120, trusted_rows=80)
        said = mf.fit(table, SCHEMA, RECIPE).predict(new)
        inside += new["y"].between(said["lower"], said["upper"]).to_numpy()
    low, high = binom.interval(0.99, draws, 0.9)
    assert ((low <= inside) & (inside <= high)).all(), inside / draws
