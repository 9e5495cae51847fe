"""Figures draw the numbers that they are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
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


def test_pit_histogram(job: Any) -> None:
    ax = figures.pit_histogram(job.validated, bins=4)
    heights = [patch.get_height() for patch in ax.patches if patch.get_width() < 0.5]
    expected = np.histogram(job.validated["pit"], bins=4, range=(0, 1))[0] / len(job.validated)
    np.testing.assert_allclose(heights[-4:], expected)
    with pytest.raises(SchemaError, match="without pit"):
        figures.pit_histogram(job.validated.drop(columns="pit"))


def test_spread_against_error(job: Any) -> None:
    ax = figures.spread_against_error(job.validated, bins=3, unit="eV")
    x, y = ax.lines[0].get_data()
    table = job.validated.iloc[np.argsort(job.validated["std"], kind="stable")]
    part = table.iloc[: int(np.ceil(len(table) / 3))]
    assert x[0] == pytest.approx(np.sqrt(np.mean(part["std"] ** 2)))
    assert y[0] == pytest.approx(np.sqrt(np.mean((part["y"] - part["mean"]) ** 2)))
    assert ax.get_xlabel() == "predicted spread (eV)"
    with pytest.raises(SchemaError, match="without std"):
        figures.spread_against_error(job.validated.drop(columns="std"))


def test_coverage_by_group(job: Any) -> None:
    by = ["left" if i % 3 else "right" for i in range(len(job.validated))]
    ax = figures.coverage_by_group(job.validated, by)
    inside = job.validated["y"].between(job.validated["lower"], job.validated["upper"])
    shares = inside.groupby(by).mean()
    assert sorted(offsets(ax)[:, 0]) == pytest.approx(sorted(shares))
    assert {text.get_text().split(" ")[0] for text in ax.get_yticklabels()} == {"left", "right"}
    with pytest.raises(SchemaError, match="3 groups"):
        figures.coverage_by_group(job.validated, ["a"] * 3)


def test_a_group_is_marked_where_its_coverage_is_off_the_level() -> None:
    y = np.r_[np.zeros(60), np.full(60, 5.0)]
    table = pd.DataFrame({"y": y, "median": 0.0, "lower": -1.0, "upper": 1.0})
    table.loc[:5, "y"] = 5.0
    ax = figures.coverage_by_group(table, ["held"] * 60 + ["missed"] * 60)
    rings = [c for c in ax.collections if type(c).__name__ == "PathCollection"][1]
    np.testing.assert_allclose(np.asarray(rings.get_offsets())[:, 0], [0.0])


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
