"""Joint draws: each row as predicted, rows together as in the joint Gaussian."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest, spearmanr

import mfmat as mf

SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"cheap": 1, "trusted": 10})
NEW = pd.DataFrame({"x": [0.1, 0.12, 0.45, 0.8]})


def table(n: int = 60) -> pd.DataFrame:
    """A trusted source with a floor, and a cheap one that goes on below it."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, n)
    smooth = np.sin(6 * x) + 0.05 * rng.normal(size=n)
    cheap = pd.DataFrame({"x": x, "s": "cheap", "y": smooth})
    trusted = pd.DataFrame({"x": x, "s": "trusted", "y": np.maximum(smooth, 0)})
    return pd.concat([cheap, trusted], ignore_index=True)


@pytest.fixture(scope="module", params=["hurdle", "forest", "auto"])
def fitted(request: pytest.FixtureRequest) -> mf.Surrogate:
    recipes = {
        "hurdle": mf.TargetOnly(mf.Hurdle(mf.GP())),
        "forest": mf.Latent([mf.GP(), mf.Forest(trees=30)]),
        "auto": mf.Auto(),
    }
    return mf.fit(table(), SCHEMA, recipes[request.param])


def test_every_row_is_drawn_as_predicted(fitted: mf.Surrogate) -> None:
    drawn = fitted.sample(NEW, n=4000)
    X, _ = fitted.schema.encode(NEW)
    model = fitted.model
    while hasattr(model, "inner"):
        model = model.inner
    with torch.no_grad():
        said = model.posterior(X, observation_noise=True)
    for row in range(len(NEW)):
        values = drawn.iloc[row].to_numpy()
        levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
        for level in levels:
            end = float(said.quantile(said.mean.new_tensor(level))[row].detach())
            # At an atom the probability of at most its value is more than the level.
            assert (values <= end + 1e-9).mean() > level - 0.03
            assert (values < end - 1e-9).mean() < level + 0.03


def test_atoms_are_hit() -> None:
    surrogate = mf.fit(table(), SCHEMA, mf.TargetOnly(mf.Hurdle(mf.GP())))
    drawn = surrogate.sample(NEW, n=500)
    share = (drawn == 0).mean(axis=1)
    assert share.iloc[3] > 0.8
    assert share.iloc[0] < 0.2


def test_neighbours_and_sources_move_together() -> None:
    surrogate = mf.fit(table(20), SCHEMA, mf.Latent([mf.GP(), mf.Forest(trees=30)]))
    new = pd.DataFrame({"x": [0.3, 0.300001, 5.0]})
    drawn = surrogate.sample(new, n=500, noise=False)
    assert spearmanr(drawn.iloc[0], drawn.iloc[1]).statistic > 0.5
    both = surrogate.sample(new, n=500, source=["cheap", "trusted"])
    assert both.index.names == ["source", None]
    assert both.shape == (6, 500)


def test_draws_of_a_gaussian_are_the_joint_ones() -> None:
    surrogate = mf.fit(table(), SCHEMA, mf.Difference([mf.GP()]))
    drawn, said = surrogate.sample(NEW, n=3000), surrogate.predict(NEW)
    z = (drawn.sub(said["mean"], axis=0)).div(said["std"], axis=0)
    assert all(kstest(row, "norm").pvalue > 1e-4 for row in z.to_numpy())


def test_one_seed_one_draw(fitted: mf.Surrogate) -> None:
    pd.testing.assert_frame_equal(fitted.sample(NEW, n=5, seed=3), fitted.sample(NEW, n=5, seed=3))
    assert not fitted.sample(NEW, n=50, seed=3).equals(fitted.sample(NEW, n=50, seed=4))
