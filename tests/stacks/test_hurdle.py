"""Hurdle: an atom where the rows have one, the member elsewhere, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat import metrics
from mfmat.errors import FitError
from mfmat.posteriors import MixturePosterior, cdf, interval, quantile
from mfmat.stacks.hurdle import Hurdle

SCHEMA = mf.Schema(mf.Columns(["a", "b"]), value="y", source="s", costs={"cheap": 1, "trusted": 10})


def draw(trusted: int = 60, cheap: int = 0, seed: int = 0) -> pd.DataFrame:
    """Metals (0 exactly) where a is large, gaps elsewhere; the cheap source is too small by 1 and cut at 0."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, trusted + cheap))
    metal = rng.uniform(size=len(a)) < 1 / (1 + np.exp(-6 * a))
    gap = np.where(metal, 0.0, 2 + b - a + 0.1 * rng.normal(size=len(a)))
    source = np.array(["cheap"] * cheap + ["trusted"] * trusted)
    return pd.DataFrame({"a": a, "b": b, "s": source, "y": np.where(source == "cheap", np.maximum(gap - 1, 0), gap)})


@pytest.fixture(scope="module")
def fitted() -> mf.Surrogate:
    return mf.fit(draw(cheap=30), SCHEMA, mf.Hurdle(mf.Difference([mf.GP()]), gate=mf.GP()))


def rows(n: int = 50, source: str | None = None) -> torch.Tensor:
    return SCHEMA.encode(draw(n, seed=1), source)[0]


def test_the_atom_is_exact_and_the_rest_the_members(fitted: mf.Surrogate) -> None:
    X, model = rows(), fitted.model
    said = model.posterior(X, observation_noise=True)
    assert isinstance(said, MixturePosterior)
    chance, member = model.chance(X), model.members[0].posterior(X, observation_noise=True)
    y = torch.full((50, 1, 1), 1.3).double()
    torch.testing.assert_close(cdf(said, y), chance.unsqueeze(-1) + (1 - chance).unsqueeze(-1) * cdf(member, y))
    torch.testing.assert_close(said.mean, (1 - chance).unsqueeze(-1) * member.mean)
    median = quantile(said, 0.5)
    assert bool((median[chance > 0.5] == 0).all())
    assert int((chance > 0.5).sum()) > 10
    assert bool((median[chance < 0.45] > 0.5).all())


def test_quantiles_are_those_of_draws(fitted: mf.Surrogate) -> None:
    said = fitted.model.posterior(rows(8), observation_noise=True)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        draws = said.rsample(torch.Size([20000]))
    atoms = (draws == 0).double().mean(0)[..., 0]
    torch.testing.assert_close(atoms, fitted.model.chance(rows(8)), atol=0.012, rtol=0)
    for level in (0.1, 0.5, 0.8, 0.95):
        found = quantile(said, level)
        # As many draws are at most the quantile as it says, but at the atom, where they are more.
        share = (draws <= found).double().mean(0)
        assert bool((share > level - 0.012).all())
        assert bool(((share < level + 0.012) | (found == 0)).all())


def test_the_gate_learns_where_the_atom_is(fitted: mf.Surrogate) -> None:
    table = draw(400, seed=3)
    chance = fitted.model.chance(SCHEMA.encode(table)[0])[:, 0].detach().numpy()
    truth = 1 / (1 + np.exp(-6 * table["a"]))
    assert np.abs(chance - truth).mean() < 0.1


def test_the_member_never_sees_the_atom(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = mf.BayesianLinear.fit

    def watched(self, data):
        seen.append((data.labels(), data))
        return real(self, data)

    monkeypatch.setattr(mf.BayesianLinear, "fit", watched)
    data = SCHEMA.data(draw(cheap=20))
    mf.Hurdle(mf.BayesianLinear(), gate=mf.BayesianLinear()).fit(data)
    values = next(d for labels, d in seen if labels is None and not d.known.all())
    labels = next(d for labels, d in seen if labels is not None)
    target = data.fidelity == 1
    assert len(values) == int((~target | (data.Y[:, 0] > 0)).sum())
    assert len(labels) == int(target.sum())
    assert torch.equal(labels.Y[:, 0] == 0, data.Y[target, 0] == 0)


def test_a_stack_of_labels_gets_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = mf.TargetOnly.fit

    def watched(self, data):
        seen.append(data)
        return real(self, data)

    monkeypatch.setattr(mf.TargetOnly, "fit", watched)
    data = SCHEMA.data(draw(cheap=20))
    model = mf.Hurdle(mf.GP(), gate=mf.TargetOnly(mf.GP())).fit(data)
    assert len(seen[0]) == len(data)
    assert set(seen[0].classes) == {1}
    cheap = data.fidelity == 0
    assert torch.equal(seen[0].Y[cheap], data.Y[cheap])
    assert bool((model.chance(data.X.unsqueeze(1))[cheap] < 1e-9).all())


def test_rows_of_other_sources_are_the_members(fitted: mf.Surrogate) -> None:
    X = rows(5, "cheap")
    own, said = fitted.model.members[0].posterior(X), fitted.model.posterior(X)
    torch.testing.assert_close(said.variance, own.variance)
    both = torch.cat([X, rows(5)])[:, 0]
    mean, covariance = fitted.model.joint(both, torch.zeros(10, dtype=torch.bool))
    torch.testing.assert_close(mean[:5], own.mean[:, 0, 0])
    assert float(torch.linalg.eigvalsh(covariance).min().detach()) > -1e-9


def test_cross_fit_is_fit_without_the_fold_and_cheap_levels_are_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data, X, fits = SCHEMA.data(draw(cheap=20)), rows(5), []
    recipe = mf.Hurdle(mf.Difference([mf.GP()], rounds=1))
    folds = data.split(3, 0)
    real = mf.GP.fit

    def counted(self, part):
        fits.append(part.labels() is None and int(part.fidelity.max()) == 0)
        return real(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(mf.GP, "fit", counted)
        models = recipe.cross_fit(data, folds)
    assert sum(fits) == 1
    for model, fold in zip(models, folds, strict=True):
        alone = recipe.fit(data.without(fold))
        torch.testing.assert_close(model.posterior(X).mean, alone.posterior(X).mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.chance(X), alone.chance(X))


def test_floors_are_found_given_and_refused() -> None:
    data = SCHEMA.data(draw())
    assert mf.Hurdle(mf.GP()).fit(data).floor == 0.0
    above = data.take(data.Y[:, 0] > 0)
    alone = mf.Hurdle(mf.GP()).fit(above)
    assert alone.floor is None
    X = rows(4)
    assert torch.equal(alone.posterior(X).mean, mf.GP().fit(above).posterior(X).mean)
    assert mf.Hurdle(mf.GP(), floor=0.0).fit(above).floor is None
    twice = above.take(torch.cat([torch.arange(len(above)), above.Y[:, 0].argmin()[None]]))
    assert Hurdle(mf.GP())._find(twice) == float(above.Y.min())
    assert Hurdle(mf.GP(), floor=0.0)._find(twice) is None
    with pytest.raises(FitError, match="below the floor 1"):
        mf.Hurdle(mf.GP(), floor=1.0).fit(data)
    stated = mf.Schema(mf.Columns(["a", "b"]), value="y", source="s", costs={"cheap": 1, "trusted": 10}, floor=0.0)
    one = draw().assign(y=lambda table: table["y"].where(table.index == table.index[-1], table["y"] + 0.5))
    assert Hurdle(mf.GP())._find(stated.data(one.assign(y=one["y"].where(one.index != 5, 0.0)))) == 0.0


def test_saved_and_loaded_it_says_the_same(fitted: mf.Surrogate, tmp_path: Path) -> None:
    fitted.save(tmp_path / "h.mfmat")
    new = draw(20, seed=4)
    again = mf.load(tmp_path / "h.mfmat").predict(new)
    pd.testing.assert_frame_equal(again, fitted.predict(new), check_exact=True)
    assert (again["median"] == 0).any()


def test_in_a_mixture_the_atom_decides() -> None:
    data = SCHEMA.data(draw(80))
    model, alone = mf.Mixture([mf.Hurdle(mf.GP()), mf.GP()], gate=mf.ConstantGate()).fit(data), mf.GP().fit(data)
    X = rows(60)
    y = torch.from_numpy(draw(60, seed=1)["y"].to_numpy().copy())[:, None, None]
    with torch.no_grad():
        assert float(model.weights(X)[0].min()) > 0.9
        said, plain = (m.posterior(X, observation_noise=True) for m in (model, alone))
        assert float((quantile(said, 0.5)[y == 0] == 0).double().mean()) > 0.7
        assert metrics.crps(said, y) < metrics.crps(plain, y)


def test_everything_at_the_floor() -> None:
    table = draw(30).assign(y=0.0)
    said = mf.fit(table, SCHEMA, mf.Hurdle(mf.GP())).predict(table)
    assert (said["median"] == 0).all()
    assert np.isfinite(said.to_numpy()).all()


def test_slopes_of_the_chance_reach_the_rows(fitted: mf.Surrogate) -> None:
    X = rows(3).requires_grad_()
    fitted.model.chance(X).sum().backward()
    step = torch.zeros_like(X)
    step[..., 0] = 1e-5
    expected = ((fitted.model.chance(X + step) - fitted.model.chance(X - step)) / 2e-5).detach()
    torch.testing.assert_close(X.grad[..., 0], expected, rtol=1e-4, atol=1e-6)
    low, high = interval(fitted.model.posterior(X, observation_noise=True), 0.9)
    assert torch.isfinite(torch.autograd.grad((low + high).sum(), X)[0]).all()
