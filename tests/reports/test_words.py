"""What the page concludes in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import mfmat as mf
from mfmat.metrics.calibration import band
from mfmat.reports.contributions import Contribution
from mfmat.reports.evidence import gain
from mfmat.reports.svg import Scale, spanning


def validated(held: int, n: int = 100) -> pd.DataFrame:
    """A table of cross_validate in which so many 90% intervals held."""
    inside = np.arange(n) < held
    pit = np.where(inside, 0.5, 0.999)
    return pd.DataFrame({"y": np.where(inside, 0.0, 2.0), "pit": pit}).assign(
        median=0.0, mean=0.0, lower=-1.0, upper=1.0
    )


@pytest.mark.parametrize(("held", "word"), [(90, "as often"), (70, "less often"), (100, "more often")])
def test_the_promise_is_judged(held: int, word: str, job: Any, read: Callable, tmp_path: Path) -> None:
    said = read(mf.report(job.surrogate, tmp_path / "page.html", validated=validated(held)))
    assert f"held {held} of 100 values, {word} " in said.text


def test_differences_within_chance_are_called_so(job: Any, read: Callable, tmp_path: Path) -> None:
    ours = validated(90)
    # Right where ours is wrong, and wrong in twelve other rows.
    close = ours.assign(median=np.where(np.arange(100) >= 78, 2.0, 0.0))
    far = ours.assign(median=5.0)
    said = read(mf.report(job.surrogate, tmp_path / "p.html", validated=ours, baselines={"close": close, "far": far}))
    assert "17% less than close (0.240, within chance)" in said.text
    assert "96% less than far (4.80)" in said.text


def test_the_band_is_binomial() -> None:
    low, high = band(40, np.array([0.5, 0.9]))
    assert low.tolist() == [binom.ppf(0.025, 40, p) / 40 for p in (0.5, 0.9)]
    assert high.tolist() == [binom.ppf(0.975, 40, p) / 40 for p in (0.5, 0.9)]


def test_tables_of_other_rows_are_not_paired() -> None:
    ours = validated(90)
    assert gain(ours, ours.iloc[:50]) is None
    assert gain(ours, ours.iloc[::-1]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [(0.3, "30% higher: it helps"), (0.05, "seems to help a little"), (0.01, "no difference"), (-0.3, "it hurts")],
)
def test_contributions_in_words(change: float, words: str) -> None:
    assert words in Contribution("pbe", 10, 1.0, change=change).sentences()[0]


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [1e-12, 2e-12], [-1e9, 1e9], [float("inf"), 1.0], []])
def test_any_values_have_a_scale(values: list[float]) -> None:
    low, high = spanning(values)
    ticks = Scale(low, high, 0, 100).ticks()
    assert low < high
    assert 2 <= len(ticks) <= 12
    assert all(0 <= Scale(low, high, 0, 100)(tick) <= 100 + 1e-6 for tick in ticks)
