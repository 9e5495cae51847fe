"""Difference against the joint Gaussian process written out by hand, SMT, and planted truths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from smt.applications import MFK

import mfmat as mf
from mfmat.data import Data, at_fidelity, material_keys
from mfmat.errors import FitError, SchemaError, UnknownNameError
from mfmat.experts.process import NOISE_FLOOR
from mfmat.stacks.chain import DifferenceModel, Level, locate
from mfmat.stacks.links import MOST_TRUST, Link, design, regress

SLOPES = [1.7, -0.6, 2.5]


def table_of(levels: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[pd.DataFrame, mf.Schema]:
    parts = [pd.DataFrame({"x": x, "s": name, "y": y}) for name, (x, y) in levels.items()]
    schema = mf.Schema(mf.Columns("x"), value="y", source="s", costs={name: 10.0**i for i, name in enumerate(levels)})
    return pd.concat(parts, ignore_index=True), schema


def nested(levels: int, seed: int = 0) -> Data:
    """Each level's rows are among those of the level below."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, 24)
    y, values = np.sin(6 * x), {}
    for i in range(levels):
        n = 24 - 5 * i
        values[f"s{i}"] = (x[:n], y[:n])
        y = SLOPES[i % 3] * y + np.cos(3 * (i + 1) * x) + 0.1 * rng.normal(size=len(x))
    table, schema = table_of(values)
    return schema.data(table)


def chain(data: Data) -> DifferenceModel:
    """A chain with given slopes whose measured values carry over whole."""
    levels: list[Level] = []
    for i in range(len(data.sources)):
        rows = data.at(i)
        keys, order = material_keys(rows.X, None).sort()
        link = Link(SLOPES[i - 1], MOST_TRUST, 0.0) if i else None
        residual = rows
        if i:
            below = levels[-1].measured(material_keys(rows.X, None))[1]
            residual = replace(rows, Y=rows.Y - SLOPES[i - 1] * below[:, None])
        levels.append(Level(mf.GP().fit(residual), i - 1 if i else None, link, keys, rows.Y[order, 0]))
    return DifferenceModel(levels, {"width": 1, "sources": list(data.sources), "material": None}).eval()


def by_hand(model: DifferenceModel, data: Data, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The posterior of the joint Gaussian process over all levels (Kennedy & O'Hagan 2000), at rows X."""
    rows = torch.cat([data.X, X])
    x, s = rows[:, :-1], rows[:, -1].long()
    n, m = len(data), len(data.sources)
    # f_s = sum_l W[s, l] g_l; a level's noise is the material's own and passes upward with its function.
    W = torch.eye(m, dtype=torch.double)
    for i in range(1, m):
        W[i] += SLOPES[i - 1] * W[i - 1]
    same = (x[:, None] == x[None]).all(-1).double()
    mean, K = torch.zeros(len(rows)).double(), torch.zeros(len(rows), len(rows)).double()
    for level in range(m):
        gp = model.levels[level].model
        scale, centre = gp.scale[level], gp.centre[level]
        weight = W[s, level]
        own = (NOISE_FLOOR + gp.log_noise.exp()[level]) * same
        passes = (s > level) | (torch.arange(len(rows)) < n)
        own = own * (passes[:, None] & passes[None]) * (s[:, None] >= level) * (s[None] >= level)
        K = K + torch.outer(weight, weight) * scale**2 * (gp.kernel.forward(x, x) + own)
        mean = mean + weight * centre
    gain = torch.linalg.solve(K[:n, :n], K[:n, n:]).mT
    return mean[n:] + gain @ (data.Y[:, 0] - mean[:n]), K[n:, n:] - gain @ K[:n, n:]


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_equals_the_joint_gaussian_process_by_hand(levels: int) -> None:
    data = nested(levels)
    model = chain(data)
    new = torch.linspace(-0.1, 1.1, 5).double()[:, None]
    measured = data.X[:3, :1]
    X = torch.cat(
        [
            torch.cat([x, torch.full((len(x), 1), float(i)).double()], 1)
            for i in range(levels)
            for x in ((new, measured) if i == levels - 1 else (new,))
        ]
    )
    mean, covariance = by_hand(model, data, X)
    said = model.posterior(X)
    torch.testing.assert_close(said.mean[:, 0], mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(said.distribution.covariance_matrix, covariance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fidelity", [0, 1, 2])
def test_a_measurement_in_any_source_updates_all_as_the_joint_process_would(fidelity: int) -> None:
    data = nested(3)
    model = chain(data)
    new = torch.tensor([[0.33, float(fidelity)]]).double()
    value = torch.tensor([[0.8]]).double()
    grown = replace(data, X=torch.cat([data.X, new]), Y=torch.cat([data.Y, value]))
    X = at_fidelity(torch.tensor([[0.33, 0.0], [0.4, 0.0], [0.9, 0.0]]).double(), 2)
    mean, covariance = by_hand(model, grown, X)
    said = model.condition_on_observations(new, value).posterior(X)
    torch.testing.assert_close(said.mean[:, 0], mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(said.distribution.covariance_matrix, covariance, rtol=1e-3, atol=1e-4)


def forrester(x: np.ndarray) -> np.ndarray:
    return (6 * x - 2) ** 2 * np.sin(12 * x - 4)


def forrester_cheap(x: np.ndarray) -> np.ndarray:
    return 0.5 * forrester(x) + 10 * (x - 0.5) - 5


def test_agrees_with_smts_co_kriging_on_forrester() -> None:
    low, high, new = np.linspace(0, 1, 15), np.array([0.0, 0.3, 0.5, 0.75, 1.0]), np.linspace(0.02, 0.98, 40)
    table, schema = table_of({"low": (low, forrester_cheap(low)), "high": (high, forrester(high))})
    oracle = MFK(theta0=[1.0], print_global=False)
    oracle.set_training_values(low[:, None], forrester_cheap(low)[:, None], name=0)
    oracle.set_training_values(high[:, None], forrester(high)[:, None])
    oracle.train()
    # Both are told that the functions are computed without noise.
    table, schema = table.assign(noise=0.0), replace(schema, noise="noise")
    ours = mf.fit(table, schema, mf.Difference([mf.GP(kernel="rbf")])).predict(pd.DataFrame({"x": new}), noise=False)
    truth = forrester(new)
    error, theirs = (
        np.sqrt(np.mean((y - truth) ** 2)) for y in (ours["mean"], oracle.predict_values(new[:, None])[:, 0])
    )
    alone = mf.fit(table, schema, mf.TargetOnly(mf.GP(kernel="rbf"))).predict(pd.DataFrame({"x": new}))["mean"]
    assert error < max(1.5 * theirs, 0.05 * truth.std())
    assert error < 0.2 * np.sqrt(np.mean((alone - truth) ** 2))


@pytest.mark.parametrize("slope", [2.0, 0.7, -1.5])
@pytest.mark.parametrize("seed", range(4))
def test_recovers_a_planted_slope(slope: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = rng.uniform(0, 1, 80), rng.uniform(0, 1, 30)
    own = {x: 0.3 * np.sin(9 * x) for x in high}
    table, schema = table_of(
        {
            "low": (low, np.sin(7 * low)),
            "high": (high, slope * np.sin(7 * high) + np.array([own[x] for x in high]) + 0.02 * rng.normal(size=30)),
        }
    )
    link = mf.Difference([mf.GP()]).fit(schema.data(table)).levels[1].link
    assert abs(link.slope - slope) < 4 * max(link.variance**0.5, 0.02)
    assert link.slope == pytest.approx(slope, abs=0.35)


def measured_twice(noise: float, own: float, seed: int) -> Link:
    """Both sources share what x does not tell (`own`); the cheap one also has measurement noise."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, 150)
    material = own * rng.normal(size=150)
    cheap = np.sin(7 * x) + material + noise * rng.normal(size=150)
    trusted = np.sin(7 * x[:60]) + material[:60] + 0.02 * rng.normal(size=60)
    table, schema = table_of({"low": (x, cheap), "high": (x[:60], trusted)})
    return mf.Difference([mf.GP()]).fit(schema.data(table)).levels[1].link


@pytest.mark.parametrize("seed", range(3))
def test_trusts_a_measured_cheap_value_as_far_as_it_deserves(seed: int) -> None:
    assert measured_twice(noise=0.0, own=0.3, seed=seed).trust > 0.85
    assert measured_twice(noise=0.3, own=0.0, seed=seed).trust < 0.25
    assert 0.25 < measured_twice(noise=0.3, own=0.3, seed=seed).trust < 0.75


def test_the_measured_cheap_value_of_a_material_is_used() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 120)
    cheap = np.sin(7 * x) + 0.5 * rng.normal(size=120)  # what x does not tell
    table, schema = table_of({"low": (x[:100], cheap[:100]), "high": (x[:40], 2 * cheap[:40] + 1)})
    surrogate = mf.fit(table, schema, mf.Difference([mf.GP()]))
    said = surrogate.predict(pd.DataFrame({"x": x}))
    truth = 2 * cheap + 1
    error = (said["median"] - truth).abs()
    assert error[40:100].mean() < 0.2 * error[100:].mean()
    assert said["std"][40:100].mean() < 0.3 * said["std"][100:].mean()


def test_rows_need_not_be_nested() -> None:
    rng = np.random.default_rng(0)
    low, high, new = rng.uniform(0, 1, 60), rng.uniform(0, 1, 10), np.linspace(0.05, 0.95, 30)
    table, schema = table_of({"low": (low, np.sin(9 * low)), "high": (high, 2 * np.sin(9 * high) + high)})
    said = mf.fit(table, schema, mf.Difference([mf.GP()])).predict(pd.DataFrame({"x": new}))
    alone = mf.fit(table, schema, mf.TargetOnly(mf.GP())).predict(pd.DataFrame({"x": new}))
    truth = 2 * np.sin(9 * new) + new
    assert (said["median"] - truth).abs().mean() < 0.3 * (alone["median"] - truth).abs().mean()
    assert said["std"].mean() < 0.5 * alone["std"].mean()


@pytest.mark.parametrize("seed", range(5))
def test_a_source_of_pure_noise_does_little_harm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, new = rng.uniform(0, 1, 40), np.linspace(0.05, 0.95, 50)
    table, schema = table_of({"low": (x, rng.normal(size=40)), "high": (x, np.sin(6 * x) + 0.05 * rng.normal(size=40))})
    rows = pd.DataFrame({"x": new})
    errors = [
        float((mf.fit(table, schema, recipe).predict(rows)["median"] - np.sin(6 * new)).abs().mean())
        for recipe in (mf.Difference([mf.GP()]), mf.TargetOnly(mf.GP()))
    ]
    assert errors[0] < errors[1] + 0.03


def test_a_left_out_source_changes_nothing() -> None:
    data = nested(3)
    without = mf.Difference([mf.GP()], leave_out=("s0",)).fit(data)
    never = mf.Difference([mf.GP()]).fit(data.take(data.fidelity != 0))
    X = data.X[data.fidelity == 2]
    torch.testing.assert_close(without.posterior(X).mean, never.posterior(X).mean)


def test_polymorphs_are_told_apart_by_the_material_column() -> None:
    table = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d"] * 2 + ["a", "b", "c"],
            "x": [0.0, 0.0, 1.0, 1.0] * 2 + [0.0, 0.0, 1.0],
            "s": ["low"] * 8 + ["high"] * 3,
            "y": [1.0, 3.0, 2.0, 4.0] * 2 + [2.0, 6.0, 4.0],
        }
    )
    schema = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"low": 1, "high": 9}, material="id")
    surrogate = mf.fit(table, schema, mf.Difference([mf.GP()]))
    said = surrogate.predict(pd.DataFrame({"id": ["c", "d"], "x": [1.0, 1.0]}))
    assert said["median"].iloc[1] > said["median"].iloc[0] + 1


def test_members_must_be_one_or_as_many_as_sources() -> None:
    with pytest.raises(SchemaError, match="got 2 members for 3 sources; expected 1 member, for every source, or 3"):
        mf.Difference([mf.GP(), mf.GP()]).fit(nested(3))


def test_an_unknown_source_cannot_be_left_out() -> None:
    with pytest.raises(UnknownNameError, match="leave_out='nope'"):
        mf.Difference([mf.GP()], leave_out=("nope",)).fit(nested(2))


def test_cross_fitting_equals_fitting_each_part() -> None:
    data = nested(3)
    folds = data.split(3, 0)
    X = data.X[data.fidelity == 2]
    for fold, model in zip(folds, mf.Difference([mf.GP()]).cross_fit(data, folds), strict=True):
        alone = mf.Difference([mf.GP()]).fit(data.without(fold))
        assert torch.equal(model.posterior(X).mean, alone.posterior(X).mean)


def test_beyond_the_limit_measured_values_are_still_used() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 120)
    cheap = np.sin(7 * x) + 0.5 * rng.normal(size=120)  # what x does not tell
    table, schema = table_of({"low": (x, cheap), "high": (x[:40], 2 * cheap[:40] + 1)})
    model = mf.Difference([mf.GP()], limit=60).fit(schema.data(table))
    assert model.levels[0].model.facts["rows"] == 60
    assert len(model.levels[0].keys) == 120
    shared = set(model.levels[0].model.train_X[:, 0].tolist())
    assert set(x[:40].tolist()) <= shared
    said = mf.fit(table, schema, mf.Difference([mf.GP()], limit=60)).predict(pd.DataFrame({"x": x[40:]}))
    assert (said["median"] - (2 * cheap[40:] + 1)).abs().mean() < 0.1


def turning(n: int, seed: int) -> pd.DataFrame:
    """A cheap source with waves, and a target that follows it with a slope from -0.5 to 2.5."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, n))
    cheap = np.sin(6 * a) + np.cos(5 * b)
    return pd.DataFrame({"a": a, "b": b, "cheap": cheap, "trusted": (1 + 1.5 * a) * cheap + b})


def fidelities(trusted: int = 40) -> tuple[pd.DataFrame, mf.Schema]:
    table = turning(200, 0)
    table.loc[trusted:, "trusted"] = np.nan
    columns = mf.Columns(["a", "b"])
    return mf.Schema.from_wide(table, columns, {"cheap": 1, "trusted": 10}, value="y", source="s")


def wide(recipe: mf.Learner) -> tuple[mf.Surrogate, float]:
    """The surrogate, and its error where nothing is measured."""
    table, schema = fidelities()
    surrogate, new = mf.fit(table, schema, recipe), turning(300, 1)
    return surrogate, float((surrogate.predict(new[["a", "b"]])["mean"] - new["trusted"]).abs().mean())


def test_a_slope_that_differs_from_place_to_place_is_learned_where_there_is_one() -> None:
    constant, turned = (wide(mf.Difference([mf.GP()], slope_components=k)) for k in (0, 2))
    assert turned[1] < 0.2 * constant[1]
    model = turned[0].model
    level, X = model.levels[-1], along(turned[0])
    slopes = level.link.slopes(locate(level.place, X))
    torch.testing.assert_close(slopes, 1 + 1.5 * X[..., 0], atol=0.3, rtol=0)
    far = X.clone()
    far[..., 0] = 100.0
    torch.testing.assert_close(level.link.slopes(locate(level.place, far)), torch.full_like(slopes, level.link.slope))


def along(surrogate: mf.Surrogate) -> torch.Tensor:
    grid = pd.DataFrame({"a": np.linspace(-0.9, 0.9, 7), "b": np.zeros(7)})
    return surrogate.schema.encode(grid)[0]


def test_where_the_slope_is_the_same_everywhere_turns_stay_near_none() -> None:
    data = nested(2)
    plain, free = (mf.Difference([mf.GP()], slope_components=k).fit(data) for k in (0, 1))
    assert free.levels[1].link.slope == pytest.approx(plain.levels[1].link.slope, abs=0.3)
    assert abs(free.levels[1].link.turns[0]) < 0.3
    assert plain.levels[1].link.turns == ()


def test_the_link_takes_what_has_slopes_of_its_own() -> None:
    p = torch.linspace(0, 1, 9).double().requires_grad_()
    s = torch.zeros(9).double()
    H = design(p, s)
    torch.set_warn_always(True)  # else torch warns once in a process, and perhaps not here
    try:
        link = regress(H, torch.cat([H, 2 * p[:, None]], dim=1), (1.0, 1.0), p, s)
    finally:
        torch.set_warn_always(False)
    assert 1 < link.slope < 2


def test_the_regression_with_turns_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    p, s = torch.from_numpy(rng.normal(size=(2, 40)))
    basis = torch.cat([torch.ones(40, 1), torch.from_numpy(rng.normal(size=(40, 2)))], dim=1).double()
    y = 0.7 + (2.0 + basis[:, 1] - 0.5 * basis[:, 2]) * (p + 0.4 * s) + 0.1 * torch.from_numpy(rng.normal(size=40))
    H = design(p, s, 0.4, basis)
    link = regress(H, torch.cat([H, y[:, None]], dim=1) / 0.1**2, (1.0, 1.0), p, s)
    precision = torch.diag(torch.tensor([1e-12, 1, 1, 4, 4])).double()
    believed = torch.tensor([0.0, 1, 1, 0, 0]).double()
    left, right = H.T @ H / 0.01 + precision, H.T @ y / 0.01 + precision @ believed
    beta = torch.linalg.solve(left, right)
    assert link.slope == pytest.approx(float(beta[1]))
    assert link.trust == pytest.approx(float(beta[2] / beta[1]))
    assert link.turns == pytest.approx(beta[3:].tolist())
    factor, covariance = torch.tensor(link.doubt), torch.linalg.inv(left)[1:, 1:]
    torch.testing.assert_close(factor.double() @ factor.double().T, covariance, rtol=1e-5, atol=1e-9)
    assert link.turns == pytest.approx([1.0, -0.5], abs=0.2)


@pytest.mark.parametrize("seed", range(8))
def test_a_link_is_the_most_probable_one_whose_trust_is_between_0_and_1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # What features tell hardly varies, so that its coefficient is uncertain; that of what was measured is not.
    p, s = torch.from_numpy(rng.normal(size=(2, 12)) * [[0.3], [2.0]])
    y = [1.0, -0.4, 0.0, 2.0][seed % 4] * s + 0.5 * torch.from_numpy(rng.normal(size=12))
    H = design(p, s)
    link = regress(H, torch.cat([H, y[:, None]], dim=1) / 0.5**2, (1.0, 1.0), p, s)

    def against(trust: float) -> tuple[float, float]:
        """Half the squared errors at this trust with the best slope, and that slope: y by 1 and p + t (c - p)."""
        columns = torch.stack([torch.ones(12).double(), H[:, 1] + trust * s], dim=1)
        P = columns.T @ columns / 0.25 + torch.diag(torch.tensor([1e-12, 1 + trust**2])).double()
        mean = torch.linalg.solve(P, columns.T @ y / 0.25 + torch.tensor([0.0, 1 + trust]).double())
        left = (y - columns @ mean).square().sum() / 0.25 + (mean[1] - 1) ** 2 + (trust * mean[1] - 1) ** 2
        return float(left) / 2, float(mean[1])

    best, slope = min(against(trust) for trust in np.linspace(0, 1, 2001))
    assert against(link.trust)[0] == pytest.approx(best, rel=1e-5)
    assert link.slope == pytest.approx(slope, abs=1e-2)
    beyond = torch.linalg.solve(H.T @ H / 0.25 + torch.diag(torch.tensor([1e-12, 1, 1])).double(), H.T @ y / 0.25)
    assert seed % 4 or not 0 < float(beyond[2] / beyond[1]) < 1


def test_what_was_measured_is_doubted_apart_from_what_features_say() -> None:
    rng = np.random.default_rng(0)
    p, s = torch.from_numpy(rng.normal(size=(2, 30)) * [[0.1], [2.0]])
    H = design(p, s)
    y = p + 0.9 * s + 0.3 * torch.from_numpy(rng.normal(size=30))
    link = regress(H, torch.cat([H, y[:, None]], dim=1) / 0.3**2, (1.0, 1.0), p, s)
    covariance = torch.linalg.inv(H.T @ H / 0.09 + torch.diag(torch.tensor([1e-12, 1, 1])).double())[1:, 1:]
    rows = torch.tensor([[0.3, 0.0], [0.3, 4.0], [-0.2, -3.0]]).double()
    doubt = sum(error.square() for error in link.errors(rows[:, 0], rows[:, 1], None))
    about = rows - torch.stack([p.mean(), s.mean()])
    inside = 0 < link.trust < MOST_TRUST
    assert inside
    assert torch.allclose(doubt, (about @ covariance * about).sum(-1), rtol=1e-6)


def test_a_link_that_was_saved_with_one_doubt_says_what_it_said() -> None:
    facts = {"slope": 0.8, "trust": 0.6, "variance": 0.04, "centre": 1.5, "turns": [], "doubt": []}
    p, s = torch.tensor([[0.5, 2.0], [0.0, 1.0]]).double()
    link, z = Link.of(facts), torch.tensor([0.5, 2.6]).double()
    torch.testing.assert_close(link.errors(p, s, None), [0.2 * (z - 1.5)])
    torch.testing.assert_close(link.follow(z, None), 0.8 * z)
    turned = Link.of(facts | {"turns": [0.3], "doubt": [[0.2, 0.0], [0.1, 0.4]]})
    basis = torch.tensor([[1.0, 0.5], [1.0, -1.0]]).double()
    expected = [(z - 1.5) * (0.2 + 0.1 * basis[:, 1]), (z - 1.5) * 0.4 * basis[:, 1]]
    torch.testing.assert_close(turned.errors(p, s, basis), expected)
    torch.testing.assert_close(turned.follow(z, basis), 0.8 * z + 0.3 * basis[:, 1] * (z - 1.5))


def test_a_correction_that_sees_the_cheap_value_bends_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 60)
    cheap = np.sin(12 * x)
    table = pd.DataFrame({"x": x, "cheap": cheap, "trusted": np.where(np.arange(60) < 15, cheap**2, np.nan)})
    table, schema = mf.Schema.from_wide(table, mf.Columns("x"), {"cheap": 1, "trusted": 10}, value="y", source="s")
    new = np.linspace(0.05, 0.95, 50)
    errors = [
        np.abs(mf.fit(table, schema, recipe).predict(pd.DataFrame({"x": new}))["mean"] - np.sin(12 * new) ** 2).mean()
        for recipe in (mf.Difference([mf.GP()]), mf.Difference([mf.GP()], sees_below=True))
    ]
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("options", [{"slope_components": 2}, {"sees_below": True}])
def test_options_of_the_link_keep_the_joint_distribution_whole(options: dict, tmp_path: Path) -> None:
    table, schema = fidelities(40)
    surrogate = mf.fit(table, schema, mf.Difference([mf.GP()], **options))
    model, new = surrogate.model, turning(6, 2)[["a", "b"]]
    X = torch.cat([at_fidelity(surrogate.schema.encode(new)[0][:, 0], i) for i in (0, 1)])
    for observed in (False, True):
        covariance = model.joint(X, torch.full((12,), observed))[1].detach()
        assert float(torch.linalg.eigvalsh(covariance).min()) > -1e-9 * float(covariance.diagonal().max())
        single = model.posterior(X.unsqueeze(1), observation_noise=observed).variance.flatten()
        torch.testing.assert_close(covariance.diagonal(), single.detach(), rtol=1e-6, atol=1e-9)
    surrogate.save(tmp_path / "m.mfmat")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "m.mfmat").predict(new), surrogate.predict(new), check_exact=True)
    data = schema.data(table)
    fold = data.split(3, 0)[0]
    recipe = mf.Difference([mf.GP()], **options)
    each = [recipe.cross_fit(data, [fold])[0], recipe.fit(data.without(fold))]
    torch.testing.assert_close(*(one.posterior(X.unsqueeze(1)).mean for one in each))
    with pytest.raises(FitError, match="slope_components=-1"):
        mf.Difference([mf.GP()], slope_components=-1)
