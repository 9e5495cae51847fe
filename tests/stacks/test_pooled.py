"""Pooled is its member on rows that have lost their source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.data import at_fidelity
from mfmat.errors import FitError


def two_sources(n: int = 20) -> tuple[pd.DataFrame, mf.Schema]:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 2 * n)
    source = np.array(["cheap", "trusted"] * n)
    y = np.sin(5 * x) + 0.5 * (source == "trusted") + 0.05 * rng.normal(size=2 * n)
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})
    return pd.DataFrame({"x": x, "source": source, "y": y}), schema


@pytest.mark.parametrize("member", [mf.GP(), mf.Forest(trees=20)])
def test_equals_the_member_on_one_source(member: mf.Learner) -> None:
    table, schema = two_sources()
    pooled = mf.fit(table, schema, mf.Pooled(member))
    alone = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), member)
    pd.testing.assert_frame_equal(pooled.predict(table, level=0.5), alone.predict(table, level=0.5))


def test_says_the_same_of_every_source_which_is_between_them() -> None:
    table, schema = two_sources()
    pooled = mf.fit(table, schema, mf.Pooled(mf.GP()))
    cheap, trusted = pooled.predict(table, source="cheap"), pooled.predict(table, source="trusted")
    pd.testing.assert_frame_equal(cheap, trusted)
    error = trusted["median"] - (np.sin(5 * table["x"]) + 0.25)
    assert error.abs().mean() < 0.15
    assert (trusted["upper"] - trusted["lower"]).mean() > 0.6  # a shift between sources is noise to it


def test_a_measurement_of_one_source_is_one_of_all() -> None:
    table, schema = two_sources()
    model = mf.Pooled(mf.GP()).fit(schema.data(table))
    X = torch.tensor([[0.5, 0.0]]).double()
    after = model.condition_on_observations(X, torch.ones(1, 1).double())
    torch.testing.assert_close(after.posterior(X).mean, after.posterior(at_fidelity(X, 1)).mean)
    assert float(after.posterior(X).variance.detach()) < float(model.posterior(X).variance.detach())


def test_labels_of_all_sources_are_learned_together_and_not_with_values() -> None:
    table, schema = two_sources()
    table["y"] = np.where(table["x"] > 0.5, "yes", "no")
    both = replace(schema, kinds={"cheap": "label", "trusted": "label"})
    surrogate = mf.fit(table, both, mf.Pooled(mf.GP()))
    assert (surrogate.predict(table)["label"] == table["y"]).mean() > 0.9
    mixed = replace(schema, kinds={"trusted": "label"})
    table["y"] = table["y"].astype(object).where(table["source"] != "cheap", 1.0)
    with pytest.raises(FitError, match="labels and values as one function"):
        mf.fit(table, mixed, mf.Pooled(mf.GP()))
