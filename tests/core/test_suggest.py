"""suggest: what is worth its price, and never what is known already."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest

import mfmat as mf
from mfmat.acquisitions import Improvement, VarianceReduction
from mfmat.data import at_fidelity, material_keys
from mfmat.errors import SchemaError, TableError, UnknownNameError
from mfmat.pool import Pool
from mfmat.prospects import Prospects, at_every_source
from mfmat.skipping import SkippedRowsWarning
from mfmat.surrogate import FewRowsWarning

CHAIN = mf.Difference([mf.GP()])
POOL = pd.DataFrame({"x": [0.03, 0.21, 0.33, 0.52, 0.71, 0.97]})
GOALS = pytest.mark.parametrize("goal", ["max", "min", "learn"])


@pytest.fixture(scope="module")
def surrogate(problem) -> mf.Surrogate:
    return mf.fit(*problem(cheap=12, trusted=6), CHAIN)


def priced(surrogate: mf.Surrogate, cheap: float, trusted: float) -> mf.Surrogate:
    """The same model at other prices."""
    return replace(surrogate, schema=replace(surrogate.schema, costs={"cheap": cheap, "trusted": trusted}))


def knowing(surrogate: mf.Surrogate, table: pd.DataFrame, source: str) -> mf.Surrogate:
    """The same model, told that these were measured, but not with what result."""
    X, _ = surrogate.schema.encode(table)
    keys = material_keys(X[:, 0], None).tolist()
    seen = surrogate.card["seen"]
    return replace(surrogate, card={**surrogate.card, "seen": {**seen, source: seen[source] + keys}})


def pairs_of(table: pd.DataFrame) -> list[tuple[float, str]]:
    return list(zip(table["x"], table["source"], strict=True))


# The incumbent.


def test_the_best_value_is_the_targets_never_a_cheap_sources(problem) -> None:
    table, schema = problem(cheap=12, trusted=6)
    inflated = table.assign(y=table["y"] + 100 * (table["source"] == "cheap"))
    measured = table[table["source"] == "trusted"]
    surrogate = mf.fit(inflated, schema, CHAIN)
    mean = surrogate.predict(measured, noise=False)["mean"]
    assert surrogate.card["means"] == pytest.approx(sorted(mean), abs=1e-6)
    assert surrogate.card["means"][-1] == pytest.approx(measured["y"].max(), abs=0.1)
    assert f"expected to lift the best value ({mean.max():.3g}) by" in mf.suggest(surrogate, POOL)["reason"].iloc[0]


def test_a_reason_says_what_predict_says(problem) -> None:
    table, schema = problem(cheap=12, trusted=6)
    noisy = table.assign(y=table["y"] + np.random.default_rng(0).normal(0, 0.3, len(table)))
    surrogate = mf.fit(noisy, schema, CHAIN)
    suggested = mf.suggest(surrogate, POOL)
    for (_, row), reason in zip(surrogate.predict(suggested).iterrows(), suggested["reason"], strict=True):
        assert f"predicted {row['median']:.3g} ({row['lower']:.3g} to {row['upper']:.3g})" in reason


@GOALS
def test_inflating_the_cheap_source_changes_no_suggestion(goal: str, problem) -> None:
    table, schema = problem(cheap=12, trusted=6)
    inflated = table.assign(y=table["y"] + 100 * (table["source"] == "cheap"))
    plain, other = (mf.suggest(mf.fit(rows, schema, CHAIN), POOL, 3, goal=goal) for rows in (table, inflated))
    assert pairs_of(plain) == pairs_of(other)
    np.testing.assert_allclose(plain["score"], other["score"], rtol=1e-3)


def test_a_lucky_value_is_not_what_has_to_be_beaten() -> None:
    x = np.linspace(0, 1, 60)
    noise = np.random.default_rng(0).normal(0, 0.5, len(x))
    table = pd.DataFrame({"x": x, "y": np.sin(3 * x) + noise})
    means = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP()).card["means"]
    assert table["y"].max() > 1.5
    assert means[-1] == pytest.approx(1, abs=0.3)


def test_where_the_target_has_no_value_the_best_that_is_expected_stands_in(problem) -> None:
    table, schema = problem(cheap=12, trusted=0)
    with pytest.warns(FewRowsWarning):
        surrogate = mf.fit(table, schema, CHAIN)
    X, _ = surrogate.schema.encode(POOL)
    expected = float(surrogate.model.posterior(X).mean.detach().max())
    chosen = mf.suggest(surrogate, POOL, 3)
    assert surrogate.card["means"] == []
    assert f"the best value ({expected:.3g})" in chosen["reason"].iloc[0]
    assert np.isfinite(chosen["score"]).all()


# Prices.


@GOALS
def test_twice_the_price_is_half_the_score(goal: str, surrogate: mf.Surrogate) -> None:
    once, twice = (mf.suggest(priced(surrogate, k * 1, k * 10), POOL, 4, goal=goal) for k in (1, 2))
    assert pairs_of(once) == pairs_of(twice)
    np.testing.assert_allclose(twice["score"], once["score"] / 2, rtol=1e-9)
    np.testing.assert_array_equal(twice["cost"], once["cost"] * 2)


@GOALS
@pytest.mark.parametrize(("cheap", "trusted", "chosen"), [(1e-6, 1, "cheap"), (1, 1, "trusted"), (1, 1e-6, "trusted")])
def test_the_price_decides_between_sources(
    cheap: float, trusted: float, chosen: str, goal: str, surrogate: mf.Surrogate
) -> None:
    assert mf.suggest(priced(surrogate, cheap, trusted), POOL, goal=goal)["source"].tolist() == [chosen]


Pairs = list[tuple[float, str]]


def most_useful(surrogate: mf.Surrogate, goal: str, n: int, sources: int) -> tuple[Pairs, list[float]]:
    """Greedy choices by utility alone, of so many sources, cheapest first, and what they are worth."""
    prospects, taken, worth = prospects_of(surrogate), [], []
    acquisition = VarianceReduction() if goal == "learn" else Improvement(maximize=goal == "max")
    for _ in range(n):
        utility = acquisition.log_utility(prospects)[:, :sources]
        for candidate, source in taken:
            utility[candidate, source] = -math.inf
        taken.append(divmod(int(utility.argmax()), sources))
        worth.append(float(utility.max().exp()))
        row = prospects.candidates[taken[-1][0]].clone()
        row[-1] = taken[-1][1]
        prospects.believe(row)
    return [(POOL["x"][candidate], ["cheap", "trusted"][source]) for candidate, source in taken], worth


@GOALS
def test_what_costs_nothing_comes_first_and_the_score_is_its_utility(goal: str, surrogate: mf.Surrogate) -> None:
    free = mf.suggest(priced(surrogate, 0, 1e-9), POOL, 9, goal=goal)
    assert free["source"].tolist() == ["cheap"] * 6 + ["trusted"] * 3
    assert np.isfinite(free["score"]).all()
    assert free["cost"].tolist() == [0.0] * 6 + [1e-9] * 3
    pairs, worth = most_useful(surrogate, goal, 6, sources=1)
    assert pairs_of(free)[:6] == pairs
    np.testing.assert_allclose(free["score"][:6], worth)


@GOALS
def test_where_nothing_costs_anything_the_most_useful_comes_first(goal: str, surrogate: mf.Surrogate) -> None:
    free = mf.suggest(priced(surrogate, 0, 0), POOL, 4, goal=goal)
    pairs, worth = most_useful(surrogate, goal, 4, sources=2)
    assert pairs_of(free) == pairs
    np.testing.assert_allclose(free["score"], worth)


# What is left to choose from.


@GOALS
def test_measured_pairs_are_not_suggested_again(goal: str, problem) -> None:
    table, schema = problem(cheap=6, trusted=4)
    chosen = mf.suggest(mf.fit(table, schema, CHAIN), table[["x"]], 100, goal=goal)
    assert not set(pairs_of(chosen)) & set(pairs_of(table))
    assert set(pairs_of(chosen)) <= {(x, source) for x in table["x"] for source in schema.sources}


def test_an_empty_pool_is_an_error(surrogate: mf.Surrogate) -> None:
    with pytest.raises(TableError, match="got an empty pool; expected at least one candidate"):
        mf.suggest(surrogate, POOL.iloc[:0])


@GOALS
def test_an_exhausted_pool_gives_an_empty_table(goal: str, surrogate: mf.Surrogate) -> None:
    pool = POOL.assign(note="known")
    exhausted = knowing(knowing(surrogate, POOL, "cheap"), POOL, "trusted")
    chosen = mf.suggest(exhausted, pool, 3, goal=goal)
    assert chosen.empty
    assert chosen.columns.tolist() == ["x", "note", "source", "score", "cost", "reason"]


@GOALS
def test_more_than_there_is_gives_what_there_is(goal: str, surrogate: mf.Surrogate) -> None:
    chosen = mf.suggest(surrogate, POOL, 100, goal=goal)
    assert len(chosen) == len(set(pairs_of(chosen))) == 12


def test_none_wanted_gives_none(surrogate: mf.Surrogate) -> None:
    assert mf.suggest(surrogate, POOL, 0).columns.tolist() == ["x", "source", "score", "cost", "reason"]


@GOALS
def test_candidates_that_are_one_material_are_suggested_once(goal: str, surrogate: mf.Surrogate) -> None:
    twice = mf.suggest(surrogate, pd.concat([POOL, POOL], ignore_index=True), 100, goal=goal)
    assert len(twice) == len(set(pairs_of(twice))) == 12


@GOALS
def test_a_source_that_tells_nothing_is_never_suggested(goal: str, problem) -> None:
    alone = mf.fit(*problem(cheap=12, trusted=6), mf.TargetOnly(mf.GP()))
    assert mf.suggest(priced(alone, 0, 10), POOL, 100, goal=goal)["source"].tolist() == ["trusted"] * 6


# Batches.


@GOALS
def test_a_pick_lowers_what_the_same_material_is_worth_elsewhere(goal: str, surrogate: mf.Surrogate) -> None:
    one = POOL.iloc[[5]]
    first, second = mf.suggest(surrogate, one, 2, goal=goal).to_dict("records")
    alone = mf.suggest(knowing(surrogate, one, first["source"]), one, goal=goal).iloc[0]
    assert second["source"] == alone["source"] != first["source"]
    assert second["score"] < 0.99 * alone["score"]


def test_a_batch_spreads_over_the_pool(surrogate: mf.Surrogate) -> None:
    crowd = pd.DataFrame({"x": [0.970, 0.971, 0.972, 0.973, 0.5]})
    alone = surrogate.model.posterior(surrogate.schema.encode(crowd)[0]).variance.detach().flatten()
    assert float(alone[4]) < float(alone[:4].min())
    chosen = mf.suggest(priced(surrogate, 1e9, 1), crowd, 2, goal="learn")
    assert chosen["x"].max() > 0.9
    assert chosen["x"].min() == 0.5


@GOALS
def test_the_first_of_a_batch_is_what_would_be_suggested_alone(goal: str, surrogate: mf.Surrogate) -> None:
    batch, alone = (mf.suggest(surrogate, POOL, n, goal=goal) for n in (4, 1))
    pd.testing.assert_frame_equal(batch.iloc[:1], alone)


def test_looking_for_small_values_mirrors_looking_for_large_ones(problem) -> None:
    table, schema = problem(cheap=12, trusted=6)
    low = mf.suggest(mf.fit(table, schema, CHAIN), POOL, 5, goal="min")
    high = mf.suggest(mf.fit(table.assign(y=-table["y"]), schema, CHAIN), POOL, 5, goal="max")
    assert pairs_of(low) == pairs_of(high)
    np.testing.assert_allclose(low["score"], high["score"], rtol=1e-3)


# Utilities by brute force.


def prospects_of(surrogate: mf.Surrogate, prices: torch.Tensor | None = None) -> Prospects:
    X = surrogate.schema.encode(POOL)[0][:, 0]
    known = None if prices is None else prices.expand(len(X), -1)
    return Prospects(surrogate.model, X, surrogate.card["means"], prices=known)


def every_pair(prospects: Prospects) -> torch.Tensor:
    return at_every_source(prospects.candidates, 2).flatten(0, 1)


def test_learning_is_the_variance_that_a_measurement_removes_from_the_pool(surrogate: mf.Surrogate) -> None:
    prospects = prospects_of(surrogate)
    pool, removed = prospects.candidates, []
    for pair in every_pair(prospects):
        # The covariance of the pool and one measurement, written out and conditioned by hand.
        observed = torch.tensor([False] * len(pool) + [True])
        _, C = surrogate.model.joint(torch.cat([pool, pair[None]]), observed)
        C = C.detach()
        after = C[:-1, :-1] - torch.outer(C[:-1, -1], C[-1, :-1]) / C[-1, -1]
        removed.append(float((C[:-1, :-1].trace() - after.trace()) / len(pool)))
    utility = VarianceReduction().log_utility(prospects).exp().flatten()
    # One row of a material is asked in single precision.
    np.testing.assert_allclose(utility, removed, rtol=1e-3)


def test_improvement_is_the_expected_rise_of_the_targets_mean(surrogate: mf.Surrogate) -> None:
    prospects, model = prospects_of(surrogate), surrogate.model
    best = surrogate.card["means"][-1]
    z = torch.from_numpy(np.polynomial.hermite_e.hermegauss(200)[0])
    weight = torch.from_numpy(np.polynomial.hermite_e.hermegauss(200)[1]) / math.sqrt(2 * math.pi)
    log_utility = Improvement().log_utility(prospects).flatten()
    for pair, found in zip(every_pair(prospects), log_utility, strict=True):
        target = at_fidelity(pair[None], 1)[0]
        mean, C = model.joint(torch.stack([pair, target]), torch.tensor([True, False]))
        # What the target's mean becomes for each outcome of the measurement.
        outcomes = mean[0] + z * C[0, 0].sqrt()
        after = mean[1] + C[0, 1] / C[0, 0] * (outcomes - mean[0])
        expected = float((weight * (after - best).clamp_min(0)).sum().detach())
        assert math.exp(found) == pytest.approx(expected, rel=0.05, abs=1e-5)


@GOALS
def test_the_best_pair_is_the_one_with_the_most_utility_for_its_price(goal: str, surrogate: mf.Surrogate) -> None:
    acquisition = VarianceReduction() if goal == "learn" else Improvement(maximize=goal == "max")
    prices = torch.tensor([1.0, 10.0]).double()
    score = acquisition.log_utility(prospects_of(surrogate, prices)).exp() / prices
    candidate, source = divmod(int(score.argmax()), 2)
    chosen = mf.suggest(surrogate, POOL, goal=goal)
    assert pairs_of(chosen) == [(POOL["x"][candidate], ["cheap", "trusted"][source])]
    assert chosen["score"].iloc[0] == pytest.approx(float(score.max()))


@pytest.mark.parametrize("recipe", [CHAIN, mf.MultiTask(), mf.Latent([mf.GP()])], ids=str)
def test_believing_pairs_is_conditioning_on_their_expected_values(recipe: mf.Learner, problem) -> None:
    surrogate = mf.fit(*problem(cheap=12, trusted=6), recipe)
    prospects = prospects_of(surrogate)
    asked = every_pair(prospects)[[3, 0, 8, 11]]
    for row in asked:
        prospects.believe(row)
    with torch.no_grad():
        mean, _ = surrogate.model.joint(asked, torch.ones(4, dtype=torch.bool))
        conditioned = surrogate.model.condition_on_observations(asked, mean.unsqueeze(-1))
    after = Prospects(conditioned, prospects.candidates, [])
    # Rounding is that of the variances before they fell.
    scale = float(prospects_of(surrogate).measured.max())
    for name in ("mean", "variance", "measured", "shared"):
        np.testing.assert_allclose(getattr(prospects, name), getattr(after, name), rtol=1e-4, atol=1e-5 * scale)
    reference = torch.tensor([5, 2])
    for one, other in zip(prospects.across(reference), after.across(reference), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("recipe", [CHAIN, mf.MultiTask(), mf.Latent([mf.GP()])], ids=str)
def test_knowing_values_and_imagining_outcomes_is_conditioning_by_hand(recipe: mf.Learner, problem) -> None:
    surrogate = mf.fit(*problem(cheap=12, trusted=6), recipe)
    prospects, pool = prospects_of(surrogate), POOL.shape[0]
    asked, rows = every_pair(prospects)[[3, 8]], surrogate.data.X[surrogate.data.fidelity == 1][:3]
    for row in asked:
        prospects.believe(row)
    inner = prospects.knowing(rows)
    # The pool's values and measurements, and what is asked or known, in one covariance.
    every = torch.cat([prospects.candidates, every_pair(prospects), asked, rows])
    flags = torch.tensor([False] * pool + [True] * (2 * pool + 2) + [False] * 3)
    with torch.no_grad():
        mean, C = (part.double() for part in surrogate.model.joint(every, flags))
    told = torch.arange(3 * pool, len(every))
    explained = C[:, told] @ torch.linalg.solve(C[told][:, told], C[told])
    scale, left = float(C.diagonal().max()), C - explained
    near = {"rtol": 1e-3, "atol": 1e-4 * scale}
    np.testing.assert_allclose(inner.variance, left.diagonal()[:pool], **near)
    np.testing.assert_allclose(inner.measured.flatten(), left.diagonal()[pool : 3 * pool], **near)
    shared = left[torch.arange(pool)[:, None], torch.arange(pool, 3 * pool).reshape(pool, 2)]
    np.testing.assert_allclose(inner.shared, shared, **near)
    # One unit of each outcome at a time: what the means move by together is what was explained.
    moved, known = inner.imagine(rows, torch.eye(len(inner.asked)).double())
    moved, known = moved - mean[:pool, None], known - mean[-3:, None]
    np.testing.assert_allclose(moved @ moved.mT, explained[:pool, :pool], **near)
    np.testing.assert_allclose(moved @ known.mT, C[:pool, -3:], rtol=1e-3, atol=3e-3 * scale)


# Pending pairs, budgets, chances, draws.


@GOALS
def test_what_is_being_measured_is_not_asked_again_and_the_rest_comes_as_in_one_batch(
    goal: str, surrogate: mf.Surrogate
) -> None:
    batch = mf.suggest(surrogate, POOL, 5, goal=goal)
    rest = mf.suggest(surrogate, POOL, 3, goal=goal, pending=batch.iloc[:2])
    assert pairs_of(rest) == pairs_of(batch)[2:]
    np.testing.assert_allclose(rest["score"], batch["score"][2:], rtol=1e-6)


@GOALS
@pytest.mark.parametrize("budget", [0.5, 1.0, 9.9, 10.0, 23.5, 66.0])
def test_a_budget_is_never_exceeded_and_used_as_long_as_a_pair_fits(
    goal: str, budget: float, surrogate: mf.Surrogate
) -> None:
    chosen = mf.suggest(surrogate, POOL, 12, goal=goal, budget=budget)
    spent, left = chosen["cost"].sum(), set(range(12)) - set(range(len(chosen)))
    assert spent <= budget
    assert not left or budget - spent < 10
    if budget < 1:
        assert chosen.columns.tolist() == ["x", "source", "score", "cost", "reason"]


def test_a_candidate_that_fails_for_sure_is_the_last(surrogate: mf.Surrogate) -> None:
    first = mf.suggest(surrogate, POOL)["x"].iloc[0]
    chance = pd.Series(np.where(POOL["x"] == first, 1e-9, 0.9), POOL.index)
    assert mf.suggest(surrogate, POOL, chance=chance)["x"].iloc[0] != first
    half = mf.suggest(surrogate, POOL, chance=pd.Series(0.5, POOL.index))
    assert half["score"].iloc[0] == pytest.approx(mf.suggest(surrogate, POOL)["score"].iloc[0] / 2)
    assert half["reason"].str.contains("gives a value with a probability of 50%").all()
    assert not mf.suggest(surrogate, POOL)["reason"].str.contains("gives a value").any()


def test_with_a_temperature_pairs_are_drawn_as_often_as_it_says(surrogate: mf.Surrogate) -> None:
    drawn = [mf.suggest(surrogate, POOL, temperature=2.0, seed=seed) for seed in range(400)]
    said = {pairs_of(one)[0]: one.attrs["probability"][0] for one in drawn}
    for pair, probability in said.items():
        count = sum(pairs_of(one)[0] == pair for one in drawn)
        assert binomtest(count, len(drawn), probability).pvalue > 1e-4
    assert len(said) > 3
    assert mf.suggest(surrogate, POOL).attrs["probability"] == [1.0]


@pytest.mark.parametrize("goal", ["max", "learn"])
def test_a_column_of_the_pool_holds_the_price_of_each_candidate(goal: str, surrogate: mf.Surrogate) -> None:
    by_row = replace(surrogate, schema=replace(surrogate.schema, costs={"cheap": "hours", "trusted": 10.0}))
    same = mf.suggest(by_row, POOL.assign(hours=1.0), 5, goal=goal)
    pd.testing.assert_frame_equal(same.drop(columns="hours"), mf.suggest(surrogate, POOL, 5, goal=goal))
    where = {"max": 2, "learn": 3}[goal]
    dear = POOL.assign(hours=[1e-6 if i == where else 1e6 for i in range(6)])
    first = mf.suggest(by_row, dear, goal=goal).iloc[0]
    assert (first["x"], first["source"], first["cost"]) == (POOL["x"][where], "cheap", 1e-6)


def test_a_cell_that_is_no_price_is_named(surrogate: mf.Surrogate) -> None:
    by_row = replace(surrogate, schema=replace(surrogate.schema, costs={"cheap": "hours", "trusted": 10.0}))
    pool = POOL.assign(hours=[1.0, -2.0, 3.0, float("nan"), 1.0, 1.0])
    with pytest.raises(TableError, match=r"row 3 .*'hours': a missing value.*row 1 .*'hours': a price below 0"):
        mf.suggest(by_row, pool)
    with pytest.warns(SkippedRowsWarning, match="2 of 6 rows"):
        chosen = mf.suggest(by_row, pool, 100, on_error="skip")
    assert set(chosen.index) == {0, 2, 4, 5}
    with pytest.raises(TableError, match="without the column 'hours'"):
        mf.suggest(by_row, POOL)


def test_sources_can_be_left_out(surrogate: mf.Surrogate) -> None:
    assert set(mf.suggest(surrogate, POOL, 100, sources=["trusted"])["source"]) == {"trusted"}
    with pytest.raises(UnknownNameError, match="source 'trustd'"):
        mf.suggest(surrogate, POOL, sources=["trustd"])


def test_a_pool_that_was_read_before_gives_the_same(surrogate: mf.Surrogate) -> None:
    read = Pool.read(surrogate.schema, POOL)
    pd.testing.assert_frame_equal(mf.suggest(surrogate, read, 3), mf.suggest(surrogate, POOL, 3))


# The table.


def test_unknown_columns_travel_along_and_the_index_is_kept(surrogate: mf.Surrogate) -> None:
    pool = POOL.assign(note=list("abcdef"), price=range(6)).set_index(
        pd.Index([f"mp-{i}" for i in range(6)], name="id")
    )
    before = pool.copy(deep=True)
    chosen = mf.suggest(surrogate, pool, 12)
    assert chosen.columns.tolist() == ["x", "note", "price", "source", "score", "cost", "reason"]
    assert chosen.index.name == "id"
    pd.testing.assert_frame_equal(chosen[pool.columns], pool.loc[chosen.index])
    pd.testing.assert_frame_equal(pool, before)


def test_without_a_source_column_the_only_source_is_named() -> None:
    table = pd.DataFrame({"x": [0.0, 0.4, 0.8, 1.0], "y": [0.0, 1.0, 0.5, 0.2]})
    chosen = mf.suggest(mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP()), POOL, 2)
    assert chosen["source"].tolist() == ["y", "y"]


def test_what_is_suggested_can_be_measured_and_fitted(surrogate: mf.Surrogate, problem) -> None:
    table, schema = problem(cheap=12, trusted=6)
    measured = mf.suggest(surrogate, POOL, 3, goal="learn").assign(y=0.5)
    again = mf.fit(pd.concat([table, measured], ignore_index=True), schema, CHAIN)
    assert not set(pairs_of(mf.suggest(again, POOL, 100))) & set(pairs_of(measured))


def test_candidates_that_cannot_be_read_are_named(surrogate: mf.Surrogate) -> None:
    pool = pd.DataFrame({"x": [0.1, float("nan"), 0.9]}, index=["a", "b", "c"])
    with pytest.raises(TableError, match=r"row 'b' \(number 1\), column 'x': a missing value"):
        mf.suggest(surrogate, pool)


def test_candidates_that_cannot_be_read_are_left_out_when_asked(surrogate: mf.Surrogate) -> None:
    pool = pd.DataFrame({"x": [0.1, float("nan"), 0.9]}, index=["a", "b", "c"])
    with pytest.warns(SkippedRowsWarning, match="1 of 3 rows"):
        chosen = mf.suggest(surrogate, pool, 100, on_error="skip")
    assert set(chosen.index) == {"a", "c"}
    assert len(chosen) == 4


def test_an_unknown_goal_is_an_error(surrogate: mf.Surrogate, unchecked: None) -> None:
    with pytest.raises(SchemaError, match="goal='best'; expected one of 'max', 'min', 'learn'"):
        mf.suggest(surrogate, POOL, goal="best")


def test_the_reason_says_what_is_predicted_and_what_a_cheap_source_tells(surrogate: mf.Surrogate) -> None:
    reason = mf.suggest(priced(surrogate, 1e-6, 1), POOL, goal="learn")["reason"].iloc[0]
    assert reason.startswith("trusted predicted ")
    assert "expected to cut the target's variance over the pool by" in reason
    assert "% of what is uncertain about trusted here" in reason
    assert "per unit of cost: cheap" in reason
