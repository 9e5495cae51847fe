"""Scaling: one factor, or the whole shape, learned from what was held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import mfmat as mf
from mfmat import metrics
from mfmat.data import Data, at_fidelity
from mfmat.errors import CalibrationError, FitError, SchemaError
from mfmat.learner import Facts, FittedModel, Learner
from mfmat.posteriors import MixturePosterior, RecalibratedPosterior, cdf, log_density, log_mass, normal, quantile
from mfmat.rescaling import learn_scale

SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"cheap": 1, "trusted": 10})


@dataclass(frozen=True)
class Sure(Learner, kind="test-sure"):
    """Knows the line, and is sure of a standard deviation of `std`."""

    std: float

    def fit(self, data: Data) -> FittedModel:
        return SureModel(self.std, len(data.sources))

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        return SureModel(facts["std"], len(facts["sources"]))


class SureModel(FittedModel):
    def __init__(self, std: float, sources: int) -> None:
        super().__init__()
        self.facts = {"std": std, "width": 1, "sources": ["y"] * sources}

    def joint(self, X: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        share = 0.25 + 0.75 * observed.to(X)
        return X[..., 0], torch.diag_embed(torch.full_like(X[..., 0], self.facts["std"] ** 2) * share)

    def noise(self, X: Tensor) -> Tensor:
        return torch.full_like(X[..., 0], 0.75 * self.facts["std"] ** 2)


def draw(n: int, seed: int, shape: str = "normal") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n)
    noise = {"normal": rng.normal(size=n), "skewed": rng.exponential(size=n) - 0.3}[shape]
    return pd.DataFrame({"x": x, "s": "trusted", "y": x + noise})


def said_of(model: FittedModel, rows: pd.DataFrame, noise: bool = True):
    with torch.no_grad():
        said = model.posterior(SCHEMA.encode(rows, "trusted")[0], observation_noise=noise)
    return said, torch.tensor(rows["y"].to_numpy(copy=True)).reshape(-1, 1, 1)


@pytest.mark.parametrize("std", [0.4, 1.0, 2.2])
def test_the_factor_makes_a_wrong_spread_right(std: float) -> None:
    model = mf.Scaling(Sure(std)).fit(SCHEMA.data(draw(400, 0)))
    assert std * model.facts["scale"] == pytest.approx(1.0, rel=0.1)
    said, y = said_of(model, draw(4000, 1))
    assert metrics.coverage(said, y) == pytest.approx(0.9, abs=0.03)
    torch.testing.assert_close(said.mean, said_of(Sure(std).fit(SCHEMA.data(draw(5, 0))), draw(4000, 1))[0].mean)


def test_the_factor_is_the_closed_form_up_to_its_prior() -> None:
    y = 1.7 * torch.randn(50, 1, generator=torch.Generator().manual_seed(0)).double()
    free = float(y.square().mean().sqrt())
    found = learn_scale(lambda c: Normal(0.0, c).log_prob(y))
    # The mode of log c: n (z^2 / c^2 - 1) = log c / 0.09.
    assert 50 * (free**2 / found**2 - 1) == pytest.approx(np.log(found) / 0.09, abs=1.5)
    assert 1 < found < free


def test_few_rows_leave_the_factor_near_one() -> None:
    assert abs(np.log(mf.Scaling(Sure(0.3)).fit(SCHEMA.data(draw(3, 0))).facts["scale"])) < np.log(2.5)
    wild = [mf.Scaling(Sure(1.0)).fit(SCHEMA.data(draw(2, seed))).facts["scale"] for seed in range(10)]
    assert 0.7 < np.exp(np.mean(np.log(wild))) < 1.4


def test_the_joint_gaussian_has_the_mended_spread_and_other_sources_their_own() -> None:
    table = pd.concat([draw(60, 0), draw(40, 1).assign(s="cheap")], ignore_index=True)
    model, plain = (recipe.fit(SCHEMA.data(table)) for recipe in (mf.Scaling(Sure(0.4)), Sure(0.4)))
    x = torch.tensor([[0.2, 0.0], [0.7, 0.0]]).double()
    X = torch.cat([at_fidelity(x, 0), at_fidelity(x, 1)])
    c = torch.tensor([1.0, 1.0, model.facts["scale"], model.facts["scale"]]).double()
    for observed in (False, True):
        flags = torch.full((4,), observed)
        torch.testing.assert_close(model.joint(X, flags)[1], plain.joint(X, flags)[1] * c * c[:, None])
    torch.testing.assert_close(model.noise(X), plain.noise(X) * c**2)
    given = torch.full((4, 1, 1), 0.3).double()
    extra = model.posterior(X.unsqueeze(1), observation_noise=given).variance
    torch.testing.assert_close(extra - model.posterior(X.unsqueeze(1)).variance, given)


def test_an_atom_stays_where_it_is() -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, 200)
    table = pd.DataFrame({"x": a, "s": "trusted", "y": np.where(a < 0, 0.0, 2 + a + 0.2 * rng.normal(size=200))})
    model = mf.Scaling(mf.Hurdle(mf.GP())).fit(SCHEMA.data(table))
    said, _ = said_of(model, pd.DataFrame({"x": [-0.8, 0.8], "y": [0.0, 0.0]}))
    assert isinstance(said, MixturePosterior)
    assert said.has_atoms
    assert float(quantile(said, 0.5)[0, 0, 0]) == 0.0


def test_the_shape_is_mended_where_a_factor_cannot() -> None:
    data, new = SCHEMA.data(draw(500, 0, "skewed")), draw(4000, 1, "skewed")
    area, scores = {}, {}
    for name, recipe in {
        "none": Sure(1.0),
        "factor": mf.Scaling(Sure(1.0)),
        "isotonic": mf.Scaling(Sure(1.0), form="isotonic"),
    }.items():
        said, y = said_of(recipe.fit(data), new)
        below = (cdf(said, y) <= torch.linspace(0, 1, 101)).double().mean((0, 1))
        area[name] = float((below - torch.linspace(0, 1, 101)).abs().mean())
        scores[name] = metrics.crps(said, y), metrics.nll(said, y)
    assert area["isotonic"] < 0.02 < 0.04 < area["factor"]
    assert scores["isotonic"][0] < scores["factor"][0]
    assert scores["isotonic"][1] < scores["none"][1]


def test_a_recalibrated_posterior_is_one_distribution() -> None:
    pits = torch.rand(300, generator=torch.Generator().manual_seed(0)).double() ** 2
    base = normal(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double())
    said = RecalibratedPosterior(base, pits)
    for level in (1e-4, 0.05, 0.3, 0.5, 0.9, 0.9999):
        value = quantile(said, level)
        assert float(cdf(said, value)) == pytest.approx(level, abs=1e-9)
    grid = torch.linspace(-6, 6, 24001).double().reshape(-1, 1, 1)
    wide = RecalibratedPosterior(normal(torch.zeros(24001, 1).double(), torch.ones(24001, 1, 1).double()), pits)
    density = log_density(wide, grid).exp().flatten()
    assert float(torch.trapezoid(density, grid.flatten())) == pytest.approx(1.0, abs=1e-3)
    middle = (grid.flatten() > -1) & (grid.flatten() < 0.5)
    mass = log_mass(said, torch.full((1, 1, 1), -1.0).double(), torch.full((1, 1, 1), 0.5).double()).exp()
    assert float(torch.trapezoid(density[middle], grid.flatten()[middle])) == pytest.approx(float(mass), abs=2e-3)
    assert bool((cdf(wide, grid).flatten().diff() >= 0).all())


def test_a_right_model_is_left_about_as_it_is() -> None:
    model = mf.Scaling(Sure(1.0), form="isotonic").fit(SCHEMA.data(draw(1000, 0)))
    said, y = said_of(model, draw(4000, 1))
    assert metrics.miscalibration_area(said, y) < 0.02
    assert metrics.coverage(said, y) == pytest.approx(0.9, abs=0.03)


def test_what_was_saved_says_the_same(tmp_path: Path) -> None:
    surrogate = mf.fit(draw(40, 0), SCHEMA, mf.Scaling(mf.GP(), form="isotonic"))
    surrogate.save(tmp_path / "m.mfmat")
    new = draw(5, 1)
    pd.testing.assert_frame_equal(mf.load(tmp_path / "m.mfmat").predict(new), surrogate.predict(new), check_exact=True)
    assert surrogate.model.evidence().shape == (40, 10)


def test_mistakes_are_named(unchecked: None) -> None:
    with pytest.raises(SchemaError, match="form='platt'"):
        mf.Scaling(mf.GP(), form="platt")
    with pytest.raises(CalibrationError, match="9 target rows of 9 compounds; expected at least 20"):
        mf.Scaling(Sure(1.0), form="isotonic").fit(SCHEMA.data(draw(9, 0)))
    with pytest.raises(CalibrationError, match="1 target rows of 1 compound;"):
        mf.Scaling(Sure(1.0)).fit(SCHEMA.data(draw(1, 0)))
    labels = replace(SCHEMA, kinds={"trusted": "label"})
    table = draw(30, 0).assign(y=["a", "b"] * 15)
    with pytest.raises(FitError, match="labels"):
        mf.Scaling(mf.GP()).fit(labels.data(table))
