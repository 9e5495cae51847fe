"""What Bayesian networks promise: exact where there is a closed form, and intervals that hold as often as they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, chi2

import mfmat as mf
from mfmat.experts.nuts import sample
from mfmat.experts.sampled import Place, Target
from mfmat.posteriors import interval
from mfmat.weights import NOISE_FLOOR

LEVELS = (0.5, 0.8, 0.9, 0.95)


def line(n: int, d: int, seed: int, *, orthogonal: bool) -> tuple[pd.DataFrame, mf.Schema]:
    """A line with noise; orthogonal columns make the weights independent, correlated ones do not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    if orthogonal:
        x = np.linalg.qr(x - x.mean(0))[0] * np.sqrt(n)
    else:
        x[:, 1:] += x[:, :1]
    y = x @ rng.normal(size=d) + rng.normal(size=n)
    names = [f"x{i}" for i in range(d)]
    return pd.DataFrame(x, columns=names).assign(y=y), mf.Schema(mf.Columns(names), value="y")


@pytest.mark.promise
@pytest.mark.parametrize(("guide", "orthogonal"), [("mean-field", True), ("low-rank", True), ("low-rank", False)])
def test_variational_inference_of_a_linear_network_is_the_closed_form(guide: str, orthogonal: bool) -> None:
    table, schema = line(80, 4, 0, orthogonal=orthogonal)
    data = schema.data(table)
    exact = mf.BNN(hidden=()).fit(data)
    drawn = mf.BNN(hidden=(), inference="svi", guide=guide, steps=4000, draws=4000).fit(data)
    X = data.X[:, None]
    with torch.no_grad():
        a, b = exact.posterior(X), drawn.posterior(X)
    # Of 4,000 draws the variance is known to 2.2%, the mean to 1.6% of a standard deviation; the bound is noisy, too.
    assert float(((a.mean - b.mean) / a.variance.sqrt()).abs().max()) < 0.25
    ratio = (b.variance / a.variance).sqrt()
    assert 0.85 < float(ratio.min()) <= float(ratio.max()) < 1.15


def calibration_rank(seed: int, kept: int) -> list[int]:
    """Ranks of what a draw from the prior was among draws from the posterior of the rows that it made."""
    rng = np.random.default_rng(seed)
    features = torch.tensor(np.column_stack([np.ones(8), np.linspace(-1.5, 1.5, 8), np.cos(np.arange(8))]))
    block, zeros = torch.tensor([0, 1, 1]), torch.zeros(8, dtype=torch.long)
    log_precision, log_noise = torch.tensor(3.0 * rng.normal(size=2)), torch.tensor(-3 + 1.5 * rng.normal(size=1))
    weights = torch.tensor(rng.normal(size=3)) * (-0.5 * log_precision[block]).exp()
    noise = (NOISE_FLOOR + log_noise.exp()).sqrt() * torch.tensor(rng.normal(size=8))
    target = Target(
        lambda w, at: features[at] @ w,
        block,
        features @ weights + noise,
        zeros,
        relative=torch.ones(8).double(),
        extra=torch.zeros(8).double(),
    )
    start = Place(torch.zeros(3).double(), torch.zeros(2).double(), torch.full((1,), -3.0).double())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn, drawn_noise = sample(target, start, free=True, warmup=100, draws=kept, thin=4)
    told = [weights[1], (features[2] @ weights), log_noise[0]]
    said = [drawn[:, 1], drawn @ features[2], drawn_noise[:, 0]]
    return [int((each < truth).sum()) for each, truth in zip(said, told, strict=True)]


@pytest.mark.promise
def test_nuts_passes_simulation_based_calibration() -> None:
    # Talts et al. 2018, arXiv:1804.06788: if the draws are from the posterior, the ranks are uniform.
    kept, bins, simulations = 15, 4, 24
    ranks = np.array([calibration_rank(seed, kept) for seed in range(simulations)])
    counts = np.stack([np.bincount(column * bins // (kept + 1), minlength=bins) for column in ranks.T])
    expected = simulations / bins
    scores = ((counts - expected) ** 2 / expected).sum(1)
    # Three quantities are looked at: together they go wrong by chance once in a hundred times.
    assert (scores < chi2.ppf(1 - 0.01 / 3, bins - 1)).all(), counts


def of_the_prior(hidden: tuple[int, ...], rows: int, columns: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Values of a random network of this shape, with noise of a fifth of their spread, and one new row."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows + 1, columns))
    h = x
    for units in hidden:
        h = h @ rng.normal(size=(h.shape[1], units)) / np.sqrt(h.shape[1]) + rng.normal(size=units)
        h = (h - h.mean(1, keepdims=True)) / h.std(1, keepdims=True)
        h = h / (1 + np.exp(-h))
    y = h @ rng.normal(size=h.shape[1])
    y = y / y.std() + 0.2 * rng.normal(size=rows + 1)
    table = pd.DataFrame(x, columns=[f"x{i}" for i in range(columns)]).assign(y=y)
    return table[:rows], table[rows:]


@pytest.mark.promise
@pytest.mark.parametrize(
    ("recipe", "columns", "draws"),
    [
        pytest.param(mf.BNN(hidden=()), 10, 200, id="linear"),
        pytest.param(mf.BNN(hidden=(32,), steps=300), 3, 100, id="last layer"),
        pytest.param(mf.BNN(hidden=(16,), steps=300, layers="all"), 3, 80, id="all layers"),
    ],
)
def test_on_draws_from_its_prior_intervals_cover_within_the_binomial_band(
    recipe: mf.BNN, columns: int, draws: int
) -> None:
    # One new row a draw: only then are the rows independent, and the band is the binomial one.
    schema = mf.Schema(mf.Columns([f"x{i}" for i in range(columns)]), value="y")
    inside = dict.fromkeys(LEVELS, 0)
    for seed in range(draws):
        table, new = of_the_prior(recipe.hidden, 150, columns, seed)
        model = recipe.fit(schema.data(table))
        with torch.no_grad():
            posterior = model.posterior(schema.encode(new)[0], observation_noise=True)
        for level in LEVELS:
            lower, upper = interval(posterior, level)
            inside[level] += int(lower <= new["y"].iloc[0] <= upper)
    bands = {level: binom.interval(0.99, draws, level) for level in LEVELS}
    assert {level: n for level, n in inside.items() if not bands[level][0] <= n <= bands[level][1]} == {}, inside


@pytest.mark.promise
@pytest.mark.parametrize("planted", [0.2, 0.8])
def test_own_heads_recover_the_correlation_of_two_sources(planted: float) -> None:
    rng = np.random.default_rng(0)
    x, source = rng.normal(size=(600, 60)), np.repeat([0, 1], 300)
    common, own = rng.normal(size=60), rng.normal(size=(2, 60))
    weights = np.sqrt(planted) * common + np.sqrt(1 - planted) * own
    y = (x * weights[source]).sum(1) + 0.5 * rng.normal(size=600)
    names = [f"x{i}" for i in range(60)]
    table = pd.DataFrame(x, columns=names).assign(y=y, source=np.array(["cheap", "trusted"])[source])
    schema = mf.Schema(mf.Columns(names), value="y", source="source", costs={"cheap": 1, "trusted": 10})
    model = mf.BNN(hidden=(), heads="own").fit(schema.data(table))
    _, shared, _, single = (-model.weights.log_precision.detach()).exp().tolist()
    assert shared / (shared + single) == pytest.approx(planted, abs=0.2)
