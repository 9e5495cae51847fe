"""The problem that most of these tests are about: two sources of one function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import mfmat as mf


def make(
    cheap: int = 30, trusted: int = 12, *, seed: int = 0, noise: float = 0.02, costs: tuple[float, float] = (1, 10)
) -> tuple[pd.DataFrame, mf.Schema]:
    """The trusted source is a scaled and shifted version of the cheap one, with noise of known size."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, cheap + trusted)
    source = np.array(["cheap"] * cheap + ["trusted"] * trusted)
    low = np.sin(5 * x)
    y = np.where(source == "cheap", low, 1.5 * low + x) + noise * rng.normal(size=len(x))
    table = pd.DataFrame({"x": x, "source": source, "y": y})
    prices = {"cheap": costs[0], "trusted": costs[1]}
    return table, mf.Schema(mf.Columns("x"), value="y", source="source", costs=prices)


@pytest.fixture(scope="session")
def problem() -> Callable[..., tuple[pd.DataFrame, mf.Schema]]:
    """Makes (table, schema); see `make`."""
    return make
