"""Rows unlike what was calibrated: named where they are there, and rarely where they are not."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, kstest
from torch import Tensor

import mfmat as mf
from mfmat import saving
from mfmat.errors import SchemaError
from mfmat.novelty import MOST, Novelty, OutsideWarning, strange

VIEWS = {"one": slice(0, 6), "two": slice(6, 8)}


def gaussian(n: int, seed: int) -> Tensor:
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def heavy(n: int, seed: int) -> Tensor:
    """Student's t with 5 degrees of freedom: some rows are far from all others, and yet like them."""
    return torch.from_numpy(np.random.default_rng(seed).standard_t(5, (n, 8)))


def novelty(X: Tensor, groups: Tensor | None = None) -> Novelty:
    found = Novelty.of(X, torch.arange(len(X)) if groups is None else groups, VIEWS)
    assert found is not None
    return found


# The promise.


@pytest.mark.parametrize("rows", [1, 20, 200])
@pytest.mark.parametrize("measured", [30, 300])
@pytest.mark.parametrize("draw", [gaussian, heavy])
def test_one_call_in_a_hundred_warns_of_rows_like_those_measured(draw, measured: int, rows: int) -> None:
    calls = 400
    alarms = 0
    for seed in range(calls):
        drawn = draw(measured + rows, seed)
        alarms += bool(strange(novelty(drawn[:measured]).p_values(drawn[measured:])).any())
    assert alarms <= binom.ppf(0.999, calls, 0.01)


def test_p_values_of_rows_like_those_measured_are_uniform() -> None:
    p = []
    for seed in range(400):
        drawn = gaussian(101, seed)
        p.append(float(novelty(drawn[:100]).p_values(drawn[100:])))
    # A conformal p-value lies on a grid of 1/101 and is smoothed here.
    smooth = np.array(p) - np.random.default_rng(0).uniform(0, 1 / 101, len(p))
    assert kstest(smooth, "uniform").pvalue > 0.01


def test_compounds_count_once_however_many_rows_they_have() -> None:
    alarms = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        rows = np.where(np.arange(61) % 10 == 0, 30, 1)
        compounds = gaussian(61, seed).repeat_interleave(torch.from_numpy(rows), dim=0)
        drawn = compounds + 0.05 * torch.from_numpy(rng.normal(size=compounds.shape))
        groups = torch.arange(61).repeat_interleave(torch.from_numpy(rows))
        new = int(rng.integers(61))
        found = novelty(drawn[groups != new], groups[groups != new])
        alarms += float(found.p_values(drawn[groups == new])[:1]) <= 0.1
    low, high = binom.ppf([0.001, 0.999], 400, 0.1)
    assert low <= alarms <= high


# What is found.


def test_an_element_never_seen_is_flagged() -> None:
    cations, anions = ["Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Mn", "Fe", "Co", "Ni"], ["O", "S", "Se", "Te"]
    formulas = [
        f"{a}{i}{b}{i}{x}{i + j}" for a in cations for b in cations for x in anions for i in (1,) for j in (1, 2)
    ]
    table = pd.DataFrame({"formula": formulas})
    block, _ = mf.Composition("formula", blocks="fractions").encode(table)
    X = torch.from_numpy(block)
    found = Novelty.of(X, torch.arange(len(X)), {"fractions": slice(0, X.shape[1])})
    new, _ = mf.Composition("formula", blocks="fractions").encode(pd.DataFrame({"formula": ["U2O3", "MgFeO3", "UCl4"]}))
    assert strange(found.p_values(torch.from_numpy(new))).tolist() == [True, False, True]


def test_a_rare_column_is_no_stranger_than_one_never_seen() -> None:
    X = torch.cat([gaussian(200, 0), torch.zeros(200, 2)], dim=1)
    X[7, 8] = 3.0
    views = {"one": slice(0, 10)}
    found = Novelty.of(X, torch.arange(200), views)
    seen_once, never = X[7].clone(), X[7].clone()
    never[8], never[9] = 0.0, 3.0
    rest = Novelty.of(X[torch.arange(200) != 7], torch.arange(199), views)
    torch.testing.assert_close(rest.distances(seen_once[None]), found.distances(never[None]), rtol=0.2, atol=0)


def test_the_farther_the_smaller_also_beyond_all_that_were_measured() -> None:
    found = novelty(gaussian(100, 0))
    away = torch.linspace(0, 1e3, 200, dtype=torch.double)[:, None].expand(-1, 8)
    p = found.p_values(away)
    assert bool((p.diff() <= 1e-12).all())
    assert float(p[-1]) < 1e-8
    assert float(found.p_values(torch.full((1, 8), 1e300, dtype=torch.double))) <= float(p[-1])


def test_a_row_that_was_measured_is_as_near_as_can_be() -> None:
    X = gaussian(500, 0)
    torch.testing.assert_close(novelty(X).p_values(X), torch.ones(500).double(), rtol=0, atol=0.01)


def test_on_a_grid_its_points_are_usual_and_all_else_is_not() -> None:
    side = torch.arange(6).double()
    X = torch.cartesian_prod(side, side)
    found = Novelty.of(X, torch.arange(36), {"grid": slice(0, 2)})
    assert found.p_values(torch.tensor([[2.5, 2.5], [6.0, 3.0]]).double()).tolist() == [1.0, 1.0]
    assert bool(strange(found.p_values(torch.tensor([[60.0, 60.0]]).double())))


def test_replicates_of_one_compound_are_no_neighbours() -> None:
    X = gaussian(50, 0)
    twice = torch.cat([X, X + 1e-6])
    torch.testing.assert_close(novelty(twice, torch.arange(50).repeat(2)).usual, novelty(X).usual, rtol=0.02, atol=1e-4)
    assert float(novelty(twice).usual.max()) < 1e-4


def test_one_compound_has_no_neighbour() -> None:
    assert Novelty.of(gaussian(9, 0), torch.zeros(9, dtype=torch.long), VIEWS) is None


def test_of_many_rows_some_are_compared_with_compounds_first() -> None:
    X = gaussian(3 * MOST // 2, 0)
    few = novelty(X, torch.arange(len(X)) % 100)
    many = novelty(X)
    assert (len(few.rows), len(few.usual)) == (MOST, 100)
    assert (len(many.rows), len(many.usual)) == (MOST, MOST)
    assert torch.equal(many.rows, novelty(X).rows)


# In a surrogate.


@pytest.fixture(scope="module")
def line() -> mf.Surrogate:
    x = np.random.default_rng(0).uniform(0, 10, 60)
    table = pd.DataFrame({"x": x, "y": np.sin(x), "source": ["cheap", "dear", "dear"] * 20})
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "dear": 10})
    return mf.fit(table, schema, mf.Conformal(mf.TargetOnly(mf.GP())))


NEW = pd.DataFrame({"x": [5.0, 40.0, 4.0, -30.0]}, index=["a", "b", "c", "d"])


def test_predict_names_the_rows_outside_and_answers(line: mf.Surrogate) -> None:
    with pytest.warns(OutsideWarning, match=r"2 of 4 rows unlike the measured compounds of 'dear' \(index 'b', 'd'\)"):
        said = line.predict(NEW)
    assert list(said.index) == list(NEW.index)
    with pytest.warns(OutsideWarning, match=r"got 1 of 1 rows.*index 'b'\): \S+ from the nearest.*take its interval"):
        line.predict(NEW.loc[["b"]], source="dear")


def test_predict_is_silent_about_rows_inside_and_about_what_was_not_calibrated(line: mf.Surrogate) -> None:
    line.predict(NEW.loc[["a", "c"]])
    line.predict(NEW, source="cheap")
    line.predict(NEW, noise=False)


def test_the_p_value_of_each_row(line: mf.Surrogate) -> None:
    p = line.novelty(NEW)
    assert list(p.index) == list(NEW.index)
    assert list(p > 0.01) == [True, False, True, False]


def test_what_is_saved_comes_back(line: mf.Surrogate, tmp_path: Path) -> None:
    line.save(tmp_path / "line.mfmat")
    loaded = mf.load(tmp_path / "line.mfmat")
    pd.testing.assert_series_equal(loaded.novelty(NEW), line.novelty(NEW), check_exact=True)
    with pytest.warns(OutsideWarning):
        loaded.predict(NEW)


def test_files_saved_before_this_was_kept_load_and_do_not_warn(line: mf.Surrogate, tmp_path: Path) -> None:
    line.save(tmp_path / "new.mfmat")
    card, state = saving.read(tmp_path / "new.mfmat")
    old = {name: entry for name, entry in card.items() if name not in ("calibration", "format", "aliases")}
    saving.write(tmp_path / "old.mfmat", old, {name: state[name] for name in state if not name.startswith("novelty.")})
    loaded = mf.load(tmp_path / "old.mfmat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded.predict(NEW)
    with pytest.raises(SchemaError, match="without calibration evidence"):
        loaded.novelty(NEW)


def test_nothing_held_out_is_nothing_to_be_outside_of() -> None:
    table = pd.DataFrame({"x": np.arange(20.0), "y": np.sin(np.arange(20.0))})
    bare = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    bare.predict(pd.DataFrame({"x": [900.0]}))
    assert bare.card["calibration"] is None
    with pytest.raises(SchemaError, match="a recipe that holds target compounds out"):
        bare.novelty(table)


def test_the_card_says_where_and_on_how_much_the_intervals_were_tested(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"T": rng.uniform(0, 1, 40), "alloy": np.arange(40) % 20, "y": rng.normal(size=40)})
    schema = mf.Schema(mf.Columns("T"), value="y", group="alloy")
    surrogate = mf.fit(table, schema, mf.Conformal(mf.GP(), form="split", folds=2))
    said, heldout = surrogate.card["calibration"], surrogate.heldout()
    inside = heldout["y"].between(heldout["lower"], heldout["upper"]).mean()
    assert said == {
        "source": "y",
        "rows": 20,
        "compounds": 10,
        "measured": surrogate.card["provenance"]["created"],
        "level": 0.9,
        "coverage": pytest.approx(inside),
        "coverage_error": pytest.approx((inside * (1 - inside) / 20) ** 0.5),
    }
    surrogate.save(tmp_path / "s")
    assert json.loads((tmp_path / "s" / "card.json").read_text())["calibration"] == said
