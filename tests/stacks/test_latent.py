"""Latent against closed forms, planted truths and what a chain of corrections cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

import mfmat as mf
from mfmat.data import at_fidelity
from mfmat.errors import FitError, SchemaError, UnknownNameError
from mfmat.posteriors import MixturePosterior
from mfmat.prospects import Prospects
from mfmat.stacks.latent_draws import even_draws
from mfmat.stacks.latent_model import LatentModel

Levels = dict[str, tuple[np.ndarray, np.ndarray]]


def table_of(levels: Levels) -> tuple[pd.DataFrame, mf.Schema]:
    parts = [pd.DataFrame({"x": x, "s": name, "y": y}) for name, (x, y) in levels.items()]
    schema = mf.Schema(mf.Columns("x"), value="y", source="s", costs={name: 10.0**i for i, name in enumerate(levels)})
    return pd.concat(parts, ignore_index=True), schema


def low(x: np.ndarray) -> np.ndarray:
    return np.sin(8 * np.pi * x)


def high(x: np.ndarray) -> np.ndarray:
    """The two-level function of Perdikaris et al. 2017: its correlation with the cheap one is 0."""
    return (x - np.sqrt(2)) * low(x) ** 2


def bent(seed: int = 0, cheap: int = 50, trusted: int = 14) -> tuple[pd.DataFrame, mf.Schema]:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 1, cheap), rng.uniform(0, 1, trusted)
    return table_of({"low": (a, low(a)), "high": (b, high(b))})


def stretched(measured: int = 30, n: int = 60, seed: int = 0) -> tuple[pd.DataFrame, mf.Schema, np.ndarray, np.ndarray]:
    """A cheap value holds what x does not tell, and the target is a bent function of it; of x, 100 are new."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n + 160)
    cheap = np.sin(7 * x) + 0.4 * rng.normal(size=len(x))
    y = cheap + 0.5 * np.sin(2 * cheap) + 0.05 * rng.normal(size=len(x))
    with_cheap = np.r_[np.arange(measured), np.arange(n, n + 110)]
    table, schema = table_of({"low": (x[with_cheap], cheap[with_cheap]), "high": (x[:n], y[:n])})
    return table, schema, x[n + 60 :], y[n + 60 :]


NEW = pd.DataFrame({"x": np.linspace(0.01, 0.99, 120)})


def error(table: pd.DataFrame, schema: mf.Schema, recipe: mf.Learner) -> float:
    return float((mf.fit(table, schema, recipe).predict(NEW)["median"] - high(NEW["x"].to_numpy())).abs().mean())


@pytest.mark.parametrize("seed", range(3))
def test_a_bent_relation_is_learned_where_a_slope_cannot_help(seed: int) -> None:
    table, schema = bent(seed)
    said = error(table, schema, mf.Latent([mf.GP()]))
    assert said < 0.5 * error(table, schema, mf.Difference([mf.GP()]))
    assert said < 0.5 * error(table, schema, mf.TargetOnly(mf.GP()))


@pytest.mark.parametrize("measured", [60, 30])
def test_the_measured_cheap_value_of_a_material_is_used(measured: int) -> None:
    table, schema, x, y = stretched(measured)
    surrogate = mf.fit(table, schema, mf.Latent([mf.GP()]))
    seen = surrogate.model.levels[-1].sees[0]
    assert (seen.exact, seen.flag) == (True, measured == 30)
    said = surrogate.predict(pd.DataFrame({"x": x}))
    wrong = (said["median"] - y).abs()
    assert wrong[:50].mean() < 0.3 * wrong[50:].mean()
    assert said["std"][:50].mean() < 0.4 * said["std"][50:].mean()


def test_a_source_is_followed_beyond_the_values_seen() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 61)
    cheap = np.r_[rng.normal(size=60), 8.0]
    y = 1.2 * cheap + 0.3 + 0.05 * rng.normal(size=61)
    table, schema = table_of({"low": (x, cheap), "high": (x[:60], y[:60])})
    said = mf.fit(table, schema, mf.Latent([mf.GP()])).predict(pd.DataFrame({"x": x[60:]})).iloc[0]
    assert abs(said["mean"] - y[60]) < 0.1 * abs(y[60])
    assert said["lower"] < y[60] < said["upper"]


def test_without_shared_materials_predictions_stand_for_all() -> None:
    table, schema, x, _ = stretched(0)
    model = mf.Latent([mf.GP()]).fit(schema.data(table))
    assert (model.levels[-1].sees[0].exact, model.levels[-1].sees[0].flag) == (False, False)
    X = schema.encode(pd.DataFrame({"x": x[:3]}))[0]
    cheap = model.posterior(at_fidelity(X, 0)).mean[:, 0]
    torch.testing.assert_close(model.view(X, model.levels[-1].sees), cheap, rtol=1e-4, atol=1e-5)


def test_a_linear_top_answers_in_closed_form() -> None:
    """With g linear, y is a sum of Gaussians whatever the number of draws."""
    table, schema, x, _ = stretched(60)
    model = mf.Latent([mf.GP(), mf.GP(kernel="linear")], draws=6).fit(schema.data(table))
    X = schema.encode(pd.DataFrame({"x": x[50:]}))[0]
    cheap = model.posterior(at_fidelity(X, 0), observation_noise=True)
    top = model.levels[-1].model

    def mean_at(z: torch.Tensor) -> torch.Tensor:
        return top.posterior(torch.cat([X[..., :1], z, X[..., -1:]], dim=-1)).mean

    slope = mean_at(cheap.mean + 1) - mean_at(cheap.mean)
    said = model.posterior(X)
    torch.testing.assert_close(said.mean, mean_at(cheap.mean))
    spread = (said.means - said.mean[..., 0]).square().mean(0)
    torch.testing.assert_close(spread, (slope.square() * cheap.variance)[..., 0])


def test_the_posterior_of_a_row_is_a_mixture_with_the_joint_moments() -> None:
    table, schema = bent()
    model = mf.Latent([mf.GP()], draws=10).fit(schema.data(table))
    X = schema.encode(NEW[::10])[0]
    said = model.posterior(X, observation_noise=True)
    assert isinstance(said, MixturePosterior)
    assert said.means.shape == (10, len(X), 1)
    mean, covariance = model.joint(X[:, 0], torch.ones(len(X), dtype=torch.bool))
    torch.testing.assert_close(said.mean[:, 0, 0], mean)
    torch.testing.assert_close(said.variance[:, 0, 0], covariance.diagonal())


@pytest.mark.parametrize("draws", [1, 8])
@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("measured", [0, 30, 60])
def test_the_joint_gaussian_of_all_sources_is_a_covariance(chained: bool, measured: int, draws: int) -> None:
    table, schema, x, _ = stretched(measured)
    table = pd.concat([table, table[table["s"] == "low"].iloc[::3].assign(s="mid", y=lambda rows: rows["y"] ** 2)])
    schema = replace(schema, costs={"low": 1, "mid": 2, "high": 10})
    model = mf.Latent([mf.GP()], chained=chained, draws=draws).fit(schema.data(table))
    rows = torch.tensor(np.r_[x[:3], x[60:63]])[:, None]
    X = torch.cat([torch.cat([rows, torch.full_like(rows, i)], 1) for i in (2, 0, 1, 0)])
    flags = torch.arange(len(X)) >= 12
    mean, covariance = (part.detach() for part in model.joint(X, flags))
    torch.testing.assert_close(covariance, covariance.mT)
    assert float(torch.linalg.eigvalsh(covariance).min()) > -1e-9 * float(covariance.diagonal().max())
    for i, row in enumerate(X):
        alone, variance = (part.detach() for part in model.joint(row[None, None], flags[i : i + 1]))
        torch.testing.assert_close(mean[i], alone[0, 0])
        torch.testing.assert_close(covariance[i, i], variance[0, 0, 0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("measured", [0, 30, 60])
def test_a_cheap_measurement_makes_the_target_more_certain(measured: int) -> None:
    table, schema, x, _ = stretched(measured)
    model = mf.Latent([mf.GP()]).fit(schema.data(table))
    new = torch.tensor([[x[-1], 1.0]])
    cheap = at_fidelity(new, 0)
    before = model.posterior(new)
    up = model.condition_on_observations(cheap, model.posterior(cheap).mean + 0.5).posterior(new)
    assert float(up.variance.detach()) < (0.999 if measured == 0 else 0.5) * float(before.variance.detach())
    assert float(up.mean.detach()) > float(before.mean.detach())
    # What is already measured can be measured again, and tells nothing of the value that is known.
    known = torch.tensor([[x[0], 1.0]])
    again = model.condition_on_observations(at_fidelity(known, 0), torch.zeros(1, 1).double()).posterior(known)
    if measured:
        torch.testing.assert_close(again.variance, model.posterior(known).variance)


def test_a_cheap_measurement_tells_what_fitting_with_it_would() -> None:
    table, schema, x, _ = stretched(60)
    recipe = mf.Latent([mf.GP()])
    model = recipe.fit(schema.data(table))
    # Two standard deviations from what was expected: farther off, the slope is not what it was.
    new, value = x[-2], 0.9
    more = pd.concat([table, pd.DataFrame({"x": [new], "s": ["low"], "y": [value]})], ignore_index=True)
    X = torch.tensor([[new, 1.0]])
    fitted = recipe.fit(schema.data(more)).posterior(X)
    told = model.condition_on_observations(at_fidelity(X, 0), torch.tensor([[value]]).double()).posterior(X)
    assert float(told.mean.detach()) == pytest.approx(float(fitted.mean.detach()), abs=0.2)
    assert abs(float((told.mean - fitted.mean).detach())) < 0.3 * abs(
        float((model.posterior(X).mean - fitted.mean).detach())
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_source_of_pure_noise_does_little_harm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, new = rng.uniform(0, 1, 40), np.linspace(0.05, 0.95, 50)
    table, schema = table_of({"low": (x, rng.normal(size=40)), "high": (x, np.sin(6 * x) + 0.05 * rng.normal(size=40))})
    rows = pd.DataFrame({"x": new})
    errors = [
        float((mf.fit(table, schema, recipe).predict(rows)["median"] - np.sin(6 * new)).abs().mean())
        for recipe in (mf.Latent([mf.GP()]), mf.TargetOnly(mf.GP()))
    ]
    assert errors[0] < errors[1] + 0.05


@pytest.mark.parametrize("chained", [False, True])
def test_four_levels(chained: bool) -> None:
    rng = np.random.default_rng(1)
    levels, y = {}, low
    for i, n in enumerate((60, 45, 30, 14)):
        x = rng.uniform(0, 1, n)
        levels[f"s{i}"] = (x, y(x))
        y = (lambda x, y=y, i=i: y(x) ** 2 + 0.3 * i * x) if i % 2 == 0 else (lambda x, y=y: np.cos(2 * y(x)))
    table, schema = table_of(levels)
    recipe = mf.Latent([mf.GP()], chained=chained)
    top = levels["s3"]
    new = pd.DataFrame({"x": np.linspace(0.02, 0.98, 100)})
    truth = np.cos(2 * (low(new["x"]) ** 2)) ** 2 + 0.6 * new["x"]
    assert len(top[0]) == 14
    said, alone = (mf.fit(table, schema, r).predict(new)["median"] for r in (recipe, mf.TargetOnly(mf.GP())))
    assert (said - truth).abs().mean() < 0.5 * (alone - truth).abs().mean()
    model = recipe.fit(schema.data(table))
    assert [len(level.sees) for level in model.levels] == ([0, 1, 2, 3] if chained else [0, 0, 0, 3])


@pytest.mark.parametrize(
    "top", [mf.Forest(trees=30), mf.BNN(hidden=(32,), steps=100), mf.Ensemble(members=2, hidden=(16,), steps=200)]
)
def test_any_learner_can_be_the_targets(top: mf.Learner) -> None:
    table, schema, x, y = stretched(30)
    said = mf.fit(table, schema, mf.Latent([mf.GP(), top])).predict(pd.DataFrame({"x": x}))
    wrong = (said["median"] - y).abs()
    assert np.isfinite(said.to_numpy()).all()
    assert wrong[:50].mean() < 0.7 * wrong[50:].mean()


def test_a_mixture_of_the_top_keeps_its_own_components() -> None:
    table, schema, x, _ = stretched(60)
    top = mf.Ensemble(members=3, hidden=(16,), steps=100)
    model = mf.Latent([mf.GP(), top], draws=4).fit(schema.data(table))
    X = schema.encode(pd.DataFrame({"x": x}))[0]
    said = model.posterior(X, observation_noise=True)
    parts = model.levels[-1].model.posterior(X.new_zeros(2, 1, 3), observation_noise=True).means.shape[0]
    assert said.means.shape == (4 * parts, len(x), 1)
    torch.testing.assert_close(said.weights.sum(0), torch.ones(len(x), 1).double())
    # Of a material whose cheap value is measured all draws are one.
    exact = said.means.reshape(parts, 4, -1)[..., :50]
    assert torch.equal(exact, exact[:, :1].expand_as(exact))


def test_labels_of_the_target() -> None:
    rng = np.random.default_rng(0)
    a, b, new = rng.uniform(0, 1, 60), rng.uniform(0, 1, 40), np.linspace(0.01, 0.99, 99)
    table, schema = table_of({"low": (a, low(a)), "high": (b, np.where(low(b) > 0.2, "metal", "insulator"))})
    schema = replace(schema, kinds={"high": "label"})
    rows, truth = pd.DataFrame({"x": new}), np.where(low(new) > 0.2, "metal", "insulator")
    right = [
        float((mf.fit(table, schema, recipe).predict(rows)["label"] == truth).mean())
        for recipe in (mf.Latent([mf.GP()]), mf.TargetOnly(mf.GP()))
    ]
    assert right[0] > 0.9
    assert right[0] > right[1]


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_labels_of_a_cheap_source(classes: tuple[str, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b, new = rng.uniform(0, 1, 150), rng.uniform(0, 1, 25), np.linspace(0.01, 0.99, 99)
    step = lambda x: np.floor(len(classes) * 2 * x).astype(int) % len(classes)  # noqa: E731
    table, schema = table_of({"low": (a, np.array(classes)[step(a)]), "high": (b, 3.0 * step(b) ** 2 + b)})
    schema = replace(schema, kinds={"low": "label"})
    surrogate = mf.fit(table, schema, mf.Latent([mf.GP()]))
    assert surrogate.model.view(schema.encode(table[:2])[0], surrogate.model.levels[-1].sees).shape == (
        2,
        len(classes) - 1,
    )
    rows, truth = pd.DataFrame({"x": new}), 3.0 * step(new) ** 2 + new
    said = surrogate.predict(rows)
    alone = mf.fit(table, schema, mf.TargetOnly(mf.GP())).predict(rows)
    assert (said["median"] - truth).abs().mean() < 0.7 * (alone["median"] - truth).abs().mean()
    surrogate.save(tmp_path / "s")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "s").predict(rows), said, check_exact=True)


@pytest.mark.parametrize("measured", [0, 30])
@pytest.mark.parametrize("chained", [False, True])
def test_restored_it_says_the_same(measured: int, chained: bool) -> None:
    table, schema, x, _ = stretched(measured)
    recipe = mf.Latent([mf.GP(), mf.Forest(trees=10)], chained=chained)
    model = recipe.fit(schema.data(table))
    again = recipe.restore(model.facts, model.state_dict())
    assert isinstance(again, LatentModel)
    X = schema.encode(pd.DataFrame({"x": x}))[0]
    assert torch.equal(model.posterior(X).means, again.posterior(X).means)
    assert torch.equal(
        model.joint(X[:9, 0], torch.ones(9, dtype=torch.bool))[1],
        again.joint(X[:9, 0], torch.ones(9, dtype=torch.bool))[1],
    )


def test_a_left_out_source_changes_nothing_but_can_be_asked_for() -> None:
    table, schema = bent()
    other = table[table["s"] == "low"].assign(s="other", y=lambda rows: np.cos(9 * rows["x"]))
    both, wide = pd.concat([other, table], ignore_index=True), replace(schema, costs={"other": 1, "low": 2, "high": 9})
    without = mf.fit(both, wide, mf.Latent([mf.GP()], leave_out=("other",)))
    model = without.model
    assert [seen.fidelity for seen in model.levels[-1].sees] == [1]
    said = without.predict(NEW, source="other")["median"]
    assert (said - np.cos(9 * NEW["x"])).abs().mean() < 0.05
    never = mf.fit(table, schema, mf.Latent([mf.GP()])).predict(NEW)
    np.testing.assert_allclose(without.predict(NEW)["median"], never["median"], atol=0.15)


def test_cross_fitting_equals_fitting_each_part() -> None:
    table, schema, *_ = stretched(30)
    data = schema.data(table)
    folds = data.split(3, 0)
    X = data.X[data.fidelity == 1]
    models = mf.Latent([mf.GP()]).cross_fit(data, folds)
    assert all(model.levels[0].model is models[0].levels[0].model for model in models)
    for fold, model in zip(folds, models, strict=True):
        alone = mf.Latent([mf.GP()]).fit(data.without(fold))
        assert torch.equal(model.posterior(X).mean, alone.posterior(X).mean)


def test_beyond_the_limit_measured_values_are_still_used() -> None:
    table, schema, x, y = stretched(60)
    model = mf.Latent([mf.GP()], limit=80).fit(schema.data(table))
    assert model.levels[0].model.facts["rows"] == 80
    assert len(model.levels[0].keys) == 170
    whole = mf.Latent([mf.GP()], limit=None).fit(schema.data(table))
    assert whole.levels[0].model.facts["rows"] == 170
    said = model.posterior(schema.encode(pd.DataFrame({"x": x[:50]}))[0]).mean.detach()[:, 0, 0]
    assert float((said - torch.tensor(y[:50])).abs().mean()) < 0.1


@pytest.mark.parametrize("sources", [1, 2, 5])
@pytest.mark.parametrize("draws", [2, 7, 16])
def test_draws_have_exact_moments(draws: int, sources: int) -> None:
    z = even_draws(draws, sources, 3)
    assert len(z) >= max(draws, 2 * sources + 2)
    torch.testing.assert_close(z.mean(0), torch.zeros(sources).double())
    torch.testing.assert_close(z.mT @ z / len(z), torch.eye(sources).double())
    assert float(z.abs().max()) < 6


@pytest.mark.parametrize("draws", [1, 8])
@pytest.mark.parametrize("top", [mf.GP(), mf.BayesianLinear(), mf.Forest()], ids=lambda top: type(top).__name__)
def test_a_cheap_value_that_is_still_to_be_measured_is_known_to_tell(top: mf.Learner, draws: int) -> None:
    table, schema, x, _ = stretched(60)
    surrogate = mf.fit(table, schema, mf.Latent([mf.GP(), top], draws=draws))
    pool = pd.DataFrame({"x": x[90:]})
    X = surrogate.schema.encode(pool)[0]
    prospects = Prospects(surrogate.model, X[:, 0], surrogate.card["means"])
    alone = surrogate.model.posterior(X).variance.detach().flatten()
    # Rows on their own are asked in single precision.
    torch.testing.assert_close(prospects.variance, alone, rtol=1e-3, atol=1e-5)
    assert float(prospects.tells[:, 0].median()) > 0.5
    assert mf.suggest(surrogate, pool, 3)["s"].tolist().count("low") >= 2


def test_one_draw_is_the_mean_and_leaves_the_doubt_in_the_noise() -> None:
    assert torch.equal(even_draws(1, 3, 0), torch.zeros(1, 3).double())
    table, schema = bent()
    fits = (mf.fit(table, schema, mf.Latent([mf.GP()], draws=draws, rounds=1)) for draws in (1, 8))
    mean, drawn = (fitted.predict(table)["std"] for fitted in fits)
    assert (mean <= drawn * (1 + 1e-4)).all()
    assert (mean / drawn).min() < 0.8


def test_mistakes_are_named() -> None:
    table, schema = bent()
    with pytest.raises(SchemaError, match="3 members for 2 sources"):
        mf.Latent([mf.GP()] * 3).fit(schema.data(table))
    with pytest.raises(UnknownNameError, match="leave_out='nope'"):
        mf.Latent([mf.GP()], leave_out=("nope",)).fit(schema.data(table))
    with pytest.raises(FitError, match="draws=0, limit=0"):
        mf.Latent([mf.GP()], draws=0, limit=0)


def nonlinear(n: int, seed: int) -> pd.DataFrame:
    """Two properties of one hidden pair of numbers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    w = np.array([1, -1, 0.5, 0.8, -0.3, 0.6])
    u, v = np.tanh(x @ w / 2), np.tanh(x @ w[::-1] / 2)
    return pd.DataFrame(x, columns=list("abcdef")).assign(cheap=u * v, trusted=u + 0.5 * v**2)


def related(measured: int = 40, cheap: int = 2000) -> tuple[pd.DataFrame, mf.Schema]:
    table = nonlinear(cheap, 0)
    table.loc[measured:, "trusted"] = np.nan
    return mf.Schema.from_wide(
        table, mf.Columns(list("abcdef")), {"cheap": 1, "trusted": 10}, value="y", source="source"
    )


def test_hidden_layers_tell_what_the_value_does_not() -> None:
    table, schema = related()
    network, new = mf.Ensemble(members=2, hidden=(64, 64)), nonlinear(300, 1)
    errors = []
    for hidden in (0, 6):
        fused = mf.fit(table, schema, mf.Latent([network, mf.GP()], limit=None, hidden=hidden))
        errors.append(float((fused.predict(new[list("abcdef")])["mean"] - new["trusted"]).abs().mean()))
    assert errors[1] < 0.7 * errors[0]


NETWORKS = {
    "ensemble": mf.Ensemble(members=2, hidden=(16,), epochs=2, steps=50),
    "bnn": mf.BNN(hidden=(16,), epochs=2, steps=50),
    "deep_kernel": mf.DeepKernelGP(hidden=(16, 4), epochs=2, steps=50),
}


@pytest.mark.parametrize("name", ["ensemble", "bnn", "deep_kernel"])
@pytest.mark.parametrize("chained", [False, True])
def test_hidden_views_are_principal_components(name: str, chained: bool, tmp_path: Path) -> None:
    table, schema = related(30, 120)
    recipe = mf.Latent([NETWORKS[name], mf.GP()], hidden=3, chained=chained)
    surrogate = mf.fit(table, schema, recipe)
    model, data = surrogate.model, schema.data(table)
    X = data.X[data.fidelity == 0]
    seen = model.levels[-1].sees
    assert [each.hidden for each in seen] == [True]
    units = model.levels[0].model.hidden(X[:, None])[:, 0].detach()
    columns = model.view(X.unsqueeze(1), seen)[:, -3:]
    theirs = PCA(3, whiten=True).fit_transform(units.numpy())
    torch.testing.assert_close(columns.abs(), torch.from_numpy(theirs).abs(), rtol=1e-4, atol=1e-4)
    new = nonlinear(5, 2)[list("abcdef")]
    surrogate.save(tmp_path / "m.mfmat")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "m.mfmat").predict(new), surrogate.predict(new), check_exact=True)


def test_hidden_layers_of_no_network_are_refused() -> None:
    table, schema = related(20, 40)
    with pytest.raises(FitError, match="no networks"):
        mf.fit(table, schema, mf.Latent([mf.GP()], hidden=2))
    with pytest.raises(FitError, match="hidden=-1"):
        mf.Latent([mf.GP()], hidden=-1)
