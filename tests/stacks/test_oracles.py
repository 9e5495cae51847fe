"""Difference against SMT's recursive (MFK) and joint (MFCK) co-kriging, on published multi-fidelity functions.

All get the same rows; an error is the root mean square over 500 fixed points, in standard deviations of the trusted
function. The house is as good or better on Borehole and Hartmann-6, and mostly better than MFCK but on Forrester, where
all are right to 0.5%. MFK is ahead by what `BEHIND` says where a scale or a smoothness beyond the house's priors
pays: without noise it interpolates up to rounding, the house up to a floor of 1e-6 of the variance; and on Branin the
difference is simple with a slope of 2.04, 16 times the ratio of the spreads (the two values correlate by 0.18), where
the house believes in 1 give or take 1 of that ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.stats import qmc
from smt.applications import MFCK, MFK

import mfmat as mf

NOISE = 0.02
"""Standard deviation of the noise, in spreads of each function."""
Values = np.ndarray
Function = Callable[[Values], Values]
Predict = Callable[[Values], Values]
"""Means at points of the unit box."""


@dataclass(frozen=True)
class Case:
    """A trusted function and its published cheap version on a box, and how many rows of each are given."""

    high: Function
    low: Function
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    rows: tuple[int, int]

    def points(self, n: int, seed: int) -> Values:
        """A Latin hypercube (n x d) of the unit box."""
        return qmc.LatinHypercube(len(self.lower), rng=seed).random(n)

    def spread(self, level: str) -> float:
        """Standard deviation of the function over the box."""
        return float((self.high if level == "high" else self.low)(self.place(self.points(500, 99))).std())

    def place(self, unit: Values) -> Values:
        """Points of the unit box in the function's own box."""
        return np.array(self.lower) + unit * (np.array(self.upper) - np.array(self.lower))


def forrester(x: Values) -> Values:
    """Forrester, Sobester & Keane 2007, doi:10.1098/rspa.2007.1900."""
    return (6 * x[:, 0] - 2) ** 2 * np.sin(12 * x[:, 0] - 4)


def forrester_low(x: Values) -> Values:
    """As above, with A = 0.5, B = 10, C = -5."""
    return 0.5 * forrester(x) + 10 * (x[:, 0] - 0.5) - 5


def branin(x: Values) -> Values:
    """Of the textbooks, without the tilt of `branin_high`."""
    a, b = x.T
    bowl = (b - 5.1 * a**2 / (4 * np.pi**2) + 5 * a / np.pi - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10


def branin_high(x: Values) -> Values:
    """Dong et al. 2015, doi:10.1007/s00158-014-1213-9."""
    return branin(x) - 22.5 * x[:, 1]


def branin_low(x: Values) -> Values:
    """As above."""
    return branin(0.7 * x) - 15.75 * x[:, 1] + 20 * (0.9 + x[:, 0]) ** 2 - 50


def borehole(x: Values, factor: float = 2 * np.pi, constant: float = 1.0) -> Values:
    """Flow of water (m^3 a year) from radii, transmissivities, heads, length and conductivity; Morris et al. 1993."""
    rw, r, tu, hu, tl, hl, length, k = x.T
    far = np.log(r / rw)
    return factor * tu * (hu - hl) / (far * (constant + 2 * length * tu / (far * rw**2 * k) + tu / tl))


def borehole_low(x: Values) -> Values:
    """Xiong, Qian & Wu 2013, doi:10.1080/00401706.2012.723572."""
    return borehole(x, 5.0, 1.5)


SHARPNESS = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
PEAKS = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(x: Values, weights: tuple[float, ...] = (1.0, 1.2, 3.0, 3.2), exp: Function = np.exp) -> Values:
    """Hartmann-6, scaled as by Picheny et al. 2013."""
    return -(2.58 + exp(-(SHARPNESS * (x[:, None] - PEAKS) ** 2).sum(axis=-1)) @ np.array(weights)) / 1.94


def hartmann_low(x: Values) -> Values:
    """Park, Haftka & Kim 2017, doi:10.1007/s00158-016-1550-y: other weights, and a rough exponential function."""
    return hartmann(x, (0.5, 0.5, 2.0, 4.0), lambda z: (np.exp(-4 / 9) * (1 + (z + 4) / 9)) ** 9)


CASES = {
    "forrester": Case(forrester, forrester_low, (0.0,), (1.0,), (8, 20)),
    "branin": Case(branin_high, branin_low, (-5, 0), (10, 15), (20, 60)),
    "borehole": Case(
        borehole,
        borehole_low,
        (0.05, 100, 63070, 990, 63.1, 700, 1120, 9855),
        (0.15, 50000, 115600, 1110, 116, 820, 1680, 12045),
        (30, 90),
    ),
    "hartmann": Case(hartmann, hartmann_low, (0.1,) * 6, (1.0,) * 6, (40, 120)),
}


@dataclass(frozen=True)
class Rows:
    """What both are given: points of the unit box and values, of the trusted function and of the cheap one."""

    case: Case
    high: tuple[Values, Values]
    low: tuple[Values, Values]

    def error(self, predict: Predict) -> float:
        """Root mean square error over 500 points, in standard deviations of the function."""
        new = self.case.points(500, 99)
        truth = self.case.high(self.case.place(new))
        return float(np.sqrt(np.mean((predict(new) - truth) ** 2)) / truth.std())


def draw(name: str, noise: float, seed: int) -> Rows:
    """Rows that are not nested, with noise in spreads of each function."""
    case, rng = CASES[name], np.random.default_rng(seed)
    high, low = case.points(case.rows[0], seed + 100), case.points(case.rows[1], seed)
    errors = [noise * case.spread(level) * rng.normal(size=len(x)) for level, x in (("high", high), ("low", low))]
    return Rows(case, (high, case.high(case.place(high)) + errors[0]), (low, case.low(case.place(low)) + errors[1]))


def smt(rows: Rows, model: type[MFK] | type[MFCK] = MFK, **options: object) -> Predict:
    """SMT's mean at new points."""
    oracle = model(theta0=[1.0] * len(rows.case.lower), print_global=False, n_start=2, **options)
    oracle.set_training_values(rows.low[0], rows.low[1][:, None], name=0)
    oracle.set_training_values(rows.high[0], rows.high[1][:, None])
    oracle.train()
    return lambda x: np.asarray(oracle.predict_values(x)).ravel()


def ours(rows: Rows, noise: float, stack: type[mf.Difference] | type[mf.TargetOnly] = mf.Difference) -> Predict:
    """The house's mean; the noise, in spreads of each function, is known."""
    columns = tuple(f"x{i}" for i in range(len(rows.case.lower)))
    parts = [
        pd.DataFrame(x, columns=columns).assign(source=name, y=y, noise=noise * rows.case.spread(name))
        for name, (x, y) in {"low": rows.low, "high": rows.high}.items()
    ]
    schema = mf.Schema(mf.Columns(columns), value="y", source="source", costs={"low": 1, "high": 10}, noise="noise")
    member = mf.GP(kernel="rbf", ard=True)
    recipe = stack([member]) if stack is mf.Difference else stack(member)
    surrogate = mf.fit(pd.concat(parts, ignore_index=True), schema, recipe)
    return lambda x: surrogate.predict(pd.DataFrame(x, columns=columns), noise=False)["mean"].to_numpy()


BEHIND = {
    ("forrester", NOISE): 0.04,
    ("branin", NOISE): 0.12,
    ("borehole", NOISE): 0.003,
    ("hartmann", NOISE): 0.0,
    ("forrester", 0.0): 0.005,
    ("branin", 0.0): 0.09,
    ("borehole", 0.0): 0.002,
    ("hartmann", 0.0): 0.0,
}
"""How far the error may be above that of SMT; of MFK measured, in order: 0.021, 0.097, 0.001, -0.03 (less);
0.004, 0.081, 0.001, -0.07."""
SLOW = [pytest.param(name, 0, marks=pytest.mark.promise) for name in ("borehole", "hartmann")]


@pytest.mark.parametrize(("name", "seed"), [("forrester", 0), ("forrester", 1), ("branin", 0), ("branin", 1), *SLOW])
def test_agrees_with_recursive_co_kriging_on_noisy_values(name: str, seed: int) -> None:
    rows = draw(name, NOISE, seed)
    error = rows.error(ours(rows, NOISE))
    # It learns its noise better than it takes it as known; for learned noise it wants this optimiser.
    assert error < rows.error(smt(rows, eval_noise=True, hyper_opt="Cobyla")) + BEHIND[name, NOISE]
    if name != "branin":
        assert error < 0.8 * rows.error(ours(rows, NOISE, mf.TargetOnly))


@pytest.mark.parametrize(("name", "seed"), [("forrester", 0), ("branin", 0), ("branin", 1), *SLOW])
def test_agrees_with_recursive_co_kriging_on_exact_values(name: str, seed: int) -> None:
    rows = draw(name, 0.0, seed)
    assert rows.error(ours(rows, 0.0)) < rows.error(smt(rows)) + BEHIND[name, 0.0]


@pytest.mark.parametrize(("name", "seed"), [("forrester", 0), ("branin", 0), SLOW[1]])
def test_is_not_behind_joint_co_kriging_on_exact_values(name: str, seed: int) -> None:
    rows = draw(name, 0.0, seed)
    # Its starts are drawn anew every time: on Branin its error was 0.01 to 0.43, on Borehole 0.08 to 0.69 (left out).
    assert rows.error(ours(rows, 0.0)) < rows.error(smt(rows, MFCK)) + BEHIND[name, 0.0]


def test_all_three_say_the_same_of_forrester() -> None:
    rows, new = draw("forrester", 0.0, 0), CASES["forrester"].points(200, 7)
    spread = CASES["forrester"].spread("high")
    said = ours(rows, 0.0)(new)
    for model in (MFK, MFCK):
        apart = np.abs(said - smt(rows, model)(new))
        assert apart.mean() < 0.01 * spread
        assert apart.max() < 0.05 * spread
