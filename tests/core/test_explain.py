"""explain: each source's part in each prediction is what leaving it out changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat.errors import SchemaError

COSTS = {"noise": 1, "good": 2, "exact": 10}


def table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, 60)
    parts = [
        pd.DataFrame({"x": x, "y": np.sin(12 * x), "source": "good"}),
        pd.DataFrame({"x": rng.uniform(0, 1, 60), "y": rng.normal(size=60), "source": "noise"}),
        pd.DataFrame({"x": x[:12], "y": np.sin(12 * x[:12]) + 1, "source": "exact"}),
    ]
    return pd.concat(parts, ignore_index=True)


SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="source", costs=COSTS)
NEW = pd.DataFrame({"x": np.linspace(0.03, 0.97, 9)}, index=list("abcdefghi"))


@pytest.fixture(scope="module")
def fitted() -> mf.Surrogate:
    return mf.fit(table(), SCHEMA, mf.Difference([mf.GP()]))


def test_shift_and_reduction_are_what_the_model_without_the_source_says(fitted: mf.Surrogate) -> None:
    found = fitted.explain(NEW)
    assert list(found.index) == list(NEW.index)
    rows = table()
    without = mf.fit(rows[rows["source"] != "good"], SCHEMA, mf.Difference([mf.GP()]))
    here, there = (each.predict(NEW) for each in (fitted, without))
    np.testing.assert_allclose(found["shift_good"], here["mean"] - there["mean"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["reduction_good"], 1 - (here["std"] / there["std"]) ** 2, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(found["median"], fitted.predict(NEW)["median"])


def test_the_source_that_tells_something_takes_the_doubt_away(fitted: mf.Surrogate) -> None:
    found = fitted.explain(NEW)
    assert found["reduction_good"].median() > 0.5
    assert found["reduction_noise"].median() < 0.1


def test_the_parts_of_a_mixture_are_weighed_with_their_uncertainty() -> None:
    recipe = mf.Mixture(
        [mf.Difference([mf.GP()]), mf.Difference([mf.GP()], leave_out=("noise",)), mf.TargetOnly(mf.GP())]
    )
    found = mf.fit(table(), SCHEMA, mf.Conformal(recipe, form="refit")).explain(NEW)
    names = ["difference", "difference 2", "target_only"]
    np.testing.assert_allclose(found[[f"weight_{name}" for name in names]].sum(axis=1), 1)
    assert (found[[f"weight_std_{name}" for name in names]] > 0).all(axis=None)
    assert found["weight_target_only"].max() < 0.5


def test_a_floor_has_its_probability_and_the_rest_is_shared_above_it() -> None:
    x = np.linspace(0, 1, 40)
    cheap = np.clip(np.sin(9 * x), 0, None)
    parts = [pd.DataFrame({"x": x, "y": cheap, "source": "good"})]
    parts += [pd.DataFrame({"x": x[::2], "y": 2 * cheap[::2], "source": "exact"})]
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"good": 1, "exact": 10})
    top = mf.Hurdle(mf.Mixture([mf.GP(), mf.BayesianLinear()]))
    found = mf.fit(pd.concat(parts, ignore_index=True), schema, mf.Latent([mf.GP(), top])).explain(NEW)
    np.testing.assert_allclose(found[["weight_floor", "weight_gp", "weight_bayesian-linear"]].sum(axis=1), 1)
    assert found["weight_floor"].max() > 0.8
    assert found["weight_floor"].min() < 0.2


def test_the_choice_of_auto_is_what_is_explained() -> None:
    rows = table()
    rows = rows[rows["source"] != "noise"]
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"good": 1, "exact": 10})
    found = mf.fit(rows, schema).explain(NEW)
    assert {"shift_good", "reduction_good", "shift_all"} <= set(found.columns)
    np.testing.assert_array_equal(found["shift_good"], found["shift_all"])


def test_a_loaded_surrogate_wants_the_very_table_back(fitted: mf.Surrogate, tmp_path: Path) -> None:
    fitted.save(tmp_path / "x.mfmat")
    again = mf.load(tmp_path / "x.mfmat")
    with pytest.raises(SchemaError, match="keeps no rows"):
        again.explain(NEW)
    with pytest.raises(SchemaError, match="differs from the one fitted to"):
        again.explain(NEW, seen=table(1))
    pd.testing.assert_frame_equal(again.explain(NEW, seen=table()), fitted.explain(NEW))


def test_one_source_alone_has_no_parts() -> None:
    alone = mf.fit(table()[:40], mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    assert list(alone.explain(NEW).columns) == ["median", "std"]
