"""Noise that depends on the input: errors of left-out rows in closed form, and what is learned from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, stats

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import SchemaError
from mfmat.experts.input_noise import MEAN, OFFSET, SLOPE, VARIANCE


def rising(n: int = 200, seed: int = 0) -> Data:
    """A line whose noise grows from 0.05 to 0.6 along x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n)
    table = pd.DataFrame({"x": x, "y": 2 * x + 0.05 * 12**x * rng.normal(size=n)})
    return mf.Schema(mf.Columns("x"), value="y").data(table)


def at(*x: float) -> torch.Tensor:
    return torch.tensor([[[value, 0.0]] for value in x]).double()


def test_the_constants_are_those_of_the_logarithm_of_a_squared_normal() -> None:
    def moment(function, scale: float = 1.0) -> float:
        def density(z: float) -> float:
            return 2 * function(np.log(scale * z * z + OFFSET)) * stats.norm.pdf(z)

        return integrate.quad(density, 0, 12, limit=500, points=[0.01, 0.1, 1])[0]

    mean = moment(lambda value: value)
    assert mean == pytest.approx(MEAN, abs=1e-4)
    assert moment(lambda value: (value - mean) ** 2) == pytest.approx(VARIANCE, abs=1e-3)
    slope = (moment(lambda value: value, np.exp(1e-3)) - moment(lambda value: value, np.exp(-1e-3))) / 2e-3
    assert slope == pytest.approx(SLOPE, abs=1e-3)


def test_errors_of_left_out_rows_are_those_of_leaving_them_out() -> None:
    data = rising(20)
    model = mf.GP().fit(data)
    errors, doubts = model._left_out(torch.arange(20), None)
    for i in (0, 7, 19):
        rest = torch.tensor([j for j in range(20) if j != i])
        state = {name: value[rest] if value.shape[:1] == (20,) else value for name, value in model.state_dict().items()}
        without = mf.GP().restore(model.facts | {"rows": 19}, state)
        said = without.posterior(data.X[i : i + 1], observation_noise=True)
        scale = float(model.scale)
        assert float(errors[i]) * scale == pytest.approx(float((data.Y[i] - said.mean).detach()), rel=1e-6)
        assert float(doubts[i]) * scale**2 == pytest.approx(float(said.variance.detach()), rel=1e-6)


def test_noise_follows_the_input() -> None:
    model = mf.GP(noise="input").fit(rising())
    with torch.no_grad():
        low, high = model.noise(at(0.1, 0.9))[:, 0].sqrt()
    assert float(low) == pytest.approx(0.05 * 12**0.1, rel=0.35)
    assert float(high) == pytest.approx(0.05 * 12**0.9, rel=0.35)


def test_far_away_it_is_the_sources_own() -> None:
    model = mf.GP(noise="input").fit(rising())
    with torch.no_grad():
        typical = (model.log_noise.exp() + 1e-6) * model.scale**2
        torch.testing.assert_close(model.noise(at(1e4))[0], typical)


@pytest.mark.parametrize("seed", range(5))
def test_with_few_rows_it_is_the_same_everywhere(seed: int) -> None:
    model = mf.GP(noise="input").fit(rising(6, seed))
    with torch.no_grad():
        near, far = model.noise(at(0.1, 1e4))[:, 0]
    assert float(near) == float(far)


def test_known_noise_tells_nothing_and_stays_what_it_is() -> None:
    data = rising()
    known = replace(data, Yvar=torch.full_like(data.Yvar, 0.01), known=torch.ones(len(data), dtype=torch.bool))
    model = mf.GP(noise="input").fit(known)
    assert not bool(model.field.pulls.any())
    torch.testing.assert_close(model.noise(at(0.1, 0.9)), torch.full((2, 1), 0.01).double(), rtol=1e-3, atol=0)


def test_flagged_rows_stand_for_their_measurements() -> None:
    model = mf.GP(noise="input").fit(rising())
    X = at(0.1, 0.9)[:, 0]
    with torch.no_grad():
        plain = model.joint(X, torch.tensor([False, False]))[1]
        measured = model.joint(X, torch.tensor([True, False]))[1]
    torch.testing.assert_close(
        (measured - plain).diagonal(), model.noise(X).detach() * torch.tensor([1.0, 0.0]).double()
    )


def test_another_kind_of_noise_is_refused(unchecked: None) -> None:
    with pytest.raises(
        SchemaError, match=r"noise='inputs'; expected one of 'source', 'input'; try: did you mean 'input'"
    ):
        mf.GP(noise="inputs")
