"""backtest: nothing is seen before it is paid for, the same starts for all, and numbers that can be believed."""

from __future__ import annotations

import json
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mfmat as mf
from mfmat import cli
from mfmat.errors import SavedFileError, SchemaError, TableError
from mfmat.outcomes import Backtest, paired
from mfmat.policies import Ask, Policy, Random
from mfmat.replay import Terms, replay
from mfmat.world import World

CHAIN = Ask(mf.Difference([mf.GP()]), name="chain")
QUICK = Ask(mf.Pooled(mf.BayesianLinear()), name="quick")


def make(
    n: int = 40, *, missing: float = 0.0, costs: tuple[float, float] = (1, 10), wiggle: float = 25
) -> tuple[pd.DataFrame, mf.Schema]:
    """A rugged target, which the cheap source follows closely; the index says nothing."""
    x = np.linspace(0, 1, n)
    cheap = np.sin(wiggle * x) * x
    both = {"cheap": cheap, "trusted": 1.3 * cheap + 0.2 * x}
    table = pd.concat([pd.DataFrame({"x": x, "source": name, "y": y}) for name, y in both.items()])
    table.index = pd.Index([f"row {k}" for k in range(len(table))])
    keep = np.random.default_rng(0).random(len(table)) >= missing
    prices = dict(zip(both, costs, strict=True))
    return table[keep], mf.Schema(mf.Columns("x"), value="y", source="source", costs=prices)


@pytest.fixture(scope="module")
def result() -> Backtest:
    return mf.backtest(*make(), CHAIN, seeds=range(5, 10), start=3)


def chosen(result: Backtest) -> pd.DataFrame:
    """All that does not depend on the clock."""
    return result.steps.drop(columns="seconds")


# What is asked, and what is paid.


def test_a_pair_is_asked_once_and_only_where_it_has_a_value() -> None:
    table, schema = make(12, missing=0.3)
    result = mf.backtest(table, schema, QUICK, seeds=2, start=2, stop="budget", budget=70)
    known = set(zip(table["x"].round(9), table["source"], strict=True))
    for _, run in result.steps.groupby(["policy", "seed"]):
        asked = list(zip(table.loc[run["material"], "x"].round(9), run["source"], strict=True))
        assert len(asked) == len(set(asked))
        assert set(asked) <= known


@pytest.mark.parametrize("batch", [1, 3])
def test_the_budget_is_never_exceeded(batch: int) -> None:
    table, schema = make()
    real = table.assign(minutes=np.random.default_rng(1).uniform(0, 30, len(table)))
    result = mf.backtest(real, schema, QUICK, seeds=2, start=2, budget=150, stop="budget", cost="minutes", batch=batch)
    steps = result.steps
    assert (steps.groupby(["policy", "seed"])["total_cost"].max() <= 150).all()
    np.testing.assert_allclose(steps.groupby(["policy", "seed"])["cost"].cumsum(), steps["total_cost"])
    paid = table.reset_index().assign(minutes=real["minutes"].to_numpy()).set_index(["x", "source"])["minutes"]
    keys = pd.MultiIndex.from_arrays([table.loc[steps["material"], "x"], steps["source"]])
    np.testing.assert_allclose(paid[keys], steps["cost"])


def test_the_price_that_a_policy_sees_is_the_schemas() -> None:
    table, schema = make(12)
    dear = table.assign(minutes=np.where(table["source"] == "cheap", 1000.0, 1.0))
    plain, other = (
        mf.backtest(t, schema, QUICK, seeds=1, start=2, cost=c) for t, c in ((table, None), (dear, "minutes"))
    )
    columns = ["policy", "seed", "step", "material", "source"]
    pd.testing.assert_frame_equal(plain.steps[columns], other.steps[columns])


def test_replicates_are_averaged_and_asked_once() -> None:
    table, schema = make(12)
    double = pd.concat([table.assign(y=table["y"] - 0.1), table.assign(y=table["y"] + 0.1)])
    single, both = (mf.backtest(t, schema, Random(), seeds=2, start=2) for t in (table, double))
    np.testing.assert_allclose(single.steps["value"], both.steps["value"])


# What a policy may know.


def test_a_policy_cannot_see_what_it_has_not_paid_for() -> None:
    table, schema = make(40, costs=(4, 10))
    terms = {"goal": "max", "budget": 70, "start": 2, "start_by": "random", "batch": 1, "stop": "budget", "test": None}
    world = World.of(table, schema)
    steps = replay(world, Terms(**terms), None, CHAIN, 0)
    told = {(step["material"], step["source"]) for step in steps}
    rows = [(m, s) in told for m, s in zip(np.tile(np.arange(40), 2), table["source"], strict=True)]
    poisoned = table.assign(y=np.where(rows, table["y"], 1e6 * np.random.default_rng(0).normal(size=len(table))))
    again = replay(World.of(poisoned, schema), Terms(**terms), None, CHAIN, 0)
    assert len(steps) > 10
    assert [(s["material"], s["source"], s["value"]) for s in again] == [
        (s["material"], s["source"], s["value"]) for s in steps
    ]


def test_the_pool_has_inputs_alone() -> None:
    table, schema = make()
    world = World.of(table.assign(minutes=table["y"].abs(), note="a"), schema, "minutes")
    assert list(world.pool.columns) == ["x"]
    assert list(world.rows.columns) == ["x", "source", "y"]


def test_the_incumbent_is_the_targets() -> None:
    table, schema = make(12)
    inflated = table.assign(y=table["y"] + 100 * (table["source"] == "cheap"))
    steps = mf.backtest(inflated, schema, QUICK, seeds=2, start=2).steps
    assert steps["best"].max() < 10
    for _, run in steps.groupby(["policy", "seed"]):
        target = run["value"].where(run["source"] == "trusted").cummax().ffill()
        np.testing.assert_allclose(run["best"], target)


def test_a_policy_that_asks_for_what_is_closed_is_told() -> None:
    class Stubborn(Random):
        def ask(self, situation, n, previous=None):
            return type(super().ask(situation, n))([(0, "trusted"), (0, "trusted")])

    with pytest.raises(SchemaError, match="which is not open"):
        mf.backtest(*make(), Stubborn(name="stubborn"), seeds=1)


# Fair comparisons.


def test_the_baselines_are_always_there_and_begin_alike(result: Backtest) -> None:
    assert result.policies == ["chain", "random", "single-fidelity"]
    start = result.steps[result.steps["step"] == 0]
    begun = [part.drop(columns=["policy", "seconds"]).reset_index(drop=True) for _, part in start.groupby("policy")]
    for part in begun[1:]:
        pd.testing.assert_frame_equal(part, begun[0])
    assert start.groupby("seed")["material"].apply(tuple).nunique() > 3
    rest = result.steps[result.steps["step"] > 0]
    assert set(rest.loc[rest["policy"] != "chain", "source"]) == {"trusted"}


def test_a_cheap_source_that_tells_lowers_the_cost(result: Backtest) -> None:
    summary = result.summary()
    assert (summary["reached"] == 1).all()
    assert summary.loc["chain", "to_single-fidelity_upper"] < 0
    assert summary.loc["chain", "to_random_upper"] < 0
    assert result.verdict().startswith("Use chain: the lowest mean cost in 5 replayed campaigns.")


def test_two_of_a_kind_do_not_differ_beyond_noise() -> None:
    table, schema = make(20)
    result = mf.backtest(table, schema, [], seeds=range(4, 10), start=18)
    assert "no difference beyond noise" in result.verdict()


def test_few_runs_are_no_evidence() -> None:
    result = mf.backtest(*make(20), [], seeds=1, start=2)
    assert "in 1 replayed campaigns, too few to tell that from chance (5 at least)." in result.verdict()
    assert "Use" not in result.verdict()
    assert "noise" not in result.verdict()


def test_a_batch_fits_the_budget() -> None:
    table, schema = make(20)
    result = mf.backtest(table, schema, Ask(mf.GP(steps=5)), seeds=1, start=2, budget=47, batch=8, stop="budget")
    mine = result.steps[result.steps["policy"] == "gp"]
    # Two of 11 each at the start; what is left goes to the last unit.
    assert mine["cost"].sum() == 47


def test_the_farthest_start_spreads() -> None:
    result = mf.backtest(*make(), [], seeds=8, start=3, start_by="farthest", budget=33, stop="budget")
    x = make()[0]["x"][result.steps["material"]].to_numpy().reshape(2, 8, 3, 2)[0, :, :, 0]
    assert {0.0, 1.0} <= set(x[:, 1:].round(9).flatten())
    assert np.ptp(x, axis=1).min() > 0.5


# The same run, wherever and however often.


def test_the_same_seed_is_the_same_run_in_another_process(result: Backtest) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        other = mf.backtest(*make(), CHAIN, seeds=[6], start=3, executor=executor)
    mine = chosen(result)
    pd.testing.assert_frame_equal(mine[mine["seed"] == 6].reset_index(drop=True), chosen(other))


def test_what_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    path, options = tmp_path / "runs.jsonl", {"start": 2, "budget": 50}
    whole = mf.backtest(*make(12), QUICK, seeds=3, **options)
    mf.backtest(*make(12), QUICK, seeds=2, path=path, **options)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]) + lines[4][:50])
    resumed = mf.backtest(*make(12), QUICK, seeds=3, path=path, **options)
    pd.testing.assert_frame_equal(chosen(resumed), chosen(whole))
    assert path.read_text().startswith("".join(lines[:4]))
    assert len(path.read_text().splitlines()) == 9


def test_finished_runs_are_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    first, again = (mf.backtest(*make(12), QUICK, seeds=1, start=2, budget=50, path=path) for _ in range(2))
    pd.testing.assert_frame_equal(again.steps, first.steps)


@pytest.mark.parametrize("other", ["start", "budget", "table", "policy"])
def test_a_file_of_other_inputs_is_refused(other: str, tmp_path: Path) -> None:
    path, policy = tmp_path / "runs.jsonl", Random(name="mine")
    mf.backtest(*make(12), policy, seeds=1, start=2, budget=40, path=path)
    options = {"start": 3 if other == "start" else 2, "budget": 45 if other == "budget" else 40}
    another = Random(("cheap", "trusted"), name="mine") if other == "policy" else policy
    with pytest.raises(SavedFileError, match="made of another"):
        mf.backtest(*make(13 if other == "table" else 12), another, seeds=1, path=path, **options)


# What is said of it.


def test_a_run_that_was_cut_off_counts_with_its_budget() -> None:
    result = mf.backtest(*make(20), [], seeds=6, start=2, budget=60)
    cost, summary = result.cost_to(), result.summary()
    lost = np.isinf(cost["random"])
    assert lost.sum() > 0
    assert summary.loc["random", "reached"] == pytest.approx(1 - lost.mean())
    assert summary.loc["random", "mean"] == pytest.approx(cost["random"].replace(math.inf, 60).mean())
    assert "Ended before it was found: random" in result.verdict()


def test_the_best_twentieth_is_counted_at_the_target() -> None:
    result = mf.backtest(*make(22), [], seeds=2, start=2, stop=1.0)
    half, all_of_them = result.cost_to(0.5), result.cost_to(1.0)
    assert (half <= all_of_them).all(axis=None)
    target = make(22)[0].query("source == 'trusted'")["y"]
    best = set(target.nlargest(2).round(9))
    for _, run in result.steps[result.steps["policy"] == "random"].groupby("seed"):
        assert best <= set(run.loc[run["source"] == "trusted", "value"].round(9))
        assert round(run["value"].iloc[-1], 9) in best


def test_what_was_asked_of_the_target_had_been_predicted(result: Backtest) -> None:
    steps = result.steps.query("policy == 'chain' and step > 0")
    at_target = steps["source"] == "trusted"
    assert steps["median"].notna().equals(at_target)
    asked = steps[at_target]
    assert asked["inside"].astype(bool).equals(asked["value"].between(asked["lower"], asked["upper"]))
    assert result.calibration().loc["chain"].between(0, 1).all()


def test_curves_fall_and_differences_are_paired(result: Backtest) -> None:
    curve = result.curve()
    for _, part in curve.groupby("policy"):
        assert (np.diff(part["mean"]) <= 1e-12).all()
        assert (part["lower"] <= part["mean"] + 1e-12).all()
    chance = curve[curve["policy"] == "random"]
    assert (chance[["difference", "difference_lower", "difference_upper"]] == 0).all(axis=None)
    assert curve.query("policy == 'chain'")["difference"].min() < 0


def test_learning_is_tested_on_materials_that_are_never_asked() -> None:
    table, schema = make(20, costs=(5, 10), wiggle=8)
    result = mf.backtest(table, schema, CHAIN, goal="learn", seeds=2, start=2, budget=100)
    tested = result.steps.dropna(subset=["crps"])
    assert tested.groupby(["policy", "seed"]).size().max() < 15
    assert (result.steps.groupby(["policy", "seed"])["crps"].last().notna()).all()
    curve = result.curve().query("policy == 'chain'")
    assert curve["mean"].iloc[-1] < 0.5 * curve["mean"].iloc[0]
    for _, run in result.steps.groupby("seed"):
        assert table.loc[run["material"], "x"].round(9).nunique() <= 16
    with pytest.raises(SchemaError, match="the cost to a best"):
        result.cost_to()


def test_a_test_table_is_never_asked() -> None:
    table, schema = make(16)
    test = table[(table["source"] == "trusted") & (table["x"] > 0.7)]
    result = mf.backtest(table, schema, [], goal="learn", seeds=1, start=2, budget=50, test=test)
    assert (table.loc[result.steps["material"], "x"] <= 0.7).all()


def test_a_given_source_is_known_beforehand_and_never_asked() -> None:
    table, schema = make(20, costs=(5, 10), wiggle=8)
    lucky = Random(recipe=CHAIN.recipe, learns=("cheap", "trusted"), name="lucky")
    options = {"goal": "learn", "seeds": 2, "start": 2, "budget": 60}
    result = mf.backtest(table, schema, [CHAIN, lucky], given="cheap", **options)  # type: ignore[arg-type]
    assert set(result.steps["source"]) == {"trusted"}
    assert (result.steps.groupby(["policy", "seed"])["total_cost"].max() == 60).all()
    ends = result.steps.groupby(["policy", "seed"])["crps"].last().unstack("policy")
    # Both learn from the given values, the target alone does not.
    assert (ends[["chain", "lucky"]].max(axis=1) < 0.5 * ends["single-fidelity"]).all()


def test_an_interval_over_seeds_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = [lower <= 0 <= upper for _, lower, upper in (paired(rng.normal(size=20)) for _ in range(300))]
    assert 0.87 < np.mean(inside) < 0.98


# What is refused.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0}, "start=0"),
        ({"stop": "soon"}, "stop='soon'"),
        ({"stop": 1.5}, "stop=1.5"),
        ({"goal": "win"}, "goal='win'"),
        ({"budget": 0}, "budget=0"),
        ({"goal": "learn", "test": 1.0}, "test=1.0"),
        ({"given": "trusted"}, "given='trusted', the target"),
        ({"policies": [Random(name="a"), CHAIN, Ask(name="a")]}, "another policy of the name 'a'"),
        ({"policies": Ask(name="random")}, "another policy of the name 'random'"),
        ({"policies": Ask(sources=("cheap",))}, "without the target 'trusted'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        mf.backtest(*make(8), **options)


def test_a_budget_may_be_named_by_its_unit() -> None:
    table, schema = make(12)
    named = replace(schema, costs={name: {"hours": price} for name, price in (schema.costs or {}).items()})
    said = (
        mf.backtest(table, schema_, QUICK, seeds=1, start=2, budget=budget)
        for schema_, budget in ((schema, 60), (named, {"hours": 60}))
    )
    pd.testing.assert_frame_equal(*(chosen(result) for result in said))
    with pytest.raises(SchemaError, match="days"):
        mf.backtest(table, named, QUICK, budget={"days": 3})


def test_costs_have_to_be_costs() -> None:
    table, schema = make(8)
    with pytest.raises(TableError, match="no cost of 0 or more"):
        mf.backtest(table.assign(minutes=[-1.0] * len(table)), schema, cost="minutes")
    with pytest.raises(TableError, match="a table without the column 'minutes'"):
        mf.backtest(table, schema, cost="minutes")


def test_one_source_is_a_legal_table() -> None:
    x = np.linspace(0, 1, 15)
    table = pd.DataFrame({"x": x, "y": np.cos(9 * x)})
    result = mf.backtest(table, mf.Schema(mf.Columns("x"), value="y"), Ask(mf.GP()), goal="min", seeds=1, start=2)
    assert result.policies == ["gp", "random", "single-fidelity"]
    assert result.steps.groupby("policy")["best"].min().nunique() == 1


def test_policies_are_values() -> None:
    for policy in (Ask(), CHAIN, Random(("trusted",)), Ask(mf.GP(), sources=("trusted",), goal="learn")):
        assert Policy.of(json.loads(json.dumps(policy.config()))) == policy
    assert Ask(mf.GP(), sources=("hse", "exp"), goal="learn").name == "gp to learn on hse, exp"


def test_the_shell_says_the_verdict_and_writes_the_summary(tmp_path: Path) -> None:
    table, _ = make(10)
    table.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "recipe.json").write_text(json.dumps(mf.Pooled(mf.BayesianLinear()).config()))
    words = ["backtest", "table.csv", "--value", "y", "--column", "x", "--source", "source"]
    words += ["--cost", "cheap=1", "--cost", "trusted=10", "--recipe", "recipe.json", "--seeds", "1"]
    words += ["--start", "2", "--budget", "45", "--stop", "budget", "--out", "summary.csv"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        said = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert said.exit_code == 0
    assert "mean regret in 1 replayed campaigns" in said.stdout
    assert list(pd.read_csv(tmp_path / "summary.csv")["policy"]) == ["pooled", "random", "single-fidelity"]
