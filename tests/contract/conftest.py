"""The problems on which every learner is tried."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import mfmat as mf


def make(
    cheap: int = 30, trusted: int = 12, *, columns: int = 1, seed: int = 0, scale: float = 1.0, shift: float = 0.0
) -> tuple[pd.DataFrame, mf.Schema]:
    """Two sources of one function: the trusted one is a scaled and shifted version of the cheap one."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (cheap + trusted, columns))
    low = np.sin(5 * x[:, 0])
    source = np.array(["cheap"] * cheap + ["trusted"] * trusted)
    y = np.where(source == "cheap", low, 1.5 * low + x[:, 0]) + 0.02 * rng.normal(size=len(x))
    names = [f"x{i}" for i in range(columns)]
    table = pd.DataFrame(x, columns=names).assign(source=source, y=scale * y + shift)
    schema = mf.Schema(mf.Columns(names), value="y", source="source", costs={"cheap": 1, "trusted": 10})
    return table, schema


@pytest.fixture
def problem() -> Callable[..., tuple[pd.DataFrame, mf.Schema]]:
    """Makes (table, schema); see `make`."""
    return make
