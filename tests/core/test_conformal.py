"""Conformal intervals: against MAPIE and crepes, by hand, and the promise itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from crepes import ConformalRegressor
from hypothesis import given
from hypothesis import strategies as st
from mapie.regression import CrossConformalRegressor, SplitConformalRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from torch import Tensor

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import CalibrationError, SchemaError
from mfmat.learner import Facts, FittedModel, Learner
from mfmat.metrics import row_crps
from mfmat.posteriors import (
    ConformalPosterior,
    DistributionalPosterior,
    MixturePosterior,
    cdf,
    conformal_rank,
    interval,
    normal,
    quantile,
)

# Ranks by hand.


@pytest.mark.parametrize(
    ("n", "level", "rank"),
    [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (19, 0.95, 19), (99, 0.95, 95), (1, 0.5, 1), (4, 0.8, 4), (10, 0.5, 6)],
)
def test_the_rank_is_that_of_the_formula(n: int, level: float, rank: int) -> None:
    assert conformal_rank(n, level) == rank


@pytest.mark.parametrize(("level", "needed"), [(0.5, 1), (0.683, 3), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_too_few_rows_are_an_error_that_says_how_many_are_needed(level: float, needed: int) -> None:
    message = rf"{needed - 1} calibration rows for intervals at level {level}; expected at least {needed};"
    with pytest.raises(CalibrationError, match=message):
        conformal_rank(needed - 1, level)
    assert conformal_rank(needed, level) == needed


def test_the_error_names_a_level_that_the_rows_can_give() -> None:
    with pytest.raises(CalibrationError) as caught:
        conformal_rank(8, 0.9)
    offered = float(re.search(r"a level of at most ([0-9.]+)", str(caught.value))[1])
    assert conformal_rank(8, offered) == 8


@given(st.integers(1, 500), st.floats(0.01, 0.99))
def test_the_rank_is_the_smallest_that_keeps_the_promise(n: int, level: float) -> None:
    needed = level * (n + 1)
    if needed > n + 1e-6:
        with pytest.raises(CalibrationError):
            conformal_rank(n, level)
    elif needed < n - 1e-6:
        rank = conformal_rank(n, level)
        assert rank >= needed - 1e-6
        assert rank - 1 < needed


# Against other libraries.

RNG = np.random.default_rng(0)
ROWS = RNG.uniform(-1, 1, (59, 2))
VALUES = ROWS @ [1.0, -2.0] + np.sin(5 * ROWS[:, 0]) + 0.3 * RNG.normal(size=59)
UNSEEN = RNG.uniform(-1, 1, (25, 2))
EXACT_LEVELS = pytest.mark.parametrize("level", [0.5, 0.75, 0.875])
"""Levels that binary fractions hold: no rank depends on rounding."""


def column(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(x, dtype=float)).reshape(-1, 1)


def split_posterior(median: np.ndarray, spread: np.ndarray, scores: np.ndarray) -> ConformalPosterior:
    base = normal(column(median), column(spread).square().unsqueeze(-1))
    one = torch.zeros(len(scores), dtype=torch.long)
    centres, spreads = column(median).reshape(1, -1, 1, 1), column(spread).reshape(1, -1, 1, 1)
    return ConformalPosterior(base, centres, spreads, torch.from_numpy(scores), one)


def bounds(posterior: ConformalPosterior, level: float) -> np.ndarray:
    return torch.cat(interval(posterior, level), dim=-1)[:, 0].numpy()


@EXACT_LEVELS
def test_split_intervals_are_those_of_crepes(level: float) -> None:
    median, spread = RNG.normal(size=25), RNG.uniform(0.5, 2, 25)
    residuals, sigmas = RNG.normal(size=59), RNG.uniform(0.5, 2, 59)
    theirs = ConformalRegressor().fit(residuals, sigmas=sigmas).predict_int(median, sigmas=spread, confidence=level)
    ours = bounds(split_posterior(median, spread, np.abs(residuals) / sigmas), level)
    np.testing.assert_array_equal(ours, theirs)


@EXACT_LEVELS
@pytest.mark.parametrize("n", [19, 30, 59])
def test_split_intervals_of_constant_spread_are_those_of_mapie(n: int, level: float) -> None:
    line = LinearRegression().fit(ROWS, VALUES)
    X, y = RNG.uniform(-1, 1, (n, 2)), RNG.normal(size=n)
    theirs = SplitConformalRegressor(line, confidence_level=level, prefit=True).conformalize(X, y)
    expected = theirs.predict_interval(UNSEEN)[1][:, :, 0]
    ours = split_posterior(line.predict(UNSEEN), np.ones(25), np.abs(y - line.predict(X)))
    np.testing.assert_allclose(bounds(ours, level), expected, rtol=1e-12)


@EXACT_LEVELS
def test_cross_intervals_of_constant_spread_are_mapies_cv_plus(level: float) -> None:
    folds = KFold(5, shuffle=True, random_state=0)
    theirs = CrossConformalRegressor(LinearRegression(), confidence_level=level, method="plus", cv=folds)
    expected = theirs.fit_conformalize(ROWS, VALUES).predict_interval(UNSEEN)[1][:, :, 0]
    scores, members, centres = np.zeros(59), np.zeros(59, dtype=int), []
    for k, (train, test) in enumerate(folds.split(ROWS)):
        line = LinearRegression().fit(ROWS[train], VALUES[train])
        scores[test], members[test] = np.abs(VALUES[test] - line.predict(ROWS[test])), k
        centres.append(column(line.predict(UNSEEN)))
    median = column(LinearRegression().fit(ROWS, VALUES).predict(UNSEEN))
    stacked = torch.stack(centres).unsqueeze(-1)
    ours = ConformalPosterior(
        normal(median, torch.ones(25, 1, 1, dtype=torch.double)),
        stacked,
        torch.ones_like(stacked),
        torch.from_numpy(scores),
        torch.from_numpy(members),
    )
    np.testing.assert_allclose(bounds(ours, level), expected, rtol=1e-12)


@EXACT_LEVELS
def test_a_fitted_split_gives_the_intervals_of_crepes(level: float, problem) -> None:
    table, schema = problem(trusted=38)
    surrogate = mf.fit(table, schema, mf.Conformal(mf.Difference([mf.GP()]), form="split", folds=2))
    _, y, median, _, std = surrogate.model.evidence().T[:5].numpy()
    new = pd.DataFrame({"x": np.linspace(0.05, 0.95, 9)})
    X, _ = schema.encode(new)
    with torch.no_grad():
        own = surrogate.model.inner.posterior(X, observation_noise=True)
    centre, spread = own.mean.flatten().numpy(), own.variance.sqrt().flatten().numpy()
    regressor = ConformalRegressor().fit(y - median, sigmas=std)
    theirs = regressor.predict_int(centre, sigmas=spread, confidence=level)
    said = surrogate.predict(new, level=level)
    np.testing.assert_array_equal(said[["lower", "upper"]], theirs)


# What every calibrated posterior has in common.


@st.composite
def posteriors(draw: st.DrawFn, members: int | None = None) -> ConformalPosterior:
    """Ten rows, up to four models, 1 to 40 scores."""
    k, n = members or draw(st.integers(1, 4)), draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    apart = draw(st.sampled_from([0.0, 0.1, 3.0]))
    median = torch.randn(10, 1, generator=generator, dtype=torch.double)
    spreads = torch.rand(k, 10, 1, 1, generator=generator, dtype=torch.double) + 0.1
    centres = median.reshape(1, 10, 1, 1) + apart * torch.randn(k, 10, 1, 1, generator=generator, dtype=torch.double)
    scores = torch.rand(n, generator=generator, dtype=torch.double) * 3
    own = torch.randint(k, (n,), generator=generator)
    centres = median.reshape(1, 10, 1, 1) if k == 1 else centres
    return ConformalPosterior(normal(median, torch.eye(1).double().expand(10, 1, 1)), centres, spreads, scores, own)


def highest(posterior: ConformalPosterior) -> float:
    return len(posterior.scores) / (len(posterior.scores) + 1)


@given(posteriors(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_level_gives_an_interval_around_that_of_a_lower_one(posterior, one: float, other: float) -> None:
    low, high = sorted(level * highest(posterior) for level in (one, other))
    narrow, wide = interval(posterior, low), interval(posterior, high)
    assert bool((wide[0] <= narrow[0]).all())
    assert bool((narrow[1] <= wide[1]).all())


@given(posteriors(), st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_quantiles_never_cross(posterior, sides: list[float]) -> None:
    levels = torch.tensor([0.5 + side * highest(posterior) / 2 for side in sorted(sides)], dtype=torch.double)
    assert bool((posterior.quantile(levels).diff(dim=0) >= 0).all())


@given(posteriors(), st.floats(0, 1))
def test_an_interval_holds_the_median(posterior, level: float) -> None:
    lower, upper = interval(posterior, level * highest(posterior))
    median = quantile(posterior, 0.5)
    assert bool(((lower <= median) & (median <= upper)).all())


@given(posteriors(members=1), st.data())
def test_the_cumulative_probability_undoes_the_quantile(posterior, data) -> None:
    n = len(posterior.scores)
    side = data.draw(st.sampled_from([-1, 1])) * data.draw(st.integers(1, n)) / (n + 1)
    found = cdf(posterior, quantile(posterior, 0.5 + side / 2))
    torch.testing.assert_close(found, torch.full_like(found, 0.5 + side / 2))


@given(posteriors(), st.floats(-5, 5), st.floats(0, 3))
def test_the_cumulative_probability_never_falls(posterior, y: float, more: float) -> None:
    at = torch.full((10, 1, 1), y, dtype=torch.double)
    below, above = cdf(posterior, at), cdf(posterior, at + more)
    assert bool((below <= above).all())
    assert bool((below > 0).all())
    assert bool((above < 1).all())


@given(posteriors(), st.floats(0, 1))
def test_the_central_interval_at_a_level_holds_what_lies_within_that_probability(posterior, level: float) -> None:
    level = level * highest(posterior)
    y = torch.linspace(-4, 4, 10).double().reshape(10, 1, 1)
    lower, upper = interval(posterior, level)
    within = (2 * cdf(posterior, y) - 1).abs() < level - 1e-9
    assert bool(((lower <= y) & (y <= upper))[within].all())


def test_mean_variance_and_draws_stay_the_learners_own() -> None:
    posterior = split_posterior(np.zeros(3), np.ones(3), np.full(20, 5.0))
    assert torch.equal(posterior.mean, posterior.base.mean)
    assert torch.equal(posterior.variance, posterior.base.variance)
    assert float(posterior.rsample(torch.Size([4000])).std()) == pytest.approx(1, rel=0.05)


# The learner.


def fit(problem, recipe: mf.Learner, **options: int) -> tuple[mf.Surrogate, pd.DataFrame]:
    table, schema = problem(**options)
    return mf.fit(table, schema, recipe), table


ALONE = mf.TargetOnly(mf.GP())


@pytest.mark.parametrize("form", ["split", "cross"])
@pytest.mark.parametrize("rows", [1, 3])
def test_one_compound_cannot_be_held_out(rows: int, form: str) -> None:
    table = pd.DataFrame({"x": np.arange(rows), "y": np.arange(rows), "family": "a"})
    data = mf.Schema(mf.Columns("x"), value="y", group="family").data(table)
    with pytest.raises(CalibrationError, match="target rows of 1 compound; expected at least 2, to hold some out"):
        mf.Conformal(mf.GP(), form=form).fit(data)


def test_no_target_rows_cannot_be_held_out(problem) -> None:
    table, schema = problem(trusted=0)
    with pytest.raises(CalibrationError, match="target rows of 0 compounds"):
        mf.Conformal(ALONE).fit(schema.data(table))


def test_another_form_is_an_error(unchecked: None) -> None:
    with pytest.raises(SchemaError, match="form='plus'"):
        mf.Conformal(mf.GP(), form="plus")


def test_eight_rows_give_no_ninety_percent_and_say_so(problem) -> None:
    surrogate, table = fit(problem, mf.Conformal(ALONE), trusted=8)
    with pytest.raises(CalibrationError, match=r"8 calibration rows for intervals at level 0\.9; expected at least 9"):
        surrogate.predict(table)
    assert np.isfinite(surrogate.predict(table, level=0.8).to_numpy()).all()


def test_nine_rows_give_ninety_percent_from_the_worst_score(problem) -> None:
    surrogate, _ = fit(problem, mf.Conformal(ALONE, form="split", folds=2), trusted=18)
    assert len(surrogate.model.scores) == 9
    far = pd.DataFrame({"x": [0.5]})
    said, own = surrogate.predict(far), surrogate.model.inner.posterior(surrogate.schema.encode(far)[0], None, True)
    reach = float(surrogate.model.scores.abs().max() * own.variance.detach().sqrt())
    assert float(said["upper"].iloc[0] - said["median"].iloc[0]) == pytest.approx(reach, rel=1e-4)


def test_cheap_sources_keep_the_learners_own_intervals(problem) -> None:
    surrogate, table = fit(problem, mf.Conformal(mf.Difference([mf.GP()])))
    X, _ = surrogate.schema.encode(table, "cheap")
    level = torch.tensor(0.95, dtype=torch.double)
    said, own = (model.posterior(X, observation_noise=True) for model in (surrogate.model, surrogate.model.inner))
    assert torch.equal(said.quantile(level), own.quantile(level))


def test_the_noise_free_value_keeps_the_learners_own_intervals(problem) -> None:
    surrogate, table = fit(problem, mf.Conformal(mf.Difference([mf.GP()])))
    X, _ = surrogate.schema.encode(table)
    level = torch.tensor(0.95, dtype=torch.double)
    assert torch.equal(surrogate.model.posterior(X).quantile(level), surrogate.model.inner.posterior(X).quantile(level))


def test_target_rows_and_others_in_one_posterior_are_an_error(problem) -> None:
    surrogate, table = fit(problem, mf.Conformal(ALONE))
    both = torch.cat([surrogate.schema.encode(table.iloc[:2], name)[0] for name in ("cheap", "trusted")])
    with pytest.raises(SchemaError, match="ask for each source on its own"):
        surrogate.model.posterior(both, observation_noise=True)


@pytest.mark.parametrize(("form", "held"), [("split", 4), ("cross", 12)])
def test_every_held_out_row_is_scored_once(form: str, held: int, problem) -> None:
    surrogate, table = fit(problem, mf.Conformal(ALONE, form=form, folds=3))
    position, y = surrogate.model.evidence().T[:2].numpy()
    assert len(set(position)) == len(position) == held
    np.testing.assert_array_equal(table["y"].iloc[position.astype(int)], y)


@dataclass(frozen=True)
class Line(Learner):
    """Least squares, with a spread that it gets badly wrong: larger where the values scatter less."""

    def fit(self, data: Data) -> FittedModel:
        return LineModel(torch.linalg.lstsq(_with_one(data.X), data.Y).solution, len(data.sources))

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        raise NotImplementedError


class LineModel(FittedModel):
    def __init__(self, slope: Tensor, sources: int) -> None:
        super().__init__()
        self.slope, self.facts = slope, {"width": 1, "sources": ["y"] * sources}

    def joint(self, X: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        return (_with_one(X) @ self.slope)[..., 0], torch.diag_embed((1.5 - X[..., 0]) * 0.01)

    def noise(self, X: Tensor) -> Tensor:
        return torch.zeros_like(X[..., 0])


def _with_one(X: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(X[..., :1]), X[..., :1]], dim=-1)


def hits(recipe: mf.Learner, rows: int, level: float, seed: int, unseen: int = 200) -> float:
    """The share of new values inside the intervals, for one draw of everything."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, rows + unseen)
    y = np.sin(4 * x) + x * rng.standard_t(3, len(x))
    schema = mf.Schema(mf.Columns("x"), value="y")
    data = schema.data(pd.DataFrame({"x": x, "y": y}))
    model = recipe.fit(data.take(torch.arange(rows)))
    X, Y = data.X[rows:].unsqueeze(1), data.Y[rows:].unsqueeze(1)
    lower, upper = interval(model.posterior(X, observation_noise=True), level)
    return float(((lower <= Y) & (upper >= Y)).double().mean())


@pytest.mark.parametrize(("calibration", "level"), [(9, 0.9), (20, 0.9), (50, 0.9), (20, 0.5)])
def test_split_intervals_of_a_wrong_model_cover_as_often_as_they_say(calibration: int, level: float) -> None:
    draws = 300
    recipe = mf.Conformal(Line(), form="split", folds=2)
    shares = [hits(recipe, 2 * calibration, level, seed) for seed in range(draws)]
    # Coverage given the calibration rows is Beta(k, n + 1 - k) distributed, k the rank.
    k = conformal_rank(calibration, level)
    expected = k / (calibration + 1)
    spread = math.sqrt(expected * (1 - expected) * (1 / (calibration + 2) + 1 / 200) / draws)
    assert abs(np.mean(shares) - expected) < 4 * spread


def test_without_calibration_the_wrong_model_does_not() -> None:
    assert np.mean([hits(Line(), 40, 0.9, seed) for seed in range(50)]) < 0.7


@pytest.mark.parametrize("calibration", [20, 50])
def test_cross_intervals_of_a_wrong_model_cover_as_often_as_they_say(calibration: int) -> None:
    shares = [hits(mf.Conformal(Line()), calibration, 0.9, seed) for seed in range(150)]
    assert 0.88 < np.mean(shares) < 0.97


# Scores, and ends of their own.


def brute(members: list, scores: Tensor, member: Tensor, level: float, side: float, ends: str) -> np.ndarray:
    """CV+ as it is written: each calibration row's own end by bisection of its member, then their order statistic."""
    found = []
    for score, k in zip(scores.tolist(), member.tolist(), strict=True):
        reach = side * abs(score) if ends == "both" else score
        chance = torch.special.ndtr(torch.tensor(reach, dtype=torch.double))
        found.append(members[k].quantile(chance).flatten().numpy())
    rank = conformal_rank(len(scores), level)
    ordered = np.sort(side * np.stack(found), axis=0)
    return side * ordered[rank - 1]


def pools(seed: int, k: int, rows: int, atom: bool) -> list[MixturePosterior]:
    """What k models say of some rows: mixtures of three components, one of them an atom at 0 or none."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(k):
        means = torch.randn(3, rows, 1, generator=generator, dtype=torch.double)
        variances = torch.rand(3, rows, 1, 1, generator=generator, dtype=torch.double) + 0.05
        if atom:
            means[0], variances[0] = 0.0, 0.0
        made.append(MixturePosterior(means, variances, torch.tensor([0.3, 0.3, 0.4]).double()))
    return made


@pytest.mark.parametrize("atom", [False, True])
@pytest.mark.parametrize("ends", ["both", "each"])
@pytest.mark.parametrize("k", [1, 3])
def test_cross_intervals_of_mixtures_are_cv_plus_on_the_predicted_probabilities(k: int, ends: str, atom: bool) -> None:
    members, generator = pools(0, k, 12, atom), torch.Generator().manual_seed(1)
    scores = torch.randn(60, generator=generator, dtype=torch.double)
    member = torch.arange(60) % k
    base = members[0] if k == 1 else pools(9, 1, 12, atom)[0]
    posterior = DistributionalPosterior(base, scores, said=members, members=member, ends=ends)
    median = quantile(base, 0.5).flatten().numpy()
    for level in (0.5, 0.9):
        per_end = level if ends == "both" else (1 + level) / 2
        lower, upper = (end.flatten().numpy() for end in interval(posterior, level))
        expected = (
            brute(members, scores, member, per_end, 1.0, ends),
            brute(members, scores, member, per_end, -1.0, ends),
        )
        np.testing.assert_allclose(upper, np.maximum(expected[0], median), atol=1e-6)
        np.testing.assert_allclose(lower, np.minimum(expected[1], median), atol=1e-6)
        if atom:
            on = np.abs(np.concatenate([lower, upper])) < 1e-9
            assert (np.concatenate([lower, upper])[on] == 0).all()


@pytest.mark.parametrize("ends", ["both", "each"])
def test_of_gaussians_probabilities_and_distances_are_the_same_scores(ends: str) -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 10, 1, 1, generator=generator, dtype=torch.double)
    spreads = torch.rand(3, 10, 1, 1, generator=generator, dtype=torch.double) + 0.1
    scores, member = torch.randn(40, generator=generator, dtype=torch.double), torch.arange(40) % 3
    said = [normal(m[..., 0], s.square()) for m, s in zip(centres, spreads, strict=True)]
    base = normal(torch.zeros(10, 1).double(), torch.ones(10, 1, 1).double())
    by_distance = ConformalPosterior(base, centres, spreads, scores, member, ends=ends)
    by_chance = DistributionalPosterior(base, scores, said=said, members=member, ends=ends)
    for level in (0.02, 0.3, 0.5, 0.7, 0.98) if ends == "both" else (0.1, 0.5, 0.9):
        torch.testing.assert_close(quantile(by_chance, level), quantile(by_distance, level), rtol=1e-9, atol=1e-9)
    y = torch.linspace(-3, 3, 10).double().reshape(10, 1, 1)
    torch.testing.assert_close(cdf(by_chance, y), cdf(by_distance, y), rtol=0, atol=1e-9)


def test_a_score_beyond_all_digits_still_gives_an_end_on_both_sides() -> None:
    base = pools(0, 1, 4, atom=False)[0]
    posterior = DistributionalPosterior(base, torch.full((20,), 12.0).double())
    lower, upper = interval(posterior, 0.9)
    spread = base.variance.sqrt()
    assert bool((upper < base.mean + 30 * spread).all())
    assert bool((upper > base.mean + 2 * spread).all())
    assert bool((lower > base.mean - 30 * spread).all())


def skewed(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return pd.DataFrame({"x": x, "y": x + rng.exponential(1.0, n)})


def test_ends_of_their_own_are_those_of_one_sided_conformal_prediction() -> None:
    schema, table = mf.Schema(mf.Columns("x"), value="y"), skewed(79, 0)
    recipe = mf.Conformal(mf.BayesianLinear(), form="split", folds=2, score="absolute", ends="each")
    surrogate, new = mf.fit(table, schema, recipe), skewed(9, 1)
    _, y, median, *_ = surrogate.model.evidence().T.numpy()
    centre = surrogate.model.inner.posterior(schema.encode(new)[0], None, True).mean.detach().flatten().numpy()
    said, residuals = surrogate.predict(new, level=0.8), np.sort(y - median)
    n = len(residuals)
    upper, lower = residuals[math.ceil(0.9 * (n + 1)) - 1], residuals[math.floor(0.1 * (n + 1)) - 1]
    np.testing.assert_allclose(said["upper"], centre + upper, rtol=1e-9)
    np.testing.assert_allclose(said["lower"], centre + lower, rtol=1e-9)


def test_ends_of_their_own_take_twice_as_many_rows(problem) -> None:
    surrogate, table = fit(problem, mf.Conformal(ALONE, ends="each"), trusted=18)
    with pytest.raises(
        CalibrationError, match=r"18 calibration rows for intervals at level 0\.95; expected at least 19"
    ):
        surrogate.predict(table)


@pytest.mark.parametrize("option", ["score", "ends"])
def test_another_score_or_other_ends_are_an_error(option: str, unchecked: None) -> None:
    with pytest.raises(SchemaError, match=f"{option}='upper'"):
        mf.Conformal(mf.GP(), **{option: "upper"})


def test_the_score_of_several_models_is_that_of_their_quantiles() -> None:
    members = pools(0, 3, 12, atom=True)
    scores = torch.randn(60, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    posterior = DistributionalPosterior(members[0], scores, said=members, members=torch.arange(60) % 3)
    y = torch.linspace(-2, 2, 12).double().reshape(12, 1, 1)
    levels, total = (torch.arange(200) + 0.5) / 200, torch.zeros_like(y)
    for level in levels.tolist():
        side = min(max(2 * level - 1, -posterior.highest), posterior.highest)
        error = y - quantile(posterior, 0.5 + side / 2)
        total = total + 2 * torch.maximum(level * error, (level - 1) * error) / len(levels)
    torch.testing.assert_close(row_crps(posterior, y), total, rtol=0.02, atol=0.01)
