"""Conformal holds what it says: every score, from 9 to 500 calibration rows, whatever the values are like."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import mfmat as mf
from mfmat.calibrators.conformal_model import ConformalModel
from mfmat.calibrators.held_out import Scores, compare
from mfmat.calibrators.relevance import Relevance
from mfmat.learner import FittedModel
from mfmat.posteriors import interval

pytestmark = pytest.mark.promise

DRAWS, LEVELS = 1000, (0.5, 0.8, 0.9, 0.95)
NUMBERS = {"gaussian": (9, 50, 500), "heavy": (9, 50, 500), "uneven": (9, 500), "inflated": (19, 500)}
"""Calibration rows tried on each kind of values; predictions of a mixture take their time."""
SURE = 1e-5
"""Probability of what is taken for no accident: some hundred shares are looked at."""
SCHEMA = mf.Schema(mf.Columns("x"), value="y")


def gaussian(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sin(3 * x) + 0.3 * rng.normal(size=len(x))


def heavy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sin(3 * x) + 0.3 * rng.standard_t(2, len(x))


def uneven(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return x + (0.05 + np.abs(x)) * rng.normal(size=len(x))


def inflated(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.uniform(size=len(x)) < 0.4 + 0.3 * x, 0.0, np.abs(2 + x + 0.5 * rng.normal(size=len(x))))


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "gaussian": gaussian,
    "heavy": heavy,
    "uneven": uneven,
    "inflated": inflated,
}


def table(kind: str, n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return pd.DataFrame({"x": x, "y": KINDS[kind](x, rng)})


@cache
def made(kind: str, score: str) -> tuple[FittedModel, Scores, torch.Tensor, torch.Tensor]:
    """A model, wrong as models are, the scores of many rows that it has not seen, and of these rows x and y."""
    line = mf.BayesianLinear()
    learner = mf.Hurdle(line, gate=line) if kind == "inflated" else line
    model = learner.fit(SCHEMA.data(table(kind, 100, 0)))
    data = SCHEMA.data(table(kind, 20_000, 1))
    scores = compare([model], [torch.arange(len(data))], data, 0, by=score, seed=0)
    return model, scores, data.X, data.Y


def count_held(kind: str, score: str, n: int, ends: str) -> tuple[np.ndarray, np.ndarray]:
    """How many of the draws' new values lie in the interval of each level, and up to its upper end."""
    model, every, X, Y = made(kind, score)
    relevance = Relevance(None, None, 50, torch.zeros(n), torch.ones(n))
    rng = np.random.default_rng(n)
    levels = reachable(kind, n, ends)
    inside, upto = np.zeros(len(levels), dtype=int), np.zeros(len(levels), dtype=int)
    for _ in range(DRAWS):
        new, *rows = rng.choice(len(X), n + 1, replace=False)
        part = Scores(*(getattr(every, name)[rows] for name in ("heldout", "scores", "smooth", "member")))
        calibrated = ConformalModel(model, [None], part, relevance, score=score, ends=ends)
        with torch.no_grad():
            said = calibrated.posterior(X[[new]].unsqueeze(1), None, True)
            for i, level in enumerate(levels):
                lower, upper = (float(end) for end in interval(said, level))
                upto[i] += float(Y[new]) <= upper
                inside[i] += lower <= float(Y[new]) <= upper
    return inside, upto


def reachable(kind: str, n: int, ends: str) -> list[float]:
    levels = LEVELS[1:3] if kind == "inflated" else LEVELS
    return [level for level in levels if n + 1 >= (1 if ends == "both" else 2) / (1 - level) - 1e-9]


def too_few(count: int, level: float) -> bool:
    return stats.binom.cdf(count, DRAWS, level) < SURE


# Of a Gaussian, which all but the hurdle predict, "cdf" and "scaled" are the same.
CASES = [
    (kind, score, n)
    for kind in KINDS
    for score in ("cdf", "scaled", "absolute")[:: 1 if kind == "inflated" else 2]
    for n in NUMBERS[kind]
]


@pytest.mark.parametrize(("kind", "score", "n"), CASES)
def test_intervals_hold_as_often_as_they_say(kind: str, score: str, n: int) -> None:
    inside, _ = count_held(kind, score, n, "both")
    for level, count in zip(reachable(kind, n, "both"), inside, strict=True):
        exact = math.ceil(round(level * (n + 1), 9)) / (n + 1)
        assert not too_few(count, exact)
        # A closed interval holds a point mass more often than it says.
        if kind != "inflated":
            assert stats.binom.sf(count - 1, DRAWS, exact) > SURE


@pytest.mark.parametrize(("kind", "n"), [("heavy", 19), ("heavy", 100), ("inflated", 39)])
def test_ends_of_their_own_hold_each_on_its_own(kind: str, n: int) -> None:
    inside, upto = count_held(kind, "cdf", n, "each")
    for level, both, one in zip(reachable(kind, n, "each"), inside, upto, strict=True):
        assert not too_few(both, level)
        assert not too_few(one, (1 + level) / 2)


@pytest.mark.parametrize("form", ["cross", "loo"])
def test_jackknife_plus_never_holds_less_than_it_guarantees(form: str) -> None:
    # Few rows and a rough function: a fold changes the model as much as it ever does.
    level, repeats, new, counts = 0.8, 30, 50, 0
    for seed in range(repeats):
        seen, unseen = table("heavy", 20, seed), table("heavy", new, 10_000 + seed)
        said = mf.fit(seen, SCHEMA, mf.Conformal(mf.GP(steps=20), form=form, folds=10)).predict(unseen, level=level)
        counts += int(unseen["y"].between(said["lower"], said["upper"]).sum())
    guaranteed = 2 * level - 1
    # Rows of one repetition share a model and its 20 scores.
    spread = math.sqrt(guaranteed * (1 - guaranteed) * (1 / (repeats * new) + 1 / (repeats * 20)))
    assert counts / (repeats * new) > guaranteed - 3 * spread
