"""diagnose tells a good source from noise, from an inverted one and from one of another scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat.errors import FitError, SchemaError

COSTS = {"good": 1, "noise": 1, "inverted": 1, "half": 1, "exact": 10}


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(12 * x)


def table(seed: int = 0, n: int = 120, exact: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for source in ("good", "noise", "inverted", "half"):
        x = rng.uniform(0, 1, n)
        y = {
            "good": 0.5 * truth(x) + 0.1,
            "noise": rng.normal(size=n),
            "inverted": -truth(x),
            "half": np.where(x < 0.5, truth(x), rng.normal(size=n)),
        }[source]
        parts.append(pd.DataFrame({"x": x, "y": y, "source": source}))
    x = np.concatenate([parts[0]["x"][:10], parts[2]["x"][:10], rng.uniform(0, 1, exact - 20)])
    y = truth(x) + 0.3 * x + 0.1 * rng.normal(size=exact)
    parts.append(pd.DataFrame({"x": x, "y": y, "source": "exact"}))
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(side=np.where(whole["x"] < 0.5, "left", "right"))


def schema(**options: object) -> mf.Schema:
    return mf.Schema(mf.Columns("x"), value="y", source="source", costs=COSTS, **options)


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    rows = table(exact=40)
    return mf.diagnose(rows, schema(), by="side")


def test_a_good_source_is_used_and_noise_is_dropped(found: pd.DataFrame) -> None:
    assert list(found.index) == ["good", "noise", "inverted", "half"]
    assert found.loc["good", "verdict"] == "use"
    assert found.loc["good", "gain_lower"] > 0
    assert found.loc["noise", "verdict"] == "drop"
    assert found.loc["noise", "gain_lower"] < 0.02
    assert found.loc["noise", "break_even"] < found.loc["good", "break_even"]


def test_an_inverted_source_is_used_and_named(found: pd.DataFrame) -> None:
    assert "inverted" in found.loc["inverted", "warning"]
    assert found.loc["inverted", "correlation_upper"] < 0
    assert found.loc["inverted", "verdict"] == "use"


def test_correlations_carry_their_error_bar(found: pd.DataFrame) -> None:
    good = found.loc["good"]
    assert good["shared"] == 10
    assert good["correlation_lower"] < good["correlation"] < good["correlation_upper"]
    assert good["correlation"] > 0.9
    assert "no material in common" in found.loc["noise", "warning"]


def test_the_gain_is_that_of_the_two_recipes_on_the_same_folds(found: pd.DataFrame) -> None:
    rows = table(exact=40)
    rows = rows[rows["source"].isin(["good", "exact"])]
    own = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"good": 1, "exact": 10})
    alone = mf.diagnose(rows, own)
    assert alone.loc["good", "gain"] == pytest.approx(found.loc["good", "gain"], abs=1e-6)


def test_another_scale_is_named() -> None:
    rows = table(exact=30)
    rows.loc[rows["source"] == "good", "y"] *= 1000
    assert "another scale" in mf.diagnose(rows, schema()).loc["good", "warning"]


def test_a_source_without_rows_and_one_alone_are_told_apart() -> None:
    rows = table(exact=30)
    found = mf.diagnose(rows[rows["source"] != "noise"], schema())
    assert found.loc["noise", "verdict"] == "drop"
    assert found.loc["noise", "warning"] == "no rows"
    single = mf.Schema(mf.Columns("x"), value="y")
    with pytest.raises(SchemaError, match="one source"):
        mf.diagnose(rows[rows["source"] == "exact"], single)
    with pytest.raises(FitError, match="5 compounds"):
        mf.diagnose(pd.concat([rows[rows["source"] != "exact"], rows[rows["source"] == "exact"][:5]]), schema())
    with pytest.raises(SchemaError, match="by='sidde'"):
        mf.diagnose(rows, schema(), by="sidde")


def test_families_of_compounds_are_the_regions_of_formulas() -> None:
    names = mf.Composition("formula").families(pd.DataFrame({"formula": ["SrTiO3", "NaCl", "ZnS", "NaH", "Fe", "?"]}))
    assert names.tolist() == ["oxides", "halides", "chalcogenides", "hydrides", "elements", None]
