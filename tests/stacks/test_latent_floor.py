"""A cheap source that is often exactly at its floor, as computed gaps of metals are 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.data import at_fidelity
from mfmat.stacks.latent_model import LatentModel

FUSION = mf.Latent([mf.GP(), mf.GP()])


def metals(cheap: int, labels: int, seed: int = 0, lift: float = 0.0) -> tuple[pd.DataFrame, mf.Schema, pd.DataFrame]:
    """Gaps that x does not tell; the trusted one is 0 with the cheap one, else steps up by 0.6. And 100 new materials.

    `lift` moves the cheap values at 0 by as much at most, so that none is there exactly.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, cheap)
    low = (2 * rng.normal(size=cheap)).clip(min=0)
    high = np.where(low > 0, 1.3 * low + 0.6, 0.0)
    low = np.where(low > 0, low, lift * rng.uniform(size=cheap))
    parts = [
        pd.DataFrame({"x": x, "method": "pbe", "gap": low}),
        pd.DataFrame({"x": x, "method": "hse", "gap": high})[:labels],
    ]
    schema = mf.Schema(mf.Columns("x"), value="gap", source="method", costs={"pbe": 1, "hse": 20})
    new = pd.DataFrame({"x": x, "method": "hse", "low": low, "gap": high})[-100:]
    return pd.concat(parts, ignore_index=True), schema, new


def errors(table: pd.DataFrame, schema: mf.Schema, new: pd.DataFrame) -> tuple[float, float]:
    """Of the new materials at the floor, and of those just above it."""
    off = (mf.fit(table, schema, FUSION).predict(new)["median"] - new["gap"]).abs()
    return float(off[new["gap"] == 0].mean()), float(off[new["low"].between(0.02, 0.8)].mean())


@pytest.mark.parametrize("seed", range(3))
def test_a_step_at_the_floor_is_learned_from_few_labels(seed: int) -> None:
    at, above = errors(*metals(200, 25, seed))
    hidden = errors(*metals(200, 25, seed, lift=0.01))
    assert at < 0.03
    assert above < 0.1
    assert max(at, above) < 0.5 * max(hidden)


def test_of_what_is_not_measured_the_column_is_the_probability_of_the_floor(tmp_path: Path) -> None:
    table, schema, _ = metals(200, 25)
    surrogate = mf.fit(table, schema, mf.Latent([mf.GP(), mf.GP()], draws=256))
    model = surrogate.model
    assert isinstance(model, LatentModel)
    seen = model.levels[-1].sees[0]
    assert seen.floor == 0.0
    rows = schema.encode(pd.DataFrame({"x": [0.1, 0.9]}))[0]
    source = model.levels[0].model.posterior(at_fidelity(rows, 0), observation_noise=True)
    column = model.view(rows, [seen])[:, 1]
    expected = torch.distributions.Normal(source.mean, source.variance.sqrt()).cdf(torch.zeros(()).to(rows)).flatten()
    torch.testing.assert_close(column, expected, atol=0.02, rtol=0)
    before = surrogate.predict(pd.DataFrame({"x": [0.1, 0.9]}))
    surrogate.save(tmp_path / "gaps")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "gaps").predict(pd.DataFrame({"x": [0.1, 0.9]})), before)


def test_without_a_floor_nothing_is_added_and_what_was_saved_before_is_read() -> None:
    table, schema, _ = metals(60, 20, lift=0.01)
    data = schema.data(table)
    model = FUSION.fit(data)
    assert model.levels[-1].sees[0].floor is None
    facts = {**model.facts, "levels": [dict(level) for level in model.facts["levels"]]}
    for level in facts["levels"]:
        level["sees"] = [{name: seen[name] for name in seen if name != "floor"} for seen in level["sees"]]
    again = FUSION.restore(facts, model.state_dict())
    X = data.X.unsqueeze(1)
    torch.testing.assert_close(again.posterior(X).mean, model.posterior(X).mean)
