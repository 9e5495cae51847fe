"""Conformal by groups and under weights: which calibration rows speak for a new row."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from crepes import ConformalRegressor

import mfmat as mf
from mfmat.errors import CalibrationError, SchemaError, UnknownNameError
from mfmat.metrics import row_crps
from mfmat.posteriors import CalibrationWarning, ConformalPosterior, Weighing, effective, interval, normal

SCHEMA = mf.Schema(mf.Columns("x"), value="y", metadata=[mf.Groups("lab"), mf.Columns("ratio")])
LINE = mf.BayesianLinear()


def draw(n: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """A line whose noise differs by the laboratory, and grows with x; more rows of large x with a shift."""
    rng = np.random.default_rng(seed)
    x, lab = rng.normal(shift, 1, n), np.where(rng.uniform(size=n) < 0.7, "careful", "quick")
    noise = np.where(lab == "quick", 1.0, 0.2) * np.exp(0.5 * x)
    # The density of N(1, 1) over that of N(0, 1).
    return pd.DataFrame({"x": x, "lab": lab, "ratio": np.exp(x - 0.5), "y": x + noise * rng.normal(size=n)})


def held(table: pd.DataFrame, said: pd.DataFrame) -> pd.Series:
    return table["y"].between(said["lower"], said["upper"])


@pytest.mark.parametrize("form", ["split", "refit"])
def test_groups_are_the_mondrian_categories_of_crepes(form: str) -> None:
    table, new = draw(600, 0), draw(50, 1)
    recipe = mf.Conformal(LINE, form=form, score="absolute", by="lab", borrow=0)
    surrogate = mf.fit(table, SCHEMA, recipe)
    evidence = surrogate.heldout()
    assert evidence is not None
    bins = table.loc[evidence["index"], "lab"].to_numpy()
    own = surrogate.model.inner.posterior(SCHEMA.encode(new)[0], None, True)
    centre = own.mean.detach().flatten().numpy()
    regressor = ConformalRegressor().fit((evidence["y"] - evidence["median"]).to_numpy(), bins=bins)
    for level in (0.5, 0.875):
        theirs = regressor.predict_int(centre, bins=new["lab"].to_numpy(), confidence=level)
        np.testing.assert_allclose(surrogate.predict(new, level=level)[["lower", "upper"]], theirs, rtol=1e-9)


def test_a_small_group_borrows_what_it_lacks_and_an_unseen_one_everything() -> None:
    table = draw(200, 0)
    table.loc[table.index[:10], "lab"] = "rare"
    weighing = mf.fit(table, SCHEMA, mf.Conformal(LINE, by="lab", borrow=50)).model.relevance
    asked = pd.DataFrame({"x": [0.0] * 3, "lab": ["rare", "quick", "never seen"], "ratio": [1.0] * 3})
    shares = weighing(SCHEMA.encode(asked)[0])
    by_row = shares.weights[shares.kind]
    count = {lab: int((table["lab"] == lab).sum()) for lab in ("rare", "quick")}
    assert count["rare"] == 10
    assert sorted(by_row[0].unique().tolist()) == pytest.approx([40 / 190, 1.0])
    assert float(by_row[0].sum()) == pytest.approx(50)
    assert sorted(by_row[1].unique().tolist()) == [0.0, 1.0]
    assert float(by_row[1].sum()) == count["quick"] >= 50
    assert by_row[2].tolist() == pytest.approx([50 / 200] * 200)


def test_weights_are_those_of_weighted_conformal_prediction() -> None:
    scores, weights = torch.tensor([1.0, 2.0, 3.0, 4.0]).double(), torch.tensor([[4.0, 1.0, 1.0, 2.0]]).double()
    base = normal(torch.zeros(2, 1).double(), torch.ones(2, 1, 1).double())
    one = torch.ones(1, 2, 1, 1).double()
    weighing = Weighing(weights, None, torch.tensor([2.0, 0.5]).double())
    posterior = ConformalPosterior(base, 0 * one, one, scores, torch.zeros(4, dtype=torch.long), weighing=weighing)
    # 0.5 x (8 + 2) = 5: the weights of the first two. 0.5 x 8.5 = 4.25: the same; 0.4 x 8.5 = 3.4: the first alone.
    assert interval(posterior, 0.5)[1].flatten().tolist() == [2.0, 2.0]
    assert interval(posterior, 0.4)[1].flatten().tolist() == [1.0, 1.0]
    # 0.9 x 10 = 9 is more than 8: no end. 0.9 x 8.5 = 7.65: all four.
    with pytest.warns(CalibrationWarning, match="without an end for 1 of 2 rows"):
        assert interval(posterior, 0.9)[1].flatten().tolist() == [math.inf, 4.0]
    with pytest.raises(CalibrationError, match="without an end for 2 of 2 rows"):
        interval(posterior, 0.99)


@pytest.mark.parametrize("form", ["cross", "split", "refit", "loo"])
@pytest.mark.parametrize("score", ["cdf", "absolute"])
def test_equal_weights_and_one_group_change_nothing(form: str, score: str) -> None:
    table, new = draw(80, 0).assign(lab="one", ratio=2.0), draw(20, 1).assign(lab="one", ratio=2.0)
    learner = mf.GP() if form == "loo" else mf.Forest(trees=20)
    plain = mf.Conformal(learner, form=form, score=score)
    weighed = mf.Conformal(learner, form=form, score=score, by="lab", weights="ratio")
    expected, found = (mf.fit(table, SCHEMA, recipe).predict(new, level=0.8) for recipe in (plain, weighed))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-8)


@pytest.mark.parametrize("form", ["cross", "split", "refit", "loo"])
def test_saved_and_loaded_groups_and_weights_are_the_same(form: str, tmp_path: Path) -> None:
    table, new = draw(80, 0), draw(20, 1)
    learner = mf.GP() if form == "loo" else mf.Forest(trees=20)
    surrogate = mf.fit(table, SCHEMA, mf.Conformal(learner, form=form, by="lab", weights="ratio"))
    surrogate.save(tmp_path / "a.mfmat")
    found = mf.load(tmp_path / "a.mfmat").predict(new, level=0.8)
    pd.testing.assert_frame_equal(found, surrogate.predict(new, level=0.8), check_exact=True)


def test_a_function_of_rows_weighs_as_a_column_does_and_cannot_be_saved(tmp_path: Path) -> None:
    table, new = draw(120, 0), draw(20, 1)
    by_function = mf.Conformal(LINE, weights=lambda X: (X[:, 0] - 0.5).exp())
    surrogate = mf.fit(table, SCHEMA, by_function)
    expected = mf.fit(table, SCHEMA, mf.Conformal(LINE, weights="ratio")).predict(new, level=0.8)
    pd.testing.assert_frame_equal(surrogate.predict(new, level=0.8), expected, rtol=1e-9)
    with pytest.raises(SchemaError, match="function"):
        surrogate.save(tmp_path / "a.mfmat")


def test_rows_without_their_metadata_are_answered_with_a_warning() -> None:
    table, new = draw(120, 0), draw(20, 1)
    surrogate = mf.fit(table, SCHEMA, mf.Conformal(LINE, by="lab"))
    with pytest.warns(CalibrationWarning, match="20 of 20 rows without a group"):
        bare = surrogate.predict(new[["x"]])
    unseen = surrogate.predict(new.assign(lab="never seen"))
    pd.testing.assert_frame_equal(bare, unseen)
    weighed = mf.fit(table, SCHEMA, mf.Conformal(LINE, weights="ratio"))
    with pytest.warns(CalibrationWarning, match="without a weight"):
        bare = weighed.predict(new[["x"]], level=0.5)
    pd.testing.assert_frame_equal(bare, weighed.predict(new.assign(ratio=table["ratio"].max()), level=0.5))


def test_names_that_the_schema_lacks_and_weights_that_are_none_are_errors() -> None:
    table = draw(60, 0)
    with pytest.raises(UnknownNameError, match=r"by='labs'.*'lab', 'ratio'"):
        mf.fit(table, SCHEMA, mf.Conformal(LINE, by="labs"))
    with pytest.raises(UnknownNameError, match="weights='x'"):
        mf.fit(table, SCHEMA, mf.Conformal(LINE, weights="x"))
    table.loc[7, "ratio"] = -1.0
    with pytest.raises(CalibrationError, match=r"weight -1\.0 of row 7"):
        mf.fit(table, SCHEMA, mf.Conformal(LINE, weights="ratio"))
    with pytest.raises(CalibrationError, match="weights that are all 0"):
        mf.fit(table.assign(ratio=0.0), SCHEMA, mf.Conformal(LINE, weights="ratio"))


def test_an_effective_sample_too_small_for_ninety_percent_is_said_when_fitted() -> None:
    table = draw(60, 0).assign(ratio=1e-3)
    table.loc[[3, 4], "ratio"] = 1.0
    with pytest.warns(CalibrationWarning, match=r"effective sample of 2\.\d of 60 calibration rows"):
        mf.fit(table, SCHEMA, mf.Conformal(LINE, weights="ratio"))


def test_the_effective_sample_is_kishs() -> None:
    assert effective(torch.ones(7)) == 7
    assert effective(torch.tensor([3.0, 1.0])) == pytest.approx(1.6)


def test_sources_on_request_have_their_own_calibration(problem) -> None:
    table, schema = problem(cheap=60, trusted=30)
    recipe = mf.Difference([mf.GP()])
    cheap, trusted = schema.sources
    plain = mf.fit(table, schema, mf.Conformal(recipe, folds=3))
    both = mf.fit(table, schema, mf.Conformal(recipe, folds=3, sources=(cheap, trusted)))
    own = mf.fit(table, schema, recipe)
    new = pd.DataFrame({"x": np.linspace(0.1, 0.9, 5)})
    pd.testing.assert_frame_equal(both.predict(new), plain.predict(new), rtol=1e-9)
    pd.testing.assert_frame_equal(plain.predict(new, source=cheap), own.predict(new, source=cheap), rtol=1e-9)
    assert not np.allclose(both.predict(new, source=cheap)["upper"], own.predict(new, source=cheap)["upper"])
    assert both.card["metrics"] == plain.card["metrics"]
    only = mf.fit(table, schema, mf.Conformal(recipe, folds=3, sources=cheap))
    pd.testing.assert_frame_equal(only.predict(new, source=cheap), both.predict(new, source=cheap), rtol=1e-9)
    pd.testing.assert_frame_equal(only.predict(new), own.predict(new), rtol=1e-9)
    assert only.heldout() is None


@pytest.mark.parametrize("form", ["cross", "split", "refit"])
def test_several_calibrated_sources_are_saved_and_loaded(form: str, problem, tmp_path: Path) -> None:
    table, schema = problem(cheap=40, trusted=30)
    recipe = mf.Conformal(mf.Pooled(mf.Forest(trees=20)), form=form, folds=3, sources=schema.sources)
    surrogate = mf.fit(table, schema, recipe)
    surrogate.save(tmp_path / "a.mfmat")
    back = mf.load(tmp_path / "a.mfmat")
    for source in schema.sources:
        said = (each.predict(table.drop(columns="y"), level=0.5, source=source) for each in (surrogate, back))
        pd.testing.assert_frame_equal(*said, check_exact=True)


def test_a_source_that_the_data_lack_is_an_error(problem) -> None:
    table, schema = problem()
    with pytest.raises(UnknownNameError, match="sources=\\['chep'\\]"):
        mf.fit(table, schema, mf.Conformal(mf.Difference([mf.GP()]), sources="chep"))


# What no learner sees.


def test_metadata_and_ids_are_seen_by_no_learner() -> None:
    rng = np.random.default_rng(0)
    table = draw(60, 0).assign(id=np.arange(60))
    named = mf.Schema(mf.Columns("x"), value="y", metadata=mf.Groups("lab"), material="id")
    new = draw(10, 1)
    learners = (LINE, mf.Forest(trees=20), mf.Ensemble(members=2, hidden=(8,), steps=20), mf.GP(), mf.AtomSet(steps=20))
    for recipe in learners:
        surrogate = mf.fit(table, named, recipe)
        expected = surrogate.predict(new.drop(columns="lab"))
        shuffled = new.assign(lab=rng.permutation(new["lab"]), id=rng.integers(60, 99, 10))
        pd.testing.assert_frame_equal(surrogate.predict(shuffled), expected, rtol=1e-9)


def test_metadata_do_not_tell_materials_apart() -> None:
    table = pd.DataFrame({"x": [1.0, 1.0, 2.0], "lab": ["a", "b", "a"], "y": [1.0, 3.0, 5.0]})
    data = mf.Schema(mf.Columns("x"), value="y", metadata=mf.Groups("lab")).data(table)
    assert data.counts.tolist() == [2, 1]
    assert data.Y[:, 0].tolist() == [2.0, 5.0]


def test_two_metadata_of_one_name_are_an_error() -> None:
    with pytest.raises(SchemaError, match="two metadata with the feature 'lab'"):
        mf.Schema(mf.Columns("x"), value="y", metadata=[mf.Groups("lab"), mf.Columns("lab")])


@pytest.mark.promise
def test_each_group_has_its_promise_where_the_whole_breaks_it() -> None:
    counts = {"plain": np.zeros(2), "by": np.zeros(2)}
    seen = np.zeros(2)
    for seed in range(120):
        table, new = draw(200, seed), draw(20, 10_000 + seed)
        quick = (new["lab"] == "quick").to_numpy()
        seen += [quick.sum(), (~quick).sum()]
        for name, by in (("plain", None), ("by", "lab")):
            said = mf.fit(table, SCHEMA, mf.Conformal(LINE, form="split", folds=2, by=by, borrow=0)).predict(new)
            inside = held(new, said).to_numpy()
            counts[name] += [inside[quick].sum(), inside[~quick].sum()]
    plain, by = counts["plain"] / seen, counts["by"] / seen
    # Rows of one repetition share some 30 or 70 calibration rows.
    band = 3 * np.sqrt(0.09 * (1 / seen + 1 / (120 * np.array([30, 70]))))
    assert plain[0] < 0.9 - band[0]
    assert (by > 0.9 - band).all()
    # A group of some 30 calibration rows holds 0.9 to 0.9 + 1 / 31.
    assert (by < 0.94 + band).all()


@pytest.mark.promise
@pytest.mark.filterwarnings("ignore::mfmat.posteriors.CalibrationWarning")
def test_under_a_known_shift_the_weighted_interval_holds_and_the_plain_one_does_not() -> None:
    counts, seen = {"plain": 0, "weighted": 0}, 0
    for seed in range(100):
        table, new = draw(400, seed), draw(20, 10_000 + seed, shift=1.0)
        seen += len(new)
        for name, weights in (("plain", None), ("weighted", "ratio")):
            recipe = mf.Conformal(LINE, form="split", folds=2, score="absolute", weights=weights)
            counts[name] += int(held(new, mf.fit(table, SCHEMA, recipe).predict(new)).sum())
    band = 3 * math.sqrt(0.09 * (1 / seen + 1 / (100 * 80)))
    assert counts["plain"] / seen < 0.9 - band
    assert 0.9 - band < counts["weighted"] / seen < 0.93 + band


def test_the_score_of_a_posterior_uses_the_levels_that_its_rows_can_give() -> None:
    table, new = draw(60, 0), draw(20, 1)
    y = torch.tensor(new["y"].tolist(), dtype=torch.double).reshape(-1, 1, 1)
    for recipe in (mf.Conformal(LINE, by="lab", borrow=10), mf.Conformal(LINE, ends="each", weights="ratio")):
        model = mf.fit(table, SCHEMA, recipe).model
        with torch.no_grad():
            score = row_crps(model.posterior(SCHEMA.encode(new)[0], None, True), y)
            plain = row_crps(model.inner.posterior(SCHEMA.encode(new)[0], None, True), y)
        assert bool(torch.isfinite(score).all())
        assert 0.5 < float(score.mean() / plain.mean()) < 2
