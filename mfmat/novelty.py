"""How unlike the compounds that a surrogate was calibrated on a row is, as a probability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import MfmatWarning, warn
from mfmat.scaling import Scaling
from mfmat.types import Codes, Flags, Rows

RATE = 0.01
"""Calls of `predict` that warn although all rows are like those that were measured."""
MOST = 2000
"""Rows that others are compared with at most."""
TAIL, FEWEST = 0.1, 20
"""Share of the distances that says how quickly they thin out, and how many it takes at least."""
DOUBT = 1.5
"""Standard errors by which the tail is taken heavier than estimated: at 1, calls of 200 alloys like those measured
warned in 9% of cases; at 2, thirty compounds are too few to ever warn."""
SLACK = 1e-4
"""Distances that differ by less, in units of the largest, are equal: on a grid they are, but for rounding."""
FARTHEST = 1e6
"""Standard deviations beyond which a number is as strange as can be: its square must remain a number."""
CHUNK = 1024


class OutsideWarning(MfmatWarning):
    """Rows unlike all compounds that the intervals were calibrated on; the message names them."""


@dataclass(frozen=True)
class Novelty:
    r"""The distance of a row from the nearest measured compound, and how rare it is among those themselves.

    $d(x, x')$ is Euclidean over standardised columns, root mean square over a view's columns and over views;
    $d(x)$ that to the nearest of the target's rows (2,000 at most, compounds before further rows of them, drawn
    by a fixed seed). Of each of n compounds $d_i$ is that of one row, drawn at random, to the nearest row of another
    compound. The p-value is conformal, $p(x) = (1 + \#\{d_i \ge d(x)\}) / (n + 1)$: exact for compounds drawn as
    the measured ones were. That is never below $1/(n+1)$, so beyond all $d_i$ it goes on as the generalised Pareto
    tail of the largest tenth, whose shape is taken 1.5 standard errors heavier than estimated and never light.

    Attributes:
        views: each view's columns in X.
        centre, scale: of each column (d).
        rows: what is compared with, standardised (r x k, k columns in views), in single precision.
        usual: the $d_i$ in ascending order (n).

    Bates et al. 2023, doi:10.1214/22-AOS2244; Laxhammar & Falkman 2014, doi:10.1007/s10472-013-9381-7; Pickands 1975,
    doi:10.1214/aos/1176343003; Hosking & Wallis 1987, doi:10.1080/00401706.1987.10488243.

    >>> columns = torch.linspace(0, 1, 50)[:, None].double()
    >>> novelty = Novelty.of(columns, torch.arange(50), {"numeric": slice(0, 1)})
    >>> [round(p, 3) for p in novelty.p_values(torch.tensor([[0.5], [5.0]])).tolist()]
    [1.0, 0.0]
    """

    views: Mapping[str, slice]
    centre: Tensor
    scale: Tensor
    rows: Tensor
    usual: Tensor

    @classmethod
    def of(cls, X: Tensor, groups: Codes, views: Mapping[str, slice], seed: int = 0) -> Novelty | None:
        """That of measured rows (n x d) of these compounds (n); None of fewer than two compounds."""
        order = torch.randperm(len(X), generator=torch.Generator().manual_seed(seed))
        further = torch.from_numpy(pd.Series(groups[order].numpy()).duplicated().to_numpy(copy=True))
        compounds = int((~further).sum())
        if compounds < 2:
            return None
        kept = order[torch.argsort(further, stable=True)][:MOST]
        centre, scale = _scales(X[kept], views)
        rows = cls(views, centre, scale, torch.zeros(0), torch.zeros(0)).place(X[kept])
        usual = _nearest(rows[:compounds], rows, groups[kept][:compounds], groups[kept])
        return cls(views, centre, scale, rows, usual.sort().values)

    @classmethod
    def of_target(cls, data: Data) -> Novelty | None:
        """That of the target's rows with a value, which alone intervals are calibrated on."""
        target = (data.fidelity == data.target) & ~data.bounded
        return cls.of(data.X[target], data.groups[target], data.views)

    @classmethod
    def restore(cls, views: Mapping[str, slice], state: Mapping[str, Tensor]) -> Novelty | None:
        """The one that had this `state()`; None of an empty state."""
        return cls(views, **state) if state else None

    def state(self) -> dict[str, Tensor]:
        """What is saved."""
        return {"centre": self.centre, "scale": self.scale, "rows": self.rows, "usual": self.usual}

    def place(self, X: Tensor) -> Tensor:
        """Rows (n x d or wider) where their Euclidean distance is that of the class (n x k)."""
        views = [view for view in self.views.values() if view.stop > view.start]
        width = len(self.centre)
        z = ((X[:, :width] - self.centre) / self.scale).clamp(-FARTHEST, FARTHEST)
        return torch.cat([z[:, v] / math.sqrt(len(views) * (v.stop - v.start)) for v in views], dim=1).float()

    def distances(self, X: Tensor) -> Tensor:
        """From the nearest measured row (n x d to n)."""
        return _nearest(self.place(X), self.rows)

    def p_values(self, X: Tensor) -> Tensor:
        """Of rows (n x d to n): small where few measured compounds, or none, are as far from all others."""
        return self.rarity(self.distances(X))

    def rarity(self, distances: Tensor) -> Tensor:
        """The p-values of distances (n to n)."""
        n, slack = len(self.usual), SLACK * self.usual[-1]
        farther = n - torch.searchsorted(self.usual, distances - slack)
        counted = (1 + farther) / (n + 1)
        return torch.where(farther > 0, counted, torch.minimum(counted, self._tail(distances))).double()

    def _tail(self, distances: Tensor) -> Tensor:
        n = len(self.usual)
        k = max(int(TAIL * n), min(FEWEST, n // 2))
        start = self.usual[n - k - 1]
        excess = self.usual[self.usual > start + SLACK * self.usual[-1]] - start
        # Where all of the farthest are equally far (a grid), nothing says how quickly they thin out.
        mean = float(excess.mean()) if len(excess) else float(start) / 10
        shape = min(max(_shape(excess), 0.0) + DOUBT / math.sqrt(len(excess) or k), 0.9)
        scale = max(mean * (1 - shape), 1e-12)
        beyond = (distances - start).clamp_min(0) / scale
        return (len(excess) + 1) / (n + 1) * (1 + shape * beyond) ** (-1 / shape)


def strange(p: Tensor) -> Flags:
    r"""Which of m rows (n to n) lie outside, so that a call without any such row has one in 1% of all calls at most.

    Benjamini and Hochberg's step-up rule: the rows with the i smallest p-values, i the largest with
    $p_{(i)} \le 0.01\, i / m$. One row in m needs $p \le 0.01 / m$; if all are strange, $p \le 0.01$ will do.

    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; for conformal p-values Bates et al. 2023,
    doi:10.1214/22-AOS2244. On random halves of 17 public tables 0.1 to 1.3% of calls with one row warned, and with 20
    rows 0 to 1.8%, but for two tables of alloys (5%), where one among some hundreds is like no other.

    >>> strange(torch.tensor([0.5, 0.004, 0.9])).tolist(), strange(torch.tensor([0.01, 0.004, 0.009])).tolist()
    ([False, False, False], [True, True, True])
    """
    ordered, _ = p.sort()
    bounds = RATE * torch.arange(1, len(p) + 1, dtype=p.dtype) / len(p)
    passed = torch.nonzero(ordered <= bounds).flatten()
    return p <= ordered[passed[-1]] if len(passed) else torch.zeros_like(p, dtype=torch.bool)


def warn_outside(novelty: Novelty, X: Rows, index: pd.Index, target: str, *, shown: int = 5) -> None:
    """Warn of rows (n x 1 x (d+1)) with this index that lie outside what was calibrated."""
    distances = novelty.distances(X[:, 0])
    outside = torch.nonzero(strange(novelty.rarity(distances))).flatten()
    if not len(outside):
        return
    names = ", ".join(repr(label) for label in index[outside[:shown].numpy()].tolist())
    more, many = ", ..." * (len(outside) > shown), len(outside) > 1
    farthest, usual = float(distances[outside].max()), float(novelty.usual.quantile(0.9))
    warn(
        OutsideWarning,
        f"{len(outside)} of {len(X)} rows unlike the measured compounds of {target!r} (index {names}{more}): "
        f"{'up to ' * many}{farthest:.2g} from the nearest, and 90% of those are within {usual:.2g} of another",
        expected=f"rows like those that the intervals were calibrated on; {RATE:.0%} of calls with such rows warn, too",
        fix=f"take {'their intervals' if many else 'its interval'} for a guess, measure {'some' if many else 'it'}, "
        "or see novelty(table) for the p-value of each row",
    )


def _scales(X: Tensor, views: Mapping[str, slice]) -> tuple[Tensor, Tensor]:
    """Centre and scale of each column that is in a view, and of those before it (d each)."""
    width = max(view.stop for view in views.values())
    scaling = Scaling(views, width)
    scaling.measure(X[:, :width])
    centre, scale = scaling.centre, scaling.scale.clone()
    for view in views.values():
        if view.stop > view.start:
            # A column in which only one row differs (a rare element) would set that row farther from all others than
            # a new row with an element never seen, whose column has the median scale.
            varying = X[:, view].std(dim=0) > 1e-12 * X[:, view].abs().amax(dim=0)
            usual = scale[view][varying].median() if varying.any() else scale[view].min()
            scale[view] = scale[view].clamp_min(usual)
    return centre, scale


def _nearest(rows: Tensor, others: Tensor, groups: Tensor | None = None, theirs: Tensor | None = None) -> Tensor:
    """Distance of each row (n x k) to the nearest of others (r x k), of another group where those are given (n)."""
    # The rounding of squares in single precision would hide small distances.
    others = others.double()
    lengths, found = others.square().sum(dim=1), []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK].double()
        squares = torch.addmm(lengths.expand(len(part), -1), part, others.mT, alpha=-2)
        if groups is not None and theirs is not None:
            squares = squares.masked_fill(groups[start : start + CHUNK, None] == theirs, math.inf)
        found.append(squares.amin(dim=1) + part.square().sum(dim=1))
    return torch.cat(found).clamp_min(0).sqrt()


def _shape(excess: Tensor) -> float:
    """The shape of a generalised Pareto distribution, by probability-weighted moments (k to one number)."""
    k = len(excess)
    if k < 2:
        return 0.0
    ranks = torch.arange(1, k + 1, dtype=excess.dtype)
    first = float(excess.mean())
    second = float(((1 - (ranks - 0.35) / k) * excess.sort()[0]).mean())
    return 2 - first / (first - 2 * second)
