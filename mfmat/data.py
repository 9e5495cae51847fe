"""Rows of every source as tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from mfmat.errors import FitError, Problem
from mfmat.posteriors import squeeze
from mfmat.small_sets import SetColumns
from mfmat.types import Codes, Flags, Rows

OFTEN = 0.05
"""Share of the target's rows that agree exactly where a value counts as an atom."""
STEPS = 30
"""Of expectation and maximisation, for the scale of values of which some are limits."""
FEW = 16
"""Rows of a batch up to which one material in several sources is looked for: it is asked once."""


@dataclass(frozen=True)
class Data:
    """Rows of every source, with what is needed to split and to scale them.

    Attributes:
        X: n x (d+1), raw features, the last column the fidelity (position in `sources`).
        Y: n x 1, in the units of the table.
        Yvar: n x 1, variance of Y as far as it is known; 0 where nothing is.
        known: n, True where `Yvar` is all the noise there is; else learned noise comes on top.
        views: each view's columns in X.
        sources: names in order of trust, the target last.
        groups: n, compounds that a split never divides.
        rows: n, position in the table (of the first of several replicates).
        counts: n, values of the table behind each row.
        material: the column of X that names the material; None: all inputs together do.
        anchor: mean and spread believed before any row is seen; None: those of all rows together.
        trend: n x k, directions along which Y is known only up to standard normal coefficients; whoever learns
            a scale or a smoothness from Y should not count them. None: no such direction.
        skipped: what was left out with `on_error="skip"`.
        classes: of each fidelity whose values are labels, the names that its Y (0, 1, ...) stands for.
        floor: the smallest value that the target can have and often has exactly; None where nothing is said.
        metadata: the column of X that each feature which no learner sees has, by name.
        sets: the small set that a view also is, by the view's name: its columns in X, which are of no view.
        censored: n, -1 where Y is only a limit that the value lies below, 1 where it lies above, else 0; None: it is
            the value everywhere.
        kernels: the family of kernels that suits a view, by its name, where its featurizer names one; `" + linear"`:
            that beside the one that the rest has.
    """

    X: Tensor
    Y: Tensor
    Yvar: Tensor
    known: Tensor
    views: Mapping[str, slice]
    sources: tuple[str, ...]
    groups: Codes
    rows: Codes
    counts: Codes
    material: int | None = None
    anchor: tuple[float, float] | None = None
    trend: Tensor | None = None
    skipped: tuple[Problem, ...] = ()
    classes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    floor: float | None = None
    metadata: Mapping[str, int] = field(default_factory=dict)
    sets: Mapping[str, SetColumns] = field(default_factory=dict)
    censored: Tensor | None = None
    kernels: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.X)

    @property
    def target(self) -> int:
        """The target's fidelity: the last."""
        return len(self.sources) - 1

    @property
    def fidelity(self) -> Codes:
        """Each row's fidelity (n)."""
        return self.X[:, -1].long()

    @property
    def bounded(self) -> Flags:
        """Where only a limit of the value is known (n)."""
        return torch.zeros(len(self), dtype=torch.bool) if self.censored is None else self.censored != 0

    @property
    def best(self) -> dict[str, float | None]:
        """The largest and the smallest known value of the target, `"max"` and `"min"`; None where nothing says."""
        rows = {goal: self.best_row(goal) for goal in ("max", "min")}
        return {goal: None if row is None else float(self.Y[row, 0]) for goal, row in rows.items()}

    def best_row(self, goal: str) -> int | None:
        """The position of the target's largest (`"max"`) or smallest (`"min"`) known value; None where nothing says.

        A value above its limit is at least as large, and says nothing of how small values can be.
        """
        sign = 1 if goal == "max" else -1
        signs = torch.zeros(len(self)) if self.censored is None else self.censored
        rows = ((self.fidelity == self.target) & (sign * signs >= 0)).nonzero()[:, 0]
        return int(rows[(sign * self.Y[rows, 0]).argmax()]) if len(rows) else None

    @property
    def labelled(self) -> Flags:
        """Which rows' values are labels (n)."""
        return torch.isin(self.fidelity, torch.tensor([*self.classes], dtype=torch.long))

    def compounds(self, fidelity: int | None = None) -> int:
        """How many compounds have a value, not just a limit, of a source (the target unless given)."""
        mine = self.fidelity == (self.target if fidelity is None else fidelity)
        return len(self.groups[mine & ~self.bounded].unique())

    def scored(self, folds: Sequence[Tensor]) -> list[Tensor]:
        """Of rows that are held out those that have a value to be compared with; a limit is none."""
        bounded = self.bounded
        return [fold[~bounded[fold]] for fold in folds]

    def take(self, rows: Tensor) -> Data:
        """The rows at these positions, or where a mask is True."""
        names = ("X", "Y", "Yvar", "known", "groups", "rows", "counts")
        some = {name: each[rows] for name in ("trend", "censored") if (each := getattr(self, name)) is not None}
        return replace(self, **{name: getattr(self, name)[rows] for name in names}, **some)

    def without(self, rows: Tensor) -> Data:
        """All rows but those at these positions."""
        keep = torch.ones(len(self), dtype=torch.bool)
        keep[rows] = False
        return self.take(keep)

    def draw(self, n: int, first: Tensor, seed: int) -> Data:
        """At most n rows, those flagged in `first` before the others, each in random order."""
        if len(self) <= n:
            return self
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        order = order[torch.argsort(~first[order], stable=True)]
        return self.take(order[:n].sort().values)

    def at(self, fidelity: int) -> Data:
        """The rows of one source; its anchor is what all rows together suggest."""
        return replace(self.take(self.fidelity == fidelity), anchor=self.anchor or self._pooled())

    def revalue(self, where: Flags, values: Tensor, classes: Mapping[int, tuple[str, ...]]) -> Data:
        """The same rows, the flagged ones with other values (n); what else was known of the old ones goes."""
        return replace(
            self,
            Y=torch.where(where, values, self.Y[:, 0])[:, None],
            Yvar=torch.where(where[:, None], 0.0, self.Yvar),
            known=self.known & ~where,
            classes=dict(classes),
            anchor=None,
            trend=None,
            floor=None,
            censored=None if self.censored is None else torch.where(where, 0, self.censored),
        )

    def labels(self) -> tuple[str, ...] | None:
        """The classes, where all rows are labels; None where all are values.

        Raises:
            FitError: labels and values, or labels of different classes, in one.
        """
        present = self.fidelity.unique().tolist() or [self.target]
        kinds = {self.classes.get(fidelity) for fidelity in present}
        if len(kinds) > 1:
            raise FitError(
                f"labels and values as one function ({', '.join(self.sources[i] for i in present)})",
                expected="sources of one kind",
                fix="put the learner in a stack, which takes each source on its own",
            )
        return kinds.pop()

    def split(self, folds: int, seed: int, fidelity: int | None = None) -> list[Tensor]:
        """Positions of the rows of one source, the target unless named, to hold out in each fold.

        A group is never divided; with fewer groups than folds there is one fold a group. One of which only limits are
        known is held out nowhere: it could not be compared with anything.
        """
        mine = self.fidelity == (self.target if fidelity is None else fidelity)
        valued = torch.isin(self.groups, self.groups[mine & ~self.bounded])
        target = torch.nonzero(mine & valued).flatten()
        groups, member = torch.unique(self.groups[target], return_inverse=True)
        order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
        fold = order.argsort()[member] % min(folds, max(len(groups), 1))
        return [target[fold == k] for k in range(min(folds, len(groups)))]

    def atoms(self, fidelity: int | None = None) -> Tensor:
        """Values that many rows of a source (the target unless named) have exactly, in ascending order.

        Many are 5% of them, and two at least.
        """
        mine = self.fidelity == (self.target if fidelity is None else fidelity)
        target = self.Y[mine & ~self.bounded, 0]
        values, counts = target.unique(return_counts=True)
        often: Tensor = values[counts >= max(2.0, OFTEN * len(target))]
        return often

    def standards(self) -> list[tuple[float, float]]:
        r"""Mean and spread of each source, shrunk towards the anchor where rows are few.

        $s^2 = (\nu s_0^2 + \sum_i (y_i - \bar y)^2) / (\nu + n - 1)$ with $\nu = 3$ up to 30 rows, so
        that two rows that happen to agree do not promise a narrow interval; beyond, $\nu = 0$. Where some are limits,
        mean and spread are those of the Gaussian that makes values and limits most probable.
        """
        anchor = self.anchor or self._pooled()
        return [_standard(self._at_large(self.fidelity == s), anchor) for s in range(len(self.sources))]

    def _pooled(self) -> tuple[float, float]:
        values = self._at_large(torch.ones(len(self), dtype=torch.bool))
        if not len(values):
            return 0.0, 1.0
        centre = float(values.mean())
        spread = max(_spread(self._at_large(self.fidelity == s)) for s in self.fidelity.unique())
        return centre, spread or _spread(values) or abs(centre) or 1.0

    def _at_large(self, mine: Flags) -> Tensor:
        """The values of these rows, with the mean and the spread of what the limits among them stand for.

        By expectation and maximisation (Dempster et al. 1977), as far as some steps take it: limits alone have no end.
        """
        values, limits = self.Y[mine & ~self.bounded, 0], mine & self.bounded
        if self.censored is None or not bool(limits.any()) or not len(values):
            return self.Y[mine, 0]
        bounds, signs = self.Y[limits, 0], self.censored[limits].to(self.Y)
        filled = self.Y[mine, 0]
        centre, variance = filled.mean(), filled.var(correction=0)
        if float(variance) <= 0:
            return filled
        for _ in range(STEPS):
            cut = squeeze(centre.expand(len(bounds)), variance.expand(len(bounds)), bounds, signs)
            filled = torch.cat([values, cut.mean])
            centre = filled.mean()
            variance = ((filled - centre).square().sum() + cut.variance.sum()) / len(filled)
        spread = filled.std(correction=0)
        return centre + (filled - centre) * (variance.sqrt() / spread if float(spread) > 0 else 1.0)


def _spread(values: Tensor) -> float:
    spread = float(values.std(correction=0))
    # Below this the values differ by rounding alone, and dividing by it would fit the rounding.
    return spread if spread > 1e-9 * float(values.abs().max()) else 0.0


def _standard(values: Tensor, anchor: tuple[float, float]) -> tuple[float, float]:
    n = len(values)
    if not n:
        return anchor
    spread, weight = _spread(values), 3.0 if n <= 30 else 0.0
    if weight + n > 1:
        spread = math.sqrt((weight * anchor[1] ** 2 + n * spread**2) / (weight + n - 1))
    return float(values.mean()), spread or anchor[1]


def places(kept: Tensor, folds: Sequence[Tensor]) -> list[Tensor]:
    """Where the rows of each fold are among those that are kept (a mask).

    >>> places(torch.tensor([False, True, True]), [torch.tensor([0, 2])])
    [tensor([1])]
    """
    place = kept.cumsum(0) - 1
    return [place[fold[kept[fold]]] for fold in folds]


def at_fidelity(X: Rows, fidelity: int) -> Rows:
    """The same materials (b x q x (d+1)) at one fidelity."""
    return torch.cat([X[..., :-1], torch.full_like(X[..., -1:], float(fidelity))], dim=-1)


def material_keys(X: Tensor, column: int | None) -> Codes:
    """One integer for each row's material (n x (d+1) to n): that of its id, else of all its inputs.

    Computed from the bytes of the row alone, so that a model restored in another process recognises
    its materials.

    >>> X = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 1.0]])  # one material, two fidelities
    >>> bool(material_keys(X, None).unique().numel() == 1)
    True
    """
    columns = slice(0, X.shape[-1] - 1) if column is None else slice(column, column + 1)
    # Adding 0.0 turns -0.0 into 0.0, whose bytes differ.
    block = np.ascontiguousarray(X[:, columns].detach().cpu().double().numpy() + 0.0)
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in block)
    return torch.from_numpy(np.frombuffer(digests, dtype=np.int64).copy())


def find_distinct(X: Rows) -> tuple[Tensor, Tensor]:
    """Which of q rows have inputs of their own in some batch, and whose answer each takes (b x q x (d+1) to k and q).

    >>> X = torch.tensor([[[1.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [2.0, 1.0]]])  # two materials, each in two sources
    >>> find_distinct(X)
    (tensor([0]), tensor([0, 0]))
    """
    q, x = X.shape[-2], X[..., :-1]
    if q > FEW or X.shape[:-2].numel() < 2:
        return torch.arange(q), torch.arange(q)
    first = torch.tensor([j * (not torch.equal(x[..., j, :], x[..., 0, :])) for j in range(q)], dtype=torch.long)
    kept, place = first.unique(return_inverse=True)
    return kept, place


def material_keys_of(X: Rows, column: int | None) -> Tensor:
    """`material_keys` of rows in batches (b x q x (d+1) to b x q), a material in several sources hashed once."""
    kept, place = find_distinct(X)
    rows = X[..., kept, :]
    return material_keys(rows.reshape(-1, X.shape[-1]), column).reshape(rows.shape[:-1])[..., place]
