"""The problems on which every learner is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat.small_sets import SetColumns


@dataclass(frozen=True, init=False)
class Pairs(mf.Columns, kind="contract-pairs"):
    """Numeric columns that also are a set: a quarter of x itself, three quarters of 1 - x, and room for a third."""

    @property
    def sets(self) -> dict[str, SetColumns]:
        return {"numeric": SetColumns(slice(0, 3), slice(3, 3 + 3 * len(self.names)))}

    def encode_sets(self, table: pd.DataFrame) -> np.ndarray:
        x = self.encode(table)[0]
        return np.hstack([np.tile([0.25, 0.75, 0.0], (len(x), 1)), x, 1 - x, 0 * x])


def make(
    cheap: int = 30,
    trusted: int = 12,
    *,
    columns: int = 1,
    seed: int = 0,
    scale: float = 1.0,
    shift: float = 0.0,
    inputs: type[mf.Columns] = mf.Columns,
) -> tuple[pd.DataFrame, mf.Schema]:
    """Two sources of one function: the trusted one is a scaled and shifted version of the cheap one."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (cheap + trusted, columns))
    low = np.sin(5 * x[:, 0])
    source = np.array(["cheap"] * cheap + ["trusted"] * trusted)
    y = np.where(source == "cheap", low, 1.5 * low + x[:, 0]) + 0.02 * rng.normal(size=len(x))
    names = [f"x{i}" for i in range(columns)]
    table = pd.DataFrame(x, columns=names).assign(source=source, y=scale * y + shift)
    schema = mf.Schema(inputs(names), value="y", source="source", costs={"cheap": 1, "trusted": 10})
    return table, schema


@pytest.fixture
def problem(request: pytest.FixtureRequest) -> Callable[..., tuple[pd.DataFrame, mf.Schema]]:
    """Makes (table, schema), see `make`; with sets for a learner that is tried on them, as its name says."""
    case = getattr(request.node, "callspec", None)
    of_sets = case is not None and "of members" in case.params.get("name", "")
    return partial(make, inputs=Pairs if of_sets else mf.Columns)


@pytest.fixture
def paired() -> Callable[..., tuple[pd.DataFrame, mf.Schema]]:
    """Makes (table, schema) whose columns also are a set."""
    return partial(make, inputs=Pairs)
