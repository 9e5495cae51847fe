"""Figures draw the numbers that they are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mfmat.errors import SchemaError
from mfmat.reports import figures
from mfmat.validation import accuracy


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def offsets(ax: Any) -> np.ndarray:
    """The points of all scatters of an axes."""
    return np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections if type(c).__name__ == "PathCollection"])


def test_parity(job: Any) -> None:
    ax = figures.parity(job.validated, unit="eV")
    points = offsets(ax)
    expected = job.validated[["y", "median"]].to_numpy()
    assert sorted(map(tuple, points)) == sorted(map(tuple, expected))
    assert f"MAE {accuracy(job.validated)['mae']:.3g} eV" in ax.texts[0].get_text()
    rings = [c for c in ax.collections if type(c).__name__ == "PathCollection"][1]
    outside = ~job.validated["y"].between(job.validated["lower"], job.validated["upper"])
    assert len(rings.get_offsets()) == outside.sum()


def test_calibration(job: Any) -> None:
    ax = figures.calibration(job.validated, label="mine")
    x, y = ax.lines[1].get_data()
    pit = job.validated["pit"].to_numpy()
    assert x[0] == 0
    assert y[90] == pytest.approx(np.mean(np.abs(2 * pit - 1) <= x[90] + 1e-12))
    assert len(ax.collections) == 1


def test_intervals(job: Any) -> None:
    predicted = job.surrogate.predict(job.pool)
    ax = figures.intervals(predicted, names=job.pool["formula"].tolist())
    assert offsets(ax)[:, 1] == pytest.approx(np.sort(predicted["median"])[::-1])
    highest = job.pool["formula"].iloc[int(predicted["median"].argmax())]
    assert ax.get_xticklabels()[0].get_text() == highest


def test_sources(job: Any) -> None:
    ax = figures.sources(job.surrogate)
    assert [bar.get_width() for bar in ax.patches] == [row["crps"] for row in job.surrogate.card["compared"]]


def test_they_draw_into_given_axes(job: Any) -> None:
    _, given = plt.subplots(1, 4)
    predicted = job.surrogate.predict(job.pool)
    assert figures.parity(job.validated, given[0]) is given[0]
    assert figures.calibration(job.validated, given[1]) is given[1]
    assert figures.intervals(predicted, given[2]) is given[2]
    assert figures.sources(job.surrogate, given[3]) is given[3]


def test_they_refuse_other_tables(job: Any) -> None:
    for draw in (figures.parity, figures.calibration, figures.intervals):
        with pytest.raises(SchemaError):
            draw(job.table)
        with pytest.raises(SchemaError):
            draw(job.validated.iloc[:0])
    with pytest.raises(SchemaError, match="1 names"):
        figures.intervals(job.surrogate.predict(job.pool), names=["one"])
