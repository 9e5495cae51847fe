"""Backtest: what replayed campaigns cost and found, compared run by run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import SchemaError

RESAMPLES = 4000
"""Draws of seeds behind an interval."""
POINTS = 40
"""Costs at which a curve is drawn."""
BASELINES = ("random", "single-fidelity")
FEWEST = 5
"""Runs of a policy below which nothing is said to be beyond noise: four all point one way by chance once in eight."""


@dataclass(frozen=True)
class Backtest:
    """The runs of several policies, each from the same starts.

    Attributes:
        steps: a row for each measurement: policy, seed, step (0: the start), material (its label in the table), source,
            cost, total_cost, value, best (target value so far), regret, top (share of the best 5% found), seconds of
            the ask, median, lower, upper (90%) and inside of asked target values, and, for `goal="learn"`, mae, crps
            and coverage on the test rows from time to time.
        terms: what the campaigns were for: goal, budget, start, start_by, batch, stop, test.
        dearest: what it costs to measure every pair: what a run that never reaches its end is taken to cost, where
            no budget says so.
    """

    steps: pd.DataFrame = field(repr=False)
    terms: Mapping[str, Any]
    dearest: float = field(repr=False)

    @property
    def policies(self) -> list[str]:
        """The names of the policies."""
        return list(dict.fromkeys(self.steps["policy"]))

    def cost_to(self, share: float | None = None) -> pd.DataFrame:
        """What each run (row: its seed) of each policy (column) paid until it had what was looked for.

        Args:
            share: of the best 5% of the materials, measured at the target; None: the best one.

        Returns:
            Costs, the start included; infinite where a run ended before.

        Raises:
            SchemaError: campaigns to learn.
        """
        if self.terms["goal"] == "learn":
            raise SchemaError('the cost to a best of goal="learn"', expected='"max" or "min"', fix="use curve()")
        reached = self.steps["regret"] <= 0 if share is None else self.steps["top"] >= share - 1e-9
        first = self.steps[reached].groupby(["seed", "policy"])["total_cost"].min()
        runs = self.steps.groupby(["seed", "policy"]).size().index
        first = first.reindex(runs, fill_value=math.inf)
        return self._by_policy(first)

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """One row a policy: the outcome of its runs, and how much it differs from both baselines on the same starts.

        The outcome is small where a policy is good: the cost until the campaign was over; with `stop="budget"`, the
        regret at the end; with `goal="learn"`, the CRPS at the end.

        Args:
            level: of the intervals, from the bootstrap over seeds (Efron 1979, doi:10.1214/aos/1176344552).

        Returns:
            runs; reached (share that found it); median, lower_quartile, upper_quartile (infinite where more runs
            were cut off than that); mean (a lower bound where reached is below 1: a run that was cut off counts with
            the whole budget); for each baseline `to_` and its name with `_lower` and `_upper`: mean difference to it;
            seconds an ask (median).
        """
        outcome = self._outcome()
        bounded = self._bounded(outcome)
        asks = self.steps[self.steps["step"] > 0].drop_duplicates(["policy", "seed", "step"])
        seconds = asks.groupby("policy")["seconds"].median()
        rows = []
        for policy in self.policies:
            runs = outcome[policy].to_numpy()
            low, middle, high = _quartiles(runs)
            row = {"runs": len(runs), "reached": np.isfinite(runs).mean(), "median": middle, "lower_quartile": low}
            row |= {"upper_quartile": high, "mean": bounded[policy].mean()}
            for baseline in BASELINES:
                mean, lower, upper = paired(bounded[policy] - bounded[baseline], level)
                row |= {f"to_{baseline}": mean, f"to_{baseline}_lower": lower, f"to_{baseline}_upper": upper}
            rows.append(row | {"seconds": seconds.get(policy, math.nan)})
        return pd.DataFrame(rows, index=pd.Index(self.policies, name="policy"))

    def curve(self, level: float = 0.95) -> pd.DataFrame:
        """What was reached at which cost: mean over seeds, and the paired difference to the random policy.

        Args:
            level: of the intervals, from the bootstrap over seeds; those of the difference are paired.

        Returns:
            policy, cost, mean, lower, upper, difference, difference_lower, difference_upper of the regret, or,
            for `goal="learn"`, of the CRPS.
        """
        column = "crps" if self.terms["goal"] == "learn" else "regret"
        known = self.steps.dropna(subset=[column])
        start = known.groupby(["policy", "seed"])["total_cost"].min().max()
        costs = np.geomspace(max(start, 1e-12), max(known["total_cost"].max(), start, 1e-12), POINTS)
        # Rounding must not put the last run's end beyond the last point.
        costs[0], costs[-1] = start, max(known["total_cost"].max(), start)
        tables = {policy: self._at(known[known["policy"] == policy], column, costs) for policy in self.policies}
        parts = []
        for policy, table in tables.items():
            own = [paired(row, level) for row in table.T]
            against = [paired(row, level) for row in (table - tables["random"]).T]
            columns = ["mean", "lower", "upper", "difference", "difference_lower", "difference_upper"]
            part = pd.DataFrame(np.hstack([own, against]), columns=columns)
            part.insert(0, "cost", costs)
            part.insert(0, "policy", policy)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def calibration(self, parts: int = 4) -> pd.DataFrame:
        """Share of asked target values inside their 90% intervals, early to late: a row a policy, a column a part.

        Args:
            parts: equal numbers of a policy's asked target values, in order of step.
        """
        asked = self.steps.dropna(subset=["median"]).sort_values("step", kind="stable")
        rows = {}
        for policy, mine in asked.groupby("policy", sort=False):
            inside = np.array_split(mine["inside"].to_numpy(dtype=float), parts)
            rows[policy] = [each.mean() if len(each) else math.nan for each in inside]
        return pd.DataFrame.from_dict(rows, orient="index", columns=[f"part {k + 1}" for k in range(parts)])

    def verdict(self, level: float = 0.95) -> str:
        """The recommended policy in plain words, with its evidence.

        Args:
            level: of the intervals that decide what is beyond noise.
        """
        rows = {str(name): row for name, row in self.summary(level).to_dict("index").items()}
        best = min(rows, key=lambda name: rows[name]["mean"])
        others = [baseline for baseline in BASELINES if baseline != best]
        mean = f"mean {self._what()} in {rows[best]['runs']} replayed campaigns"
        if rows[best]["runs"] < FEWEST:
            head = f"{best} has the lowest {mean}, too few to tell that from chance ({FEWEST} at least)."
        elif all(rows[best][f"to_{baseline}_upper"] < 0 for baseline in others):
            head = f"Use {best}: the lowest {mean}."
        else:
            head = f"{best} has the lowest {mean}, but not beyond noise."
        lost = [f"{name} {1 - row['reached']:.0%}" for name, row in rows.items() if row["reached"] < 1]
        cut = f" Ended before it was found: {', '.join(lost)} of the runs." if lost else ""
        return " ".join([head, *(self._evidence(rows, best, baseline) for baseline in others)]) + cut

    def _evidence(self, rows: Mapping[str, Mapping[Any, float]], best: str, baseline: str) -> str:
        mine, other = rows[best], rows[baseline]
        mean, lower, upper = (mine[f"to_{baseline}{end}"] for end in ("", "_lower", "_upper"))
        said = (_short(each) for each in (mine["mean"], other["mean"]))
        ends = (_short(each, "+") for each in (mean, lower, upper))
        means = "{} against {} of {}, {} ({} to {})".format(*said, baseline, *ends)
        return (
            f"{means}: no difference beyond noise." if lower <= 0 <= upper and mine["runs"] >= FEWEST else f"{means}."
        )

    def _what(self) -> str:
        if self.terms["goal"] == "learn":
            return "CRPS"
        return "regret" if self.terms["stop"] == "budget" else "cost"

    def _outcome(self) -> pd.DataFrame:
        """What is to be small, by seed and policy."""
        if self._what() == "cost":
            return self.cost_to(None if self.terms["stop"] == "best" else self.terms["stop"])
        column = self._what().lower()
        last = self.steps.dropna(subset=[column]).groupby(["seed", "policy"])[column].last()
        return self._by_policy(last)

    def _by_policy(self, runs: pd.Series) -> pd.DataFrame:
        """One number for each (seed, policy) as a table of seeds (rows) and policies."""
        return runs.reset_index(name="found").pivot_table("found", "seed", "policy", aggfunc="last")[self.policies]

    def _bounded(self, outcome: pd.DataFrame) -> pd.DataFrame:
        return outcome.replace(math.inf, self.terms["budget"] or self.dearest)

    def _at(self, known: pd.DataFrame, column: str, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The last value of each run (row) at each cost (column)."""
        rows = []
        for _, run in known.groupby("seed"):
            place = np.searchsorted(run["total_cost"].to_numpy(), costs, side="right") - 1
            rows.append(run[column].to_numpy()[np.maximum(place, 0)])
        return np.array(rows, dtype=np.float64)


def _quartiles(runs: NDArray[np.float64]) -> tuple[float, float, float]:
    """Where a quartile lies between two runs, their mean; infinite where one of them is."""
    below, above = (np.quantile(runs, [0.25, 0.5, 0.75], method=how) for how in ("lower", "higher"))
    low, middle, high = ((below + above) / 2).tolist()
    return low, middle, high


def _short(value: float, sign: str = "") -> str:
    """Three digits, those before the point all shown."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def paired(differences: Any, level: float = 0.95) -> tuple[float, float, float]:
    """The mean of one number for each seed, and its percentile interval over draws of seeds.

    >>> mean, lower, upper = paired([1.0, 2.0, 3.0, 2.0, 1.0, 3.0])
    >>> mean, lower < 2 < upper
    (2.0, True)
    """
    values = np.asarray(differences, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    lower, upper = np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(lower), float(upper)
