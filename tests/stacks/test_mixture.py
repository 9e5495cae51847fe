"""Mixture: its posterior is the mixture, each member is asked of what it has not seen, nothing leaks between folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from botorch.posteriors import GPyTorchPosterior
from scipy import stats

import mfmat as mf
from mfmat.data import at_fidelity
from mfmat.errors import SchemaError
from mfmat.posteriors import GaussianPosterior, MixturePosterior, cdf, log_density, normal, quantile
from mfmat.stacks.heldout import gather
from mfmat.validation import cross_validate

SCHEMA = mf.Schema(mf.Columns(["a", "b"]), value="y", source="s", costs={"cheap": 1, "trusted": 10})
TWO = [mf.Difference([mf.GP()]), mf.TargetOnly(mf.BayesianLinear())]


def draw(trusted: int = 25, cheap: int = 40, seed: int = 0, scale: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, trusted + cheap))
    source = np.array(["cheap"] * cheap + ["trusted"] * trusted)
    y = np.where(source == "cheap", np.sin(4 * a), 2 * np.sin(4 * a) + b) + 0.1 * rng.normal(size=len(a))
    return pd.DataFrame({"a": a, "b": b, "s": source, "y": scale * y})


@pytest.fixture(scope="module")
def fitted() -> mf.Surrogate:
    return mf.fit(draw(), SCHEMA, mf.Mixture(TWO, gate=mf.ConstantGate()))


def stretched(posterior: GPyTorchPosterior, scale: float) -> GaussianPosterior:
    """A Gaussian with another standard deviation."""
    return normal(posterior.mean[..., 0], posterior.distribution.covariance_matrix * scale**2)


def rows(n: int = 6, source: str | None = None) -> torch.Tensor:
    return SCHEMA.encode(draw(n, 0, seed=1), source)[0]


def test_the_posterior_is_the_mixture_of_its_members(fitted: mf.Surrogate) -> None:
    X, model = rows(), fitted.model
    weights = model.weights(X)
    assert 0.02 < float(weights[1].max()) < 0.98
    scale = model.facts["scale"]
    assert 0.4 < scale < 2.5
    assert abs(scale - 1) > 0.02
    y = torch.linspace(-2, 2, 6).double().reshape(6, 1, 1)
    for noise in (True, False):
        members = [stretched(member.posterior(X, observation_noise=noise), scale) for member in model.members]
        said = model.posterior(X, observation_noise=noise)
        assert isinstance(said, MixturePosterior)
        below = sum(w.unsqueeze(-1) * cdf(p, y) for w, p in zip(weights, members, strict=True))
        torch.testing.assert_close(cdf(said, y), below)
        density = sum(w.unsqueeze(-1) * log_density(p, y).exp() for w, p in zip(weights, members, strict=True))
        torch.testing.assert_close(log_density(said, y).exp(), density)
        mean = sum(w.unsqueeze(-1) * p.mean for w, p in zip(weights, members, strict=True))
        torch.testing.assert_close(said.mean, mean)
        for level in (0.05, 0.5, 0.9):
            torch.testing.assert_close(cdf(said, quantile(said, level)), torch.full_like(y, level))


def test_given_noise_is_added_once(fitted: mf.Surrogate) -> None:
    X, model = rows(), fitted.model
    given = torch.full((6, 1, 1), 0.3).double()
    extra = model.posterior(X, observation_noise=given).variance - model.posterior(X).variance
    torch.testing.assert_close(extra, given)


def test_draws_are_the_mixtures(fitted: mf.Surrogate) -> None:
    said = fitted.model.posterior(rows(3), observation_noise=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = said.rsample(torch.Size([4000]))
    for i in range(3):
        pit = torch.stack([cdf(said, draw)[i] for draw in draws]).detach().flatten()
        assert stats.kstest(pit.numpy(), "uniform").statistic < 0.03


def test_rows_of_every_source_have_one_joint_distribution(fitted: mf.Surrogate) -> None:
    X = torch.cat([rows(4)[:, 0], rows(4, "cheap")[:, 0]])
    mean, covariance = fitted.model.joint(X, torch.zeros(8, dtype=torch.bool))
    values = torch.linalg.eigvalsh(covariance)
    assert float(values.min().detach()) > -1e-9 * float(values.max().detach())
    # The member that ignores cheap rows does not speak for them.
    assert float(fitted.model.weights(X[4:].unsqueeze(1))[0].min()) > 0.9
    surer = fitted.model.condition_on_observations(X[4:5], torch.tensor([[3.0]]).double()).joint(
        X[:1], torch.zeros(1, dtype=torch.bool)
    )
    assert float(surer[1].detach()) < float(covariance[0, 0].detach())
    assert float(surer[0].detach()) > float(mean[0].detach())


def test_no_model_is_asked_about_rows_that_it_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = SCHEMA.data(draw()), []
    real = mf.BayesianLinear.fit

    def watched(self, part):
        model = real(self, part)
        model.rows = set(part.rows.tolist())
        return model

    def checked(part, asked, members, **options):
        for at, models in asked:
            assert len(models) == members
            target = bool((part.fidelity[at] == part.target).all())
            for model in models:
                inside = {int(row) for row in part.rows[at]} & model.rows
                assert not inside if target else len(inside) == len(at)
                groups = part.groups[[i for i in range(len(part)) if int(part.rows[i]) in model.rows]]
                assert not target or not torch.isin(part.groups[at], groups).any()
            seen.append(target)
        return gather(part, asked, members, **options)

    monkeypatch.setattr(mf.BayesianLinear, "fit", watched)
    monkeypatch.setattr("mfmat.stacks.mixture.gather", checked)
    recipe = mf.Mixture([mf.BayesianLinear(), mf.BayesianLinear(steps=20)], gate=mf.ConstantGate())
    folds = data.split(3, 1)
    models = recipe.cross_fit(data, folds)
    assert seen.count(True) == 3 * 5
    for model, fold in zip(models, folds, strict=True):
        for member in model.members:
            assert not {int(row) for row in data.rows[fold]} & member.rows


def test_cross_fit_is_fit_without_the_fold() -> None:
    data, X = SCHEMA.data(draw()), rows()
    recipe = mf.Mixture(TWO, folds=3)
    folds = data.split(2, 0)
    for model, fold in zip(recipe.cross_fit(data, folds), folds, strict=True):
        alone = recipe.fit(data.without(fold))
        torch.testing.assert_close(model.posterior(X).mean, alone.posterior(X).mean, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(model.weights(X), alone.weights(X), rtol=1e-3, atol=1e-3)


def test_cheap_levels_are_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data, fits = SCHEMA.data(draw()), []
    real = mf.GP.fit

    def counted(self, part):
        fits.append(int(part.fidelity.max()))
        return real(self, part)

    monkeypatch.setattr(mf.GP, "fit", counted)
    mf.Mixture([mf.Difference([mf.GP()], rounds=1), mf.TargetOnly(mf.GP())], folds=3).fit(data)
    assert fits.count(0) == 1
    assert fits.count(1) == 2 * (1 + 3)


def test_the_factor_on_spreads_is_that_of_the_target_and_of_nothing_else(fitted: mf.Surrogate) -> None:
    model, scale = fitted.model, fitted.model.facts["scale"]
    for source, factor in (("trusted", scale), ("cheap", 1.0)):
        X = rows(4, source)
        own = torch.stack([member.noise(X) for member in model.members])
        torch.testing.assert_close(model.noise(X), (model.weights(X) * own).sum(0) * factor**2)
        joint = model.joint(X[:, 0], torch.ones(4, dtype=torch.bool))[1]
        single = model.posterior(X, observation_noise=True).variance.flatten()
        torch.testing.assert_close(joint.diagonal(), single)
    plain = mf.Mixture(TWO, gate=mf.ConstantGate(), rescale=False).fit(SCHEMA.data(draw()))
    assert plain.facts["scale"] == 1
    assert any("multiplied by" in line for line in model.facts["why"])
    assert not any("multiplied by" in line for line in plain.facts["why"])


def test_few_compounds_are_not_held_out_and_weights_are_equal() -> None:
    surrogate = mf.fit(draw(trusted=9), SCHEMA, mf.Mixture(TWO))
    weights = surrogate.model.weights(rows())
    torch.testing.assert_close(weights, torch.full_like(weights, 0.5))
    assert float(surrogate.model.weight_std(rows()).min()) > 0.2
    assert "too few" in surrogate.card["why"][0]


def test_one_member_is_that_member() -> None:
    data, X = SCHEMA.data(draw()), rows().requires_grad_()
    alone, one = mf.Difference([mf.GP()]).fit(data), mf.Mixture([mf.Difference([mf.GP()])]).fit(data)
    torch.testing.assert_close(one.posterior(X).variance, alone.posterior(X).variance)
    torch.testing.assert_close(
        quantile(one.posterior(X, observation_noise=True), 0.8),
        quantile(alone.posterior(X, observation_noise=True), 0.8),
    )
    slopes = [torch.autograd.grad(model.posterior(X).mean.sum(), X)[0] for model in (one, alone)]
    torch.testing.assert_close(*slopes)
    assert one.facts["why"] == []


def test_one_wild_row_does_not_decide() -> None:
    table = draw(trusted=40)
    plain = mf.Mixture(TWO, gate=mf.ConstantGate()).fit(SCHEMA.data(table))
    wild = table.copy()
    wild.loc[wild.index[-1], "y"] = 1e4
    scores = [m.facts["why"][0] for m in (plain, mf.Mixture(TWO, gate=mf.ConstantGate()).fit(SCHEMA.data(wild)))]
    assert all("mean log density" in each for each in scores)
    data = SCHEMA.data(table)
    far = data.take(data.fidelity == 1)
    far.Y[0] = 1e3
    fitted = [mf.TargetOnly(mf.BayesianLinear()).fit(data), mf.TargetOnly(mf.GP()).fit(data)]
    found = gather(far, [(torch.arange(len(far)), fitted)], 2)
    assert bool(torch.isfinite(found.scores).all())
    assert float((found.scores[0, 0] - found.scores[0, 1]).abs()) < 1e-6


def test_a_calibrated_member_takes_part_as_it_was_before() -> None:
    data, X = SCHEMA.data(draw()), rows()
    inner = [mf.Mixture([recipe], gate=mf.ConstantGate()).fit(data) for recipe in (TWO[1], mf.Conformal(TWO[1]))]
    said = [quantile(model.posterior(X, observation_noise=True), 0.9) for model in inner]
    torch.testing.assert_close(*said)


def test_it_nests_in_itself_and_in_a_calibrator(tmp_path: Path) -> None:
    inner = mf.Mixture([mf.GP(), mf.BayesianLinear()], folds=2)
    recipe = mf.Conformal(mf.Mixture([inner, mf.Difference([inner]), mf.TargetOnly(mf.GP())], folds=2), folds=3)
    surrogate = mf.fit(draw(), SCHEMA, recipe)
    surrogate.save(tmp_path / "m.mfmat")
    new = draw(5, 0, seed=2)
    pd.testing.assert_frame_equal(mf.load(tmp_path / "m.mfmat").predict(new), surrogate.predict(new), check_exact=True)


def test_members_of_labels_are_mixed_by_the_probability_of_the_true_class() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-2, 2, (2, 120))
    table = pd.DataFrame({"a": a, "b": b, "y": np.where(np.sin(3 * a) + 0.1 * b > 0, "metal", "not")})
    schema = mf.Schema(mf.Columns(["a", "b"]), value="y", kinds={"y": "label"})
    surrogate = mf.fit(table, schema, mf.Mixture([mf.GP(), mf.BayesianLinear()], gate=mf.ConstantGate()))
    X = surrogate.schema.encode(table)[0]
    weights = surrogate.model.weights(X)
    assert float(weights[0].min()) > 0.9
    said = surrogate.model.probabilities(X)
    expected = sum(w.unsqueeze(-1) * m.probabilities(X) for w, m in zip(weights, surrogate.model.members, strict=True))
    torch.testing.assert_close(said, expected)
    assert (surrogate.predict(table)["label"] == table["y"]).mean() > 0.9


def test_members_that_see_other_fidelities_do_not_disturb_cross_validation() -> None:
    report = cross_validate(draw(), SCHEMA, mf.Mixture(TWO), folds=3)
    assert len(report) == 25


def test_weights_follow_the_rows_of_their_source(fitted: mf.Surrogate) -> None:
    X = rows(3)
    both = torch.cat([X, at_fidelity(X, 0)])
    weights = fitted.model.weights(both)
    torch.testing.assert_close(weights[:, :3], fitted.model.weights(X))
    torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))


def test_impossible_mixtures_are_refused() -> None:
    with pytest.raises(SchemaError, match="0 members"):
        mf.Mixture([])
    with pytest.raises(SchemaError, match="folds=1"):
        mf.Mixture(TWO, folds=1)
