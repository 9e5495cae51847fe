"""Auto says why, and does not lose to the target alone; cross-validation shows no model what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import mfmat as mf
from mfmat.candidates import suggest_candidates
from mfmat.data import Data
from mfmat.errors import FitError
from mfmat.learner import Facts, FittedModel, Learner
from mfmat.skipping import SkippedRowsWarning
from mfmat.validation import accuracy, calibration, train_median

ALONE = mf.TargetOnly(mf.GP())


def wiggly(seed: int = 0, *, cheap: int = 40, trusted: int = 14) -> pd.DataFrame:
    """Too wiggly for its few trusted rows alone; every other one of them has a cheap value, too."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, cheap)
    theirs = np.concatenate([x[: trusted // 2], rng.uniform(0, 1, trusted - trusted // 2)])
    parts = [
        pd.DataFrame({"x": x, "source": "cheap", "y": np.sin(15 * x)}),
        pd.DataFrame({"x": theirs, "source": "trusted", "y": 1.5 * np.sin(15 * theirs) + theirs}),
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(y=table["y"] + 0.05 * rng.normal(size=len(table)))


def schema_of(*sources: str) -> mf.Schema:
    return mf.Schema(mf.Columns("x"), value="y", source="source", costs=dict.fromkeys(sources, 1))


TWO = schema_of("cheap", "trusted")
THREE = schema_of("cheap", "noise", "trusted")


def spoilt(table: pd.DataFrame, how: str, seed: int) -> pd.DataFrame:
    """The table with a cheap source that is worth nothing."""
    rng, cheap = np.random.default_rng(seed + 100), (table["source"] == "cheap").to_numpy()
    y = table["y"].to_numpy().copy()
    y[cheap] = rng.permutation(y[cheap]) if how == "shuffled" else rng.normal(size=cheap.sum())
    return table.assign(y=y)


@pytest.fixture(scope="module")
def fitted() -> mf.Surrogate:
    return mf.fit(wiggly(), TWO)


# What was chosen, and why.


def test_it_says_what_was_chosen_and_on_what_evidence(fitted: mf.Surrogate) -> None:
    said, best = fitted.card["why"][0], fitted.card["compared"][0]["candidate"]
    assert said.startswith(f"{best}: lowest CRPS on held-out values of trusted (14 compounds, 5 folds): ")
    for row in fitted.card["compared"]:
        assert f"{row['candidate']} {row['crps']:.3g}" in said


def test_what_was_compared_is_in_order_and_the_best_was_taken(fitted: mf.Surrogate) -> None:
    compared = fitted.card["compared"]
    scores = {row["candidate"]: row["crps"] for row in compared}
    assert {"difference over cheap", "latents of cheap", "the target alone"} <= set(scores)
    assert list(scores.values()) == sorted(scores.values())
    recipe = Learner.of(fitted.model.facts["recipe"])
    assert isinstance(recipe, mf.Conformal)
    assert (
        recipe.learner in (mf.Difference([mf.GP()]), mf.Latent([mf.GP()], limit=None))
        or recipe.learner.kind == "mixture"
    )


def test_candidates_that_score_alike_are_weighed_for_each_material(fitted: mf.Surrogate) -> None:
    scores = {row["candidate"]: row["crps"] for row in fitted.card["compared"]}
    name = next(name for name in scores if name.startswith("a mixture of "))
    assert scores[name] < 1.05 * min(scores.values())
    assert "the target alone" not in name


def test_the_comparison_is_that_of_the_held_out_predictions(fitted: mf.Surrogate) -> None:
    held = fitted.heldout()
    assert len(held) == 14
    assert fitted.card["compared"][0]["mae"] == pytest.approx((held["y"] - held["median"]).abs().mean())
    assert fitted.card["metrics"]["crps"] == pytest.approx(fitted.card["compared"][0]["crps"], rel=1e-12)


def test_metrics_keep_their_precision_far_from_zero() -> None:
    table = wiggly()
    here, far = (mf.fit(table.assign(y=table["y"] + shift), TWO).card["metrics"] for shift in (0, 1e6))
    assert far["mae"] == pytest.approx(here["mae"], rel=0.01)
    assert far["width"] == pytest.approx(here["width"], rel=0.01)


def test_its_intervals_are_those_of_conformal_on_the_same_recipe(fitted: mf.Surrogate) -> None:
    same = mf.fit(wiggly(), TWO, Learner.of(fitted.model.facts["recipe"]))
    new = pd.DataFrame({"x": [0.1, 0.5, 0.9]})
    pd.testing.assert_frame_equal(fitted.predict(new), same.predict(new), rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", ["shuffled", "noise"])
def test_a_cheap_source_that_is_worth_nothing_is_left_out(how: str, seed: int, problem) -> None:
    table, schema = problem(cheap=30, trusted=16, seed=seed)
    table = spoilt(table, how, seed)
    chosen, alone = mf.fit(table, schema), mf.fit(table, schema, mf.Conformal(ALONE))
    # Where the target alone is the choice both are one number, up to the last bit.
    assert chosen.card["compared"][0]["crps"] <= alone.card["metrics"]["crps"] * (1 + 1e-9)
    new, _ = problem(cheap=0, trusted=200, seed=seed + 50)
    error, baseline = ((said.predict(new)["median"] - new["y"]).abs().mean() for said in (chosen, alone))
    assert error < 1.15 * baseline


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_can_be_learned_it_is_no_worse_than_the_target_alone(seed: int) -> None:
    table = spoilt(wiggly(seed), "shuffled", seed)
    new = wiggly(seed + 10, cheap=0, trusted=200)
    chosen, alone = mf.fit(table, TWO), mf.fit(table, TWO, ALONE)
    error, baseline = ((said.predict(new)["median"] - new["y"]).abs().mean() for said in (chosen, alone))
    assert error < 1.15 * baseline


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", [("cheap", "noise", "trusted"), ("noise", "cheap", "trusted")])
def test_one_bad_source_among_three_is_dropped_and_the_good_one_kept(order: tuple[str, ...], seed: int) -> None:
    table = wiggly(seed)
    bad = table[table["source"] == "cheap"].assign(source="noise")
    bad["y"] = np.random.default_rng(seed).normal(size=len(bad))
    surrogate = mf.fit(pd.concat([table, bad], ignore_index=True), schema_of(*order))
    assert {row["candidate"] for row in surrogate.card["compared"]} >= {
        f"difference over {order[0]}, {order[1]}",
        "difference without noise",
        "difference without cheap",
        f"latents of {order[0]}, {order[1]}",
        "the target alone",
    }
    new = wiggly(seed + 10, cheap=0, trusted=200)
    error, clean = ((said.predict(new)["median"] - new["y"]).abs().mean() for said in (surrogate, mf.fit(table, TWO)))
    assert error < 1.2 * clean


def test_a_source_without_rows_is_no_candidate() -> None:
    compared = mf.fit(wiggly(), THREE).card["compared"]
    assert {"difference over cheap", "latents of cheap", "the target alone"} <= {row["candidate"] for row in compared}
    assert not any("noise" in row["candidate"] for row in compared)


def test_one_source_leaves_the_target_alone() -> None:
    table = wiggly(trusted=30).query("source == 'trusted'")
    surrogate = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"))
    assert [row["candidate"] for row in surrogate.card["compared"]] == ["the target alone"]
    assert surrogate.card["why"][-1].startswith("the target alone: ")


def test_nine_compounds_are_too_few_to_compare_and_it_says_so() -> None:
    surrogate = mf.fit(wiggly(trusted=9), TWO)
    assert surrogate.card["why"] == [
        "difference over cheap: 9 target compounds are too few to hold some out, to compare or to calibrate."
    ]
    assert surrogate.card["compared"] == []
    assert surrogate.card["metrics"] == {}
    assert surrogate.heldout() is None
    assert np.isfinite(surrogate.predict(wiggly(), level=0.99).to_numpy()).all()


def test_ten_compounds_are_enough_for_ninety_percent() -> None:
    surrogate = mf.fit(wiggly(trusted=10), TWO)
    assert len(surrogate.heldout()) == 10
    assert np.isfinite(surrogate.predict(wiggly(), level=0.9).to_numpy()).all()


def test_many_rows_of_few_compounds_are_few() -> None:
    table = wiggly(trusted=18).assign(family=lambda rows: (rows["x"] * 5).astype(int))
    grouped = mf.Schema(mf.Columns("x"), value="y", source="source", costs=TWO.costs, group="family")
    assert "5 target compounds are too few" in mf.fit(table, grouped).card["why"][-1]


LOG: list[Data] = []


@dataclass(frozen=True)
class Recorder(Learner):
    """A GP that notes the data it is shown."""

    def fit(self, data: Data) -> FittedModel:
        LOG.append(data)
        return mf.GP().fit(data)

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        return mf.GP().restore(facts, state)


@pytest.fixture
def log() -> list[Data]:
    """What the recorders of one test were shown."""
    LOG.clear()
    return LOG


def test_a_big_cheap_source_is_thinned_and_shared_materials_are_kept(log: list[Data]) -> None:
    table = wiggly(cheap=60)
    surrogate = mf.fit(table, TWO, mf.Auto(member=Recorder(), limit=15))
    assert (
        surrogate.card["why"][0]
        == "cheap: 15 of its 60 rows are fitted, those shared with the target first; all measured values are used."
    )
    cheap = next(data for data in log if (data.fidelity == 0).all())
    assert len(cheap) == 15
    shared = set(table["x"][table["source"] == "trusted"]) & set(table["x"][table["source"] == "cheap"])
    assert len(shared) == 7
    assert shared <= set(cheap.X[:, 0].tolist())


def test_a_cheap_source_within_the_limit_is_used_whole(log: list[Data]) -> None:
    surrogate = mf.fit(wiggly(cheap=15), TWO, mf.Auto(member=Recorder(), limit=15))
    assert len(surrogate.card["why"]) == 1
    assert max(len(data) for data in log if (data.fidelity == 0).all()) == 15


# cross_validate.


@pytest.fixture(scope="module")
def validated() -> pd.DataFrame:
    return mf.cross_validate(wiggly(), TWO, mf.Difference([mf.GP()]))


def test_every_target_row_is_predicted_once_in_the_order_of_the_table(validated: pd.DataFrame) -> None:
    target = wiggly().query("source == 'trusted'")
    assert validated.columns.tolist() == ["y", "median", "mean", "std", "lower", "upper", "pit", "fold"]
    assert validated.index.tolist() == target.index.tolist()
    np.testing.assert_array_equal(validated["y"], target["y"])
    assert sorted(validated["fold"].value_counts()) == [2, 3, 3, 3, 3]


def test_the_index_of_the_table_is_kept() -> None:
    table = wiggly().sample(frac=1, random_state=0)
    labels = pd.MultiIndex.from_arrays([table["source"], [f"m{i % 7}" for i in range(len(table))]], names=["s", "m"])
    said = mf.cross_validate(table.set_axis(labels), TWO, ALONE)
    target = table.set_axis(labels).query("source == 'trusted'")
    assert said.index.equals(target.index)
    np.testing.assert_array_equal(said["y"], target["y"])


def test_each_fold_is_predicted_by_a_model_fitted_without_it(validated: pd.DataFrame) -> None:
    table = wiggly()
    rows = validated[validated["fold"] == 2]
    rest = mf.fit(table.drop(rows.index), TWO, mf.Difference([mf.GP()]))
    expected = rest.predict(table.loc[rows.index])
    pd.testing.assert_frame_equal(rows[expected.columns], expected, rtol=1e-6)


def test_the_pit_is_the_probability_below_the_measured_value(validated: pd.DataFrame) -> None:
    z = torch.from_numpy(((validated["y"] - validated["mean"]) / validated["std"]).to_numpy(copy=True))
    np.testing.assert_allclose(validated["pit"], torch.special.ndtr(z))


def test_no_compound_is_both_trained_on_and_predicted(log: list[Data]) -> None:
    table = wiggly(trusted=20).query("source == 'trusted'")
    table = table.assign(family=[f"f{i % 6}" for i in range(20)])
    schema = mf.Schema(mf.Columns("x"), value="y", group="family")
    said = mf.cross_validate(table, schema, Recorder(), folds=3)
    assert len(log) == 3
    for k, data in enumerate(log):
        held = set(table["family"][said.index[said["fold"] == k]])
        shown = set(table["family"].iloc[data.rows.numpy()])
        assert len(held) == 2
        assert shown == set(table["family"]) - held


def test_auto_inside_a_fold_sees_nothing_of_it(log: list[Data]) -> None:
    table = wiggly(trusted=24)
    said = mf.cross_validate(table, TWO, mf.Auto(member=Recorder()), folds=2)
    held = [set(table["x"][said.index[said["fold"] == k]]) for k in range(2)]
    seen = [set(data.X[data.fidelity == 1, 0].tolist()) for data in log if (data.fidelity == 1).any()]
    # In each fold: five inner ones and all rows, of the target alone or of both sources, two rounds each.
    assert len(seen) > 20
    assert all(not (shown & held[0]) or not (shown & held[1]) for shown in seen)


def test_cheap_values_of_a_held_out_compound_stay(log: list[Data]) -> None:
    mf.cross_validate(wiggly(), TWO, mf.Difference([Recorder()]))
    assert {len(data) for data in log if (data.fidelity == 0).all()} == {40}


def test_folds_in_threads_give_the_numbers_of_folds_in_turn(validated: pd.DataFrame) -> None:
    with ThreadPoolExecutor(2) as executor:
        said = mf.cross_validate(wiggly(), TWO, mf.Difference([mf.GP()]), executor=executor)
    pd.testing.assert_frame_equal(said, validated, check_exact=True)


def test_bad_rows_are_left_out_when_asked() -> None:
    table = wiggly()
    table.loc[[0, 41], "y"] = float("nan")
    with pytest.warns(SkippedRowsWarning, match="2 of 54 rows"):
        said = mf.cross_validate(table, TWO, ALONE, on_error="skip")
    assert said.index.tolist() == [40, *range(42, 54)]


@pytest.mark.parametrize("trusted", [0, 1])
def test_fewer_than_two_compounds_cannot_be_validated(trusted: int) -> None:
    with pytest.raises(FitError, match=f"{trusted} target compounds; expected at least 2"):
        mf.cross_validate(wiggly(trusted=trusted), TWO, ALONE)


@pytest.mark.parametrize("trusted", [0, 1])
def test_fewer_than_two_compounds_have_no_baseline(trusted: int) -> None:
    with pytest.raises(FitError, match=f"{trusted} target compounds; expected at least 2"):
        train_median(wiggly(trusted=trusted), TWO)


def test_the_baseline_is_the_median_of_the_other_folds(validated: pd.DataFrame) -> None:
    table, said = wiggly(), train_median(wiggly(), TWO, level=0.8)
    assert said["fold"].sort_index().tolist() == validated["fold"].sort_index().tolist()
    for k, rows in said.groupby("fold"):
        others = table.loc[said.index[said["fold"] != k], "y"]
        expected = [others.median(), others.mean(), others.std(), others.quantile(0.1), others.quantile(0.9)]
        found = rows[["median", "mean", "std", "lower", "upper"]].drop_duplicates()
        np.testing.assert_allclose(found, [expected])
        np.testing.assert_array_equal(rows["y"], table.loc[rows.index, "y"])


def test_accuracy_by_hand() -> None:
    said = pd.DataFrame({"y": [1.0, 2.0, 3.0, 4.0], "median": [1.0, 3.0, 3.0, 2.0], "mean": [1.0, 2.0, 5.0, 4.0]})
    said = said.assign(lower=[0.0, 2.0, 3.5, 3.0], upper=[1.0, 5.0, 4.5, 3.5])
    assert accuracy(said) == {"mae": 0.75, "rmse": 1.0, "coverage": 0.5, "width": 1.375}


def test_calibration_counts_the_rows_inside_each_central_interval() -> None:
    curve = calibration(pd.DataFrame({"pit": [0.5, 0.3, 0.95, 0.04]}))
    observed = dict(zip(curve["level"].round(2), curve["observed"], strict=True))
    assert [observed[level] for level in (0.0, 0.39, 0.41, 0.89, 0.91, 0.93, 1.0)] == [0.25, 0.25, 0.5, 0.5, 0.75, 1, 1]


@pytest.mark.promise
def test_the_intervals_of_auto_hold_for_new_compounds() -> None:
    tables = [wiggly(seed, cheap=30, trusted=24) for seed in range(4)]
    said = pd.concat([mf.cross_validate(table, TWO, level=0.8) for table in tables])
    # 96 values: three standard deviations are 12%.
    assert 0.68 < accuracy(said)["coverage"] < 0.95


def test_a_large_target_is_thinned_and_auto_says_so() -> None:
    table = pd.DataFrame({"x": np.linspace(0, 1, 60), "y": np.sin(6 * np.linspace(0, 1, 60))})
    surrogate = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.Auto(target_limit=40))
    assert surrogate.card["why"][0] == "y: 40 of its 60 rows are fitted, drawn at random."
    assert (surrogate.predict(table)["median"] - table["y"]).abs().max() < 0.2


@pytest.mark.parametrize(("floor", "hurdle"), [(None, True), (0.0, True), (-1.0, False)])
def test_a_hurdle_is_tried_where_the_stated_floor_is_what_repeats(floor: float | None, hurdle: bool) -> None:
    """Values that repeat above a stated floor are no hurdle."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.uniform(0, 1, 40), "source": "own"})
    table["y"] = np.maximum(table["x"] - 0.5, 0)
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"own": 1}, floor=floor)
    recipe = suggest_candidates(schema.data(table), None, 100, 0)["the target alone"]
    assert (recipe.config()["member"]["kind"] == "hurdle") is hurdle


def test_settings_of_which_one_matters_are_weighed_by_their_relevance() -> None:
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(6)]
    table = pd.DataFrame(rng.random((60, 6)), columns=names).assign(y=lambda t: np.sin(9 * t["x0"]))
    surrogate = mf.fit(table, mf.Schema(mf.Columns(names), value="y"))
    scores = {row["candidate"]: row["crps"] for row in surrogate.card["compared"]}
    relevant = scores["the target alone, each column by its relevance"]
    assert relevant < 0.8 * scores["the target alone"]
    assert surrogate.card["compared"][0]["crps"] <= relevant


def _skewed(n: int, lowest: float = 0.0) -> pd.DataFrame:
    """Values over decades."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, n)
    return pd.DataFrame({"x": x, "y": lowest + np.exp(5 * x + 0.3 * rng.normal(size=n))})


@pytest.mark.parametrize(
    ("n", "lowest", "tried"), [(99, 0.0, False), (100, 0.0, True), (100, -2.0, False), (100, 1e4, False)]
)
def test_logarithms_are_tried_of_many_values_above_0_that_spread(n: int, lowest: float, tried: bool) -> None:
    data = mf.Schema(mf.Columns("x"), value="y").data(_skewed(n, lowest))
    names = list(suggest_candidates(data, mf.GP(), 1000, 0))
    assert ("the target alone, of logarithms" in names) is tried


def test_logarithms_win_where_errors_grow_with_the_value_and_are_not_mixed_with_their_twin() -> None:
    schema = mf.Schema(mf.Columns("x"), value="y")
    surrogate = mf.fit(_skewed(100), schema, mf.Auto(member=mf.GP()))
    facts = surrogate.model.facts
    assert next(row["candidate"] for row in facts["compared"]) == "the target alone, of logarithms"
    assert not any("mixture" in row["candidate"] for row in facts["compared"])
    assert "y: the logarithm, as asked for." in facts["why"]
    said = surrogate.predict(pd.DataFrame({"x": [0.1, 0.9]}))
    assert (said["lower"] > 0).all()
    widths = said["upper"] - said["lower"]
    assert widths.iloc[1] > 10 * widths.iloc[0]


@pytest.mark.parametrize(
    ("n", "views", "kind"), [(1100, 5, "gp"), (1100, 4, "deep_kernel"), (1000, 4, "gp"), (2100, 5, "deep_kernel")]
)
def test_of_many_views_a_process_is_tried_up_to_more_values(n: int, views: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(views)]
    table = pd.DataFrame(rng.normal(size=(n, views)), columns=names).assign(y=rng.normal(size=n))
    data = mf.Schema([mf.Columns(name, name=name) for name in names], value="y").data(table)
    (candidate,) = suggest_candidates(data, None, 3000, 0).values()
    assert candidate.member.members[0].kind == kind
