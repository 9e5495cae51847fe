"""Calibration metrics against uncertainty-toolbox and closed forms, and tables whose error bars hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
import uncertainty_toolbox as toolbox
from scipy import stats
from torch import Tensor

from mfmat import metrics
from mfmat.errors import CalibrationError
from mfmat.posteriors import DistributionalPosterior, MixturePosterior, RowPosterior, normal


def gaussian(mean: np.ndarray, std: np.ndarray) -> RowPosterior:
    mean, std = (torch.as_tensor(x, dtype=torch.double).reshape(-1, 1) for x in (mean, std))
    return normal(mean, std.square().unsqueeze(-1))


def values(y: np.ndarray) -> Tensor:
    return torch.as_tensor(y, dtype=torch.double).reshape(-1, 1, 1)


def drawn(seed: int, n: int = 400, wide: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(3, 5, n), rng.uniform(0.1, 2, n)
    return mean, wide * std, mean + std * rng.normal(size=n)


def hurdle(n: int, floor: float = 0.3) -> tuple[MixturePosterior, Tensor]:
    """The right distribution of values that are 0 with that probability, and such values."""
    rng = np.random.default_rng(0)
    y = np.where(rng.random(n) < floor, 0.0, rng.normal(2, 1, n))
    means = torch.stack([torch.zeros(n, 1), torch.full((n, 1), 2.0)]).double()
    variances = torch.stack([torch.zeros(n, 1, 1), torch.ones(n, 1, 1)]).double()
    return MixturePosterior(means, variances, torch.tensor([floor, 1 - floor]).double()), values(y)


@pytest.mark.parametrize("seed", [0, 1])
def test_sharpness_is_that_of_uncertainty_toolbox(seed: int) -> None:
    mean, std, _ = drawn(seed)
    assert metrics.sharpness(gaussian(mean, std)) == pytest.approx(toolbox.sharpness(std))


def test_ence_is_its_formula_by_hand() -> None:
    mean, std, y = drawn(0, 403, wide=0.7)
    order, total = np.argsort(std, kind="stable"), 0.0
    for part in np.array_split(order, 10):
        predicted, seen = np.sqrt(np.mean(std[part] ** 2)), np.sqrt(np.mean((y - mean)[part] ** 2))
        total += abs(predicted - seen) / predicted / 10
    assert metrics.ence(gaussian(mean, std), values(y)) == pytest.approx(total)
    assert total == pytest.approx(1 / 0.7 - 1, abs=0.15)


def test_a_right_model_has_the_ence_of_chance() -> None:
    found = [
        metrics.ence(gaussian(mean, std), values(y)) for mean, std, y in (drawn(seed, 1000) for seed in range(100))
    ]
    # Spread within a bin makes the errors of its rows heavier in the tail than those of one Gaussian.
    assert np.mean(found) == pytest.approx(math.sqrt(10 / (math.pi * 1000)), rel=0.15)


def test_fewer_rows_than_bins_are_refused() -> None:
    with pytest.raises(CalibrationError, match="5 rows in 10 bins"):
        metrics.ence(gaussian(*drawn(0, 5)[:2]), values(np.zeros(5)))


def test_the_transform_of_a_right_model_is_uniform_and_of_a_gaussian_its_cumulative_probability() -> None:
    mean, std, y = drawn(0)
    pit = metrics.pit(gaussian(mean, std), values(y)).flatten().numpy()
    np.testing.assert_allclose(pit, stats.norm.cdf(y, mean, std))
    said, y = hurdle(2000)
    pits = metrics.pit(said, y).flatten().numpy()
    assert stats.kstest(pits, "uniform").pvalue > 0.01
    np.testing.assert_array_equal(pits, metrics.pit(said, y).flatten().numpy())


def test_an_atom_counts_for_the_area_whether_calibrated_or_not() -> None:
    said, y = hurdle(2000)
    assert metrics.miscalibration_area(said, y) < 0.02
    kept = DistributionalPosterior(said, torch.linspace(0, 3, 500).double().erfinv().clamp_max(3).nan_to_num(3.0))
    plain = DistributionalPosterior(said, (metrics.pit(said, y).flatten() - 0.5).mul(2).abs().erfinv() * math.sqrt(2))
    assert metrics.miscalibration_area(plain, y) < 0.02
    assert metrics.miscalibration_area(kept, y) >= 0


def test_the_table_holds_what_the_functions_say() -> None:
    mean, std, y = drawn(0)
    said, truth = gaussian(mean, std), values(y)
    table = metrics.evaluate(said, truth, levels=[0.5, 0.9])
    assert list(table.columns) == ["group", "rows", "metric", "level", "value", "error"]
    assert set(table["group"]) == {"all"}
    assert set(table["rows"]) == {400}
    for name in ("mae", "rmse", "nll", "crps", "sharpness", "miscalibration_area", "ence"):
        args = (said,) if name == "sharpness" else (said, truth)
        row = table[table["metric"] == name]
        assert row["value"].item() == pytest.approx(getattr(metrics, name)(*args)), name
        assert np.isnan(row["level"].item())
    for level in (0.5, 0.9):
        rows = table[table["level"] == level].set_index("metric")["value"]
        assert rows["coverage"] == pytest.approx(metrics.coverage(said, truth, level))
        assert rows["width"] == pytest.approx(metrics.width(said, level))
        assert rows["interval_score"] == pytest.approx(metrics.interval_score(said, truth, level))
    assert (table["error"] > 0).all()


def test_groups_are_scored_on_their_own() -> None:
    mean, std, y = drawn(0)
    by = np.where(np.arange(400) < 100, "oxide", "halide")
    table = metrics.evaluate(gaussian(mean, std), values(y), by=by, levels=[0.9])
    assert list(table["group"].unique()) == ["all", "halide", "oxide"]
    alone = metrics.evaluate(gaussian(mean[:100], std[:100]), values(y[:100]), levels=[0.9])
    mine = table[table["group"] == "oxide"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine.drop(columns="group"), alone.drop(columns="group"))
    few = metrics.evaluate(gaussian(mean, std), values(y), by=["a", *["b"] * 399], levels=[0.9])
    single = few[few["group"] == "a"]
    assert single["error"].isna().all()
    assert single["value"].notna().all()
    assert "ence" not in set(single["metric"])


def test_rows_of_one_compound_are_one_piece_of_evidence() -> None:
    mean, std, y = drawn(0, 200)
    thrice = [np.repeat(x, 3) for x in (mean, std, y)]
    said = gaussian(*thrice[:2])
    once = metrics.evaluate(gaussian(mean, std), values(y), levels=[0.9])
    together = metrics.evaluate(said, values(thrice[2]), levels=[0.9], compounds=np.repeat(np.arange(200), 3))
    apart = metrics.evaluate(said, values(thrice[2]), levels=[0.9])
    crps = [table.set_index("metric").loc["crps", "error"] for table in (once, together, apart)]
    assert crps[1] == pytest.approx(crps[0], rel=1e-9)
    assert crps[2] < 0.75 * crps[0]


@pytest.mark.parametrize("metric", ["mae", "rmse", "crps", "coverage", "miscalibration_area"])
def test_errors_are_the_spread_over_repeated_draws(metric: str) -> None:
    found, said = [], []
    for seed in range(60):
        mean, std, y = drawn(seed, 300, wide=0.6)
        row = metrics.evaluate(gaussian(mean, std), values(y), levels=[0.9]).set_index("metric").loc[metric]
        found.append(row["value"])
        said.append(row["error"])
    # A standard deviation from 60 draws is known to 9%.
    assert np.mean(said) == pytest.approx(np.std(found), rel=0.3)


def test_names_that_are_not_one_a_row_and_no_rows_are_refused() -> None:
    mean, std, y = drawn(0, 20)
    with pytest.raises(CalibrationError, match="3 values of by=; expected 20"):
        metrics.evaluate(gaussian(mean, std), values(y), by=["a"] * 3)
    with pytest.raises(CalibrationError, match="no rows"):
        metrics.evaluate(gaussian(np.zeros(0), np.zeros(0)), values(np.zeros(0)))
