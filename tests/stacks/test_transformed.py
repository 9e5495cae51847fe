"""Transformed: what is learned of a function of the values holds for the values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom, lognorm

import mfmat as mf
from mfmat.errors import FitError, SchemaError
from mfmat.learner import Learner
from mfmat.metrics import coverage, crps, nll, row_crps
from mfmat.posteriors import (
    MixturePosterior,
    TransformedPosterior,
    cdf,
    components,
    interval,
    log_density,
    log_mass,
    normal,
    quantile,
)
from mfmat.stacks.transformed import apply, suggest
from mfmat.transforms import Arcsinh, Logarithm, Partial, Transform, find_bend

TRANSFORMS = [Logarithm(), Arcsinh(centre=0.4, scale=0.7)]
NO = torch.zeros(3, dtype=torch.bool)


def grown(n: int = 60, seed: int = 0, noise: float = 0.3) -> pd.DataFrame:
    """Values over decades, with errors in proportion."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n)
    return pd.DataFrame({"x": x, "y": np.exp(5 * x + np.sin(9 * x) + noise * rng.normal(size=n))})


SCHEMA = mf.Schema(mf.Columns("x"), value="y")
PAIRS = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "dear": 10})


def paired(n: int = 60) -> pd.DataFrame:
    """A cheap source and a dear one, both over decades."""
    cheap = grown(2 * n, noise=0.05).assign(source="cheap")
    dear = grown(n, 1, 0.05).assign(source="dear")
    return pd.concat([cheap, dear.assign(y=3 * dear["y"])], ignore_index=True)


def one(mean: float = 0.3, std: float = 0.8, transform: Transform = TRANSFORMS[0]) -> TransformedPosterior:
    """One row of which the transform is Gaussian."""
    said = normal(torch.full((1, 1), mean, dtype=torch.double), torch.full((1, 1, 1), std**2, dtype=torch.double))
    return TransformedPosterior(said, transform)


def at(y: float) -> torch.Tensor:
    return torch.full((1, 1, 1), y, dtype=torch.double)


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.01, 2), st.floats(0.01, 0.99))
def test_a_lognormal_is_that_of_scipy(mean: float, std: float, level: float) -> None:
    said, known = one(mean, std), lognorm(std, scale=np.exp(mean))
    assert float(said.mean) == pytest.approx(known.mean(), rel=1e-9)
    assert float(said.variance) == pytest.approx(known.var(), rel=1e-7)
    y = float(quantile(said, level))
    assert y == pytest.approx(known.ppf(level), rel=1e-7)
    assert float(cdf(said, at(y))) == pytest.approx(level, rel=1e-6)
    assert float(log_density(said, at(y))) == pytest.approx(known.logpdf(y), rel=1e-7, abs=1e-9)
    assert float(log_mass(said, at(y), at(2 * y)).exp()) == pytest.approx(known.cdf(2 * y) - level, rel=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_joint_moments_are_those_of_draws(transform: Transform) -> None:
    mean = torch.tensor([0.2, -0.5, 1.0]).double()
    root = torch.tensor([[0.5, 0.0, 0.0], [0.3, 0.4, 0.0], [-0.2, 0.1, 0.6]]).double()
    said, C = transform.moments(mean, root @ root.mT)
    z = mean + torch.randn(400_000, 3, generator=torch.Generator().manual_seed(0)).double() @ root.mT
    y = transform.inverse(z)
    torch.testing.assert_close(said, y.mean(0), rtol=0.01, atol=0.01)
    torch.testing.assert_close(C, y.T.cov(), rtol=0.03, atol=0.01)
    rows = Partial(transform, torch.tensor([True, False, True]))
    some = torch.stack([y[:, 0], z[:, 1], y[:, 2]])
    torch.testing.assert_close(rows.moments(mean, root @ root.mT)[1], some.cov(), rtol=0.03, atol=0.01)
    torch.testing.assert_close(rows.inverse(rows.forward(y[..., None])), y[..., None], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_moments_of_what_nothing_is_known_of_are_finite(transform: Transform) -> None:
    for mean in (-900.0, 0.0, 900.0):
        C = torch.tensor([[2000.0, 1900.0], [1900.0, 2000.0]]).double()
        for found in transform.moments(torch.full((2,), mean).double(), C):
            assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_density_integrates_to_one_and_to_the_mean(transform: Transform) -> None:
    said = one(transform=transform)
    low, high = (float(quantile(said, level)) for level in (1e-9, 1 - 1e-9))

    def density(y: float) -> float:
        return float(log_density(said, at(y)).exp())

    assert quad(density, low, high, limit=200)[0] == pytest.approx(1, abs=1e-6)
    assert quad(lambda y: y * density(y), low, high, limit=200)[0] == pytest.approx(float(said.mean), rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(TRANSFORMS), st.floats(-2, 2), st.floats(0.05, 1.2), st.floats(-3, 3))
def test_the_crps_is_the_integral(transform: Transform, mean: float, std: float, place: float) -> None:
    said = one(mean, std, transform)
    y = float(transform.inverse(said.inner.mean + place * said.inner.variance.sqrt()))
    low, high = (float(quantile(said, level)) for level in (1e-10, 1 - 1e-10))

    def step(t: float) -> float:
        return (float(cdf(said, at(t))) - (t >= y)) ** 2

    exact = sum(quad(step, a, b, limit=200)[0] for a, b in ((low, y), (y, high)))
    assert crps(said, at(y)) == pytest.approx(exact, rel=1e-4)


def test_scores_are_finite_of_wide_tails_and_of_values_that_cannot_be() -> None:
    said = one(0.0, 8.0)
    y = torch.tensor([1e-300, 1.0, 1e12], dtype=torch.double).reshape(3, 1, 1)
    wide = TransformedPosterior(normal(torch.zeros(3, 1).double(), torch.full((3, 1, 1), 64.0).double()), Logarithm())
    assert bool(torch.isfinite(row_crps(wide, y)).all())
    assert np.isfinite(nll(wide, y))
    assert float(cdf(said, at(-1.0))) == 0
    assert float(log_density(said, at(-1.0))) == -np.inf
    assert float(log_mass(said, at(-2.0), at(-1.0))) == -np.inf
    assert crps(said, at(-1.0)) > crps(said, at(1.0))


def test_as_a_mixture_of_gaussians_it_is_close() -> None:
    said = one(0.0, 0.5)
    pieces = MixturePosterior(*components(said))
    assert len(said.means) == 15
    for y in (0.4, 0.8, 1.0, 1.5, 2.5):
        assert float(log_density(pieces, at(y))) == pytest.approx(float(log_density(said, at(y))), abs=0.1)
        assert float(cdf(pieces, at(y))) == pytest.approx(float(cdf(said, at(y))), abs=0.01)
    assert float(pieces.mean) == pytest.approx(float(said.mean), rel=1e-3)
    assert float(pieces.variance) == pytest.approx(float(said.variance), rel=3e-3)


def test_an_atom_stays_one() -> None:
    parts = torch.tensor([[[0.0]], [[1.0]]]).double(), torch.tensor([[[[0.0]]], [[[0.04]]]]).double()
    said = TransformedPosterior(MixturePosterior(*parts, torch.tensor([0.3, 0.7]).double()), Logarithm())
    assert said.has_atoms
    assert float(quantile(said, 0.2)) == 1.0
    assert float(log_mass(said, at(0.99), at(1.01)).exp()) == pytest.approx(0.3, abs=1e-4)
    draws = said.rsample(torch.Size([2000]))
    assert float((draws == 1.0).double().mean()) == pytest.approx(0.3, abs=0.04)
    assert np.isfinite(crps(said, at(1.0)))


@pytest.mark.parametrize("name", ["log", "arcsinh"])
def test_what_is_said_of_a_value_is_what_is_said_of_its_transform(name: str) -> None:
    data = SCHEMA.data(grown())
    model = mf.Transformed(mf.GP(), transform=name).fit(data)
    g = Transform.of(model.facts["transform"])
    inner = mf.GP().fit(apply(g, data))
    X = data.X[:5].unsqueeze(1)
    for noise in (False, True):
        said, own = model.posterior(X, observation_noise=noise), inner.posterior(X, observation_noise=noise)
        for level in (0.05, 0.5, 0.95):
            torch.testing.assert_close(quantile(said, level), g.inverse(quantile(own, level)), rtol=1e-9, atol=0)
    free, observed = (model.joint(X[:3, 0], flags)[1].diagonal() for flags in (NO, ~NO))
    torch.testing.assert_close(model.noise(X[:3, 0]), observed - free)
    torch.testing.assert_close(model.moments(X[:3, 0])[2], observed - free)
    torch.testing.assert_close(model.posterior(X[:3], observation_noise=True).variance[:, 0, 0], observed)
    torch.testing.assert_close(model.posterior(X[:3, 0]).variance[:, 0], free)


def test_noise_may_be_given_in_the_units_of_the_values() -> None:
    data = SCHEMA.data(grown())
    model = mf.Transformed(mf.GP(), transform="log").fit(data)
    X = data.X[:4].unsqueeze(1)
    middle = quantile(model.posterior(X), 0.5)
    given = model.posterior(X, observation_noise=(0.01 * middle).square())
    own = model.inner.posterior(X, observation_noise=torch.full_like(middle, 1e-4))
    torch.testing.assert_close(quantile(given, 0.9), quantile(own, 0.9).exp())


def test_conditioning_is_that_of_logarithms() -> None:
    data = SCHEMA.data(grown())
    model = mf.Transformed(mf.GP(), transform="log").fit(data)
    X, y = torch.tensor([[0.31, 0.0], [0.77, 0.0]]).double(), torch.tensor([[40.0], [3.0]]).double()
    new = torch.linspace(0, 1, 5).double()[:, None, None] * torch.tensor([1.0, 0.0]).double()
    after = model.condition_on_observations(X, y).posterior(new)
    own = model.inner.condition_on_observations(X, y.log()).posterior(new)
    for level in (0.1, 0.5, 0.9):
        torch.testing.assert_close(quantile(after, level), quantile(own, level).exp())
    calibrated = mf.Conformal(mf.Transformed(mf.GP(), transform="log"), form="refit").fit(data)
    further = calibrated.condition_on_observations(X, y).posterior(new)
    torch.testing.assert_close(quantile(further, 0.9), quantile(after, 0.9))
    with pytest.raises(FitError, match=r"a measurement of -40; expected a value with the logarithm"):
        model.condition_on_observations(X, -y)


def test_imagined_values_are_values() -> None:
    data = SCHEMA.data(grown())
    model = mf.Transformed(mf.GP(), transform="log").fit(data)
    draws = lambda said: said.rsample(torch.Size([8]))  # noqa: E731
    imagined = model.fantasize(data.X[:2], draws)
    assert imagined.batch_shape == torch.Size([8])
    assert imagined.posterior(data.X[:3]).mean.shape == (8, 3, 1)
    assert bool((quantile(imagined.posterior(data.X[:3, None, None]), 0.001) > 0).all())


def test_identity_is_the_plain_member() -> None:
    table = paired(20)
    data = PAIRS.data(table)
    member = mf.Difference([mf.GP()])
    plain, same = member.fit(data), mf.Transformed(member, transform="identity").fit(data)
    X = data.X[::7]
    for noise in (False, True):
        for a, b in zip(
            components(plain.posterior(X, None, noise)), components(same.posterior(X, None, noise)), strict=True
        ):
            assert torch.equal(a, b)
    assert torch.equal(plain.noise(X), same.noise(X))
    assert same.facts["why"] == ["dear: the values themselves, as asked for."]
    again = mf.Transformed(member, transform="identity").restore(same.facts, same.state_dict())
    assert torch.equal(again.posterior(X).mean, plain.posterior(X).mean)


def test_auto_takes_what_held_out_values_ask_for() -> None:
    recipe = mf.Transformed(mf.GP())
    skewed = recipe.fit(SCHEMA.data(grown()))
    assert skewed.facts["transform"] == Logarithm().config()
    assert skewed.facts["why"][0].startswith("y: the logarithm, which changes the log density of 60 held-out values by")
    straight = grown().assign(y=lambda table: 5 + np.log(table["y"]))
    assert recipe.fit(SCHEMA.data(straight)).facts["transform"] is None
    # Over a decade, and yet with errors of one size: only what is held out tells.
    rng = np.random.default_rng(0)
    even = grown(noise=0).assign(y=lambda table: 30 * table["x"] + 1 + 0.2 * rng.normal(size=60))
    assert suggest(SCHEMA.data(even))[0] is not None
    kept = recipe.fit(SCHEMA.data(even))
    assert kept.facts["transform"] is None
    assert "the values themselves and not" in kept.facts["why"][0]


def test_what_is_solved_for_is_that_of_the_logarithms_by_their_slopes() -> None:
    data = SCHEMA.data(grown(20))
    model = mf.Transformed(mf.GP(), transform="log").fit(data)
    inner = mf.GP().fit(apply(Logarithm(), data))
    torch.testing.assert_close(model.solve(data.Y), inner.solve(torch.ones_like(data.Y)) / data.Y)


def test_auto_takes_zeros_and_either_sign() -> None:
    table = grown()
    both = table.assign(
        y=np.where(np.arange(60) % 2 == 0, 1, -1) * table["y"], x=np.where(np.arange(60) % 2 == 0, 1, -1) * table["x"]
    )
    model = mf.Transformed(mf.GP()).fit(SCHEMA.data(both))
    assert model.facts["transform"]["kind"] == "arcsinh-transform"
    transform, why = suggest(SCHEMA.data(table.assign(y=table["y"].where(table["x"] > 0.1, 0.0))))
    assert isinstance(transform, Arcsinh)
    assert "values are not above 0 and have no logarithm" in why


def test_auto_with_few_compounds_or_without_spread_takes_values_as_they_are() -> None:
    few = mf.Transformed(mf.GP()).fit(SCHEMA.data(grown(9)))
    assert few.facts["why"] == ["y: the values themselves; 9 compounds are too few to hold some out."]
    same = mf.Transformed(mf.GP()).fit(SCHEMA.data(grown().assign(y=2.0)))
    assert same.facts["transform"] is None
    flat = mf.Transformed(mf.GP(), transform="arcsinh").fit(SCHEMA.data(grown().assign(y=2.0)))
    assert "no spread" in flat.facts["why"][0]


def test_with_folds_each_choice_is_that_of_the_others() -> None:
    data = SCHEMA.data(grown())
    folds = data.split(4, 0)
    recipe = mf.Transformed(mf.GP())
    whole, *others = recipe.fit_with_folds(data, folds)
    crossed = recipe.cross_fit(data, folds)
    assert "60 held-out values" in whole.facts["why"][0]
    for fold, one_, other in zip(folds, others, crossed, strict=True):
        X = data.X[fold].unsqueeze(1)
        assert f" {60 - len(fold)} held-out values" in one_.facts["why"][0]
        # Hyperparameters are sought from where those of the whole were found, and end a little elsewhere.
        torch.testing.assert_close(one_.posterior(X).mean, other.posterior(X).mean, rtol=1e-3, atol=0)
        alone = mf.Transformed(mf.GP(), transform="log").fit(data.without(fold))
        torch.testing.assert_close(other.posterior(X).mean, alone.posterior(X).mean)
    single = recipe.cross_fit(data, folds[:1])[0]
    assert f" {60 - len(folds[0])} held-out values" in single.facts["why"][0]


def test_what_is_known_of_values_is_known_of_transforms() -> None:
    data = SCHEMA.data(grown(8))
    noisy = replace(
        data,
        Yvar=0.04 * data.Y.square(),
        trend=data.Y.clone(),
        floor=2.0,
        anchor=(10.0, 5.0),
        censored=torch.tensor([1, 0, 0, 0, 0, 0, 0, -1]),
    )
    logs = apply(Logarithm(), noisy)
    torch.testing.assert_close(logs.Y, data.Y.log())
    torch.testing.assert_close(logs.Yvar.sqrt(), torch.full_like(data.Y, np.arcsinh(0.2)))
    assert np.arcsinh(0.2) == pytest.approx(0.2, rel=0.01)
    torch.testing.assert_close(logs.trend, torch.ones_like(data.Y))
    assert logs.floor == pytest.approx(np.log(2))
    assert logs.anchor == pytest.approx((np.log(10), 0.5))
    assert torch.equal(logs.bounded, noisy.bounded)
    without = apply(Logarithm(), replace(noisy, floor=0.0, anchor=(-1.0, 1.0)))
    assert without.floor is None
    assert without.anchor is None
    assert apply(None, data) is data


def test_limits_are_limits_of_the_transform() -> None:
    table = grown(40).assign(limit="")
    table.loc[:9, "limit"] = ">"
    schema = mf.Schema(mf.Columns("x"), value="y", censored="limit")
    data = schema.data(table)
    assert int(data.bounded.sum()) == 10
    model = mf.Transformed(mf.GP(), transform="log").fit(data)
    inner = mf.GP().fit(apply(Logarithm(), data))
    X = data.X[:3].unsqueeze(1)
    torch.testing.assert_close(quantile(model.posterior(X), 0.5), quantile(inner.posterior(X), 0.5).exp())
    torch.testing.assert_close(model.told(), inner.told().exp())
    assert mf.Transformed(mf.GP()).fit(data).facts["transform"] == Logarithm().config()


def test_labels_stay_as_they_are() -> None:
    table = paired(30)
    cheap = table["source"] == "cheap"
    labels = np.where(table["y"] > table["y"].median(), "high", "low")
    table = table.assign(y=table["y"].astype(object).where(~cheap, labels))
    schema = mf.Schema(
        mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "dear": 10}, kinds={"cheap": "label"}
    )
    data = schema.data(table)
    model = mf.Transformed(mf.Latent([mf.GP()]), transform="log").fit(data)
    inner = mf.Latent([mf.GP()]).fit(apply(Logarithm(), data))
    X = torch.cat([data.X[:2], data.X[-2:]])
    mean, C = model.joint(X, torch.zeros(4, dtype=torch.bool))
    own, D = inner.joint(X, torch.zeros(4, dtype=torch.bool))
    torch.testing.assert_close(mean[:2], own[:2])
    torch.testing.assert_close(C[:2, :2], D[:2, :2])
    torch.testing.assert_close(mean[2:], (own + D.diagonal() / 2).exp()[2:])
    assert bool((torch.linalg.eigvalsh(C) > -1e-8 * C.diagonal().max()).all())
    target = replace(data, classes={1: ("a", "b")})
    with pytest.raises(FitError, match="the target 'dear', which is a label, with transform='log'"):
        mf.Transformed(mf.GP(), transform="log").fit(target)
    assert "labels, which have no transform" in suggest(target)[1]


def test_a_value_without_a_logarithm_is_named() -> None:
    table = paired(20)
    table.loc[7, "y"], table.loc[9, "y"] = -2.5, 0.0
    with pytest.raises(
        FitError, match=r"-2.5 in row number 7, source 'cheap', and 1 more without the logarithm"
    ) as raised:
        mf.Transformed(mf.GP(), transform="log").fit(PAIRS.data(table))
    assert 'transform="arcsinh"' in raised.value.fix
    assert mf.Transformed(mf.Difference([mf.GP()])).fit(PAIRS.data(table)).facts["transform"] != Logarithm().config()


def test_another_transform_or_one_fold_is_refused(unchecked: None) -> None:
    with pytest.raises(SchemaError, match=r"transform='sqrt'; expected one of 'auto'"):
        mf.Transformed(mf.GP(), transform="sqrt")
    with pytest.raises(SchemaError, match=r"folds=1; expected at least 2"):
        mf.Transformed(mf.GP(), folds=1)


STACKS: dict[str, Learner] = {
    "Difference": mf.Transformed(mf.Difference([mf.GP()]), transform="log"),
    "Latent": mf.Transformed(mf.Latent([mf.GP()]), transform="log"),
    "MultiTask": mf.Transformed(mf.MultiTask(), transform="log"),
    "Forest": mf.Transformed(mf.TargetOnly(mf.Forest(trees=30)), transform="log"),
    "Mixture inside": mf.Transformed(mf.Mixture([mf.Difference([mf.GP()]), mf.TargetOnly(mf.GP())]), transform="log"),
    "Mixture outside": mf.Mixture([mf.Transformed(mf.Difference([mf.GP()]), transform="log"), mf.TargetOnly(mf.GP())]),
    "Conformal outside": mf.Conformal(mf.Transformed(mf.Difference([mf.GP()])), form="refit"),
    "Conformal inside": mf.Transformed(mf.Conformal(mf.Difference([mf.GP()]), form="refit"), transform="log"),
    "Hurdle outside": mf.Hurdle(mf.Transformed(mf.Difference([mf.GP()]), transform="log")),
    "Auto": mf.Auto(member=mf.Transformed(mf.GP(), folds=2), folds=2),
}


@pytest.mark.parametrize("name", STACKS)
def test_works_with_other_parts(name: str, tmp_path) -> None:
    table = paired(24)
    surrogate = mf.fit(table, PAIRS, STACKS[name])
    said = surrogate.predict(table[48:], level=0.8)
    assert np.isfinite(said.to_numpy()).all()
    assert (np.log(said["median"] / table["y"][48:])).abs().mean() < 0.4
    surrogate.save(tmp_path / "s.mfmat")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "s.mfmat").predict(table[48:], level=0.8), said, check_exact=True)
    drawn = surrogate.sample(table[48:52], n=400)
    inside = drawn.ge(said["lower"][:4], axis=0) & drawn.le(said["upper"][:4], axis=0)
    assert inside.to_numpy().mean() > 0.5
    asked = mf.suggest(surrogate, table[["x"]].iloc[:6], n=2)
    assert np.isfinite(asked["score"]).all()


def test_calibration_inside_is_that_of_the_transforms_seen_as_values() -> None:
    data = SCHEMA.data(grown())
    model = mf.Transformed(mf.Conformal(mf.GP(), form="refit"), transform="log").fit(data)
    inner = mf.Conformal(mf.GP(), form="refit").fit(apply(Logarithm(), data))
    X = data.X[:4].unsqueeze(1)
    said, own = model.posterior(X, observation_noise=True), inner.posterior(X, observation_noise=True)
    for a, b in zip(interval(said, 0.8), interval(own, 0.8), strict=True):
        torch.testing.assert_close(a, b.exp())
    y = data.Y[:4].unsqueeze(1)
    torch.testing.assert_close(cdf(said, y), cdf(own, y.log()))
    torch.testing.assert_close(log_density(said, y), log_density(own, y.log()) - y.log())
    kept, logs = model.evidence(), inner.evidence()
    torch.testing.assert_close(kept[:, [1, 2, 5, 6]], logs[:, [1, 2, 5, 6]].exp())
    torch.testing.assert_close(kept[:, 9], logs[:, 9] + logs[:, 1])
    assert bool((kept[:, 8] > 0).all())


def test_the_likeliest_arcsinh_is_that_of_johnson_and_goes_with_the_unit() -> None:
    rng = np.random.default_rng(0)
    y = torch.from_numpy(2 + 0.5 * np.sinh(1.5 * rng.normal(size=4000)))
    found = Arcsinh.learn(y)
    assert (found.centre, found.scale) == pytest.approx((2, 0.5), abs=0.1)
    small = Arcsinh.learn(1e-9 * y)
    assert (small.centre, small.scale) == pytest.approx((1e-9 * found.centre, 1e-9 * found.scale), rel=1e-3)
    assert find_bend(found, y) == pytest.approx(find_bend(small, 1e-9 * y), abs=1e-6)
    assert find_bend(Logarithm(), -y) == 0


@pytest.mark.promise
def test_intervals_hold_on_planted_lognormal_values() -> None:
    table = grown(1200, noise=0.5)
    surrogate = mf.fit(table[:200], SCHEMA, mf.Transformed(mf.GP()))
    data = SCHEMA.data(table[200:])
    plain = mf.GP().fit(SCHEMA.data(table[:200]))
    with torch.no_grad():
        posterior, other = (each.posterior(data.X.unsqueeze(1), None, True) for each in (surrogate.model, plain))
    for level in (0.5, 0.8, 0.95):
        low, high = binom.ppf([0.001, 0.999], len(data), level) / len(data)
        assert low - 0.03 <= coverage(posterior, data.Y.unsqueeze(1), level) <= high + 0.03
    assert nll(posterior, data.Y.unsqueeze(1)) < nll(other, data.Y.unsqueeze(1)) - 0.5
