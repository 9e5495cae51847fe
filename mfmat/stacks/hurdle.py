"""Hurdle: a value that is often exactly the smallest there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Tensor

from mfmat.data import Data, places
from mfmat.errors import FitError
from mfmat.experts.gp import GP
from mfmat.learner import Expert, Facts, FittedModel, Learner, part
from mfmat.stacks.hurdle_model import HurdleModel

CLASSES = ("floor", "above")


@dataclass(frozen=True)
class Hurdle(Learner, kind="hurdle"):
    r"""A point mass at the floor of the target, and a learner for what is above: half of all band gaps are exactly 0.

    $p(y | x) = P(x)\,\delta(y - floor) + (1 - P(x))\,p_{member}(y | x)$. P comes from a learner of labels, fitted to
    whether each row of the target is at the floor, with the probability averaged over what it does not know; the
    member is fitted to all rows but the target's at the floor. Rows of other sources are the member's own.

    The member does not know of the floor: what probability it puts below stays there, so that a lower end of an
    interval may be a little below the floor. A central interval that reaches the floor is closed, and so holds values
    at the floor more often than it says. The joint Gaussian, for conditioning and acquisitions, has the moments.

    Args:
        member: of the values above the floor; any learner, such as a `Mixture`.
        gate: of the labels; an expert gets the target's rows alone, a stack all rows, with the target as a label.
        floor: the smallest value; None: that of the schema, else the smallest of the target where 5% of its rows, and
            two at least, equal it. Without a row there, the member is all there is.

    Raises:
        FitError: a value of the target below the floor; limits that its values lie below.

    Cragg 1971, doi:10.2307/1909582.

    >>> import pandas as pd
    >>> from mfmat.features import Columns
    >>> from mfmat.schema import Schema
    >>> table = pd.DataFrame({"x": range(20), "y": [max(0.0, i - 10.0) for i in range(20)]})
    >>> schema = Schema(Columns("x"), value="y")
    >>> model = Hurdle(GP()).fit(schema.data(table))
    >>> model.floor
    0.0
    >>> model.chance(schema.encode(pd.DataFrame({"x": [1.0, 18.0]}))[0]).flatten().round(decimals=0)
    tensor([1., 0.], dtype=torch.float64)
    """

    member: Learner
    _: KW_ONLY
    gate: Learner = field(default_factory=GP)
    floor: float | None = None

    def fit(self, data: Data) -> FittedModel:
        """The model of these data."""
        return self.cross_fit(data, [torch.zeros(0, dtype=torch.long)])[0]

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """One model for each fold; member and gate are each cross-fitted once. The floor is that of all rows."""
        return self._each(data, folds, lambda learner, rows, held: learner.cross_fit(rows, held, executor))

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """See `Learner.fit_with_folds`."""
        return self._each(data, folds, lambda learner, rows, held: learner.fit_with_folds(rows, held, executor))

    def _each(
        self, data: Data, folds: Sequence[Tensor], fit: Callable[[Learner, Data, list[Tensor]], list[FittedModel]]
    ) -> list[FittedModel]:
        facts: Facts = {"width": data.X.shape[-1] - 1, "sources": list(data.sources)}
        floor, target = self._find(data), data.fidelity == data.target
        if floor is None:
            return [HurdleModel(model, None, None, facts).eval() for model in fit(self.member, data, list(folds))]
        _check_limits(data, target)
        at_floor = target & (data.Y[:, 0] == floor) & ~data.bounded
        members = fit(self.member, data.take(~at_floor), places(~at_floor, folds))
        labels = _relabel(data, target, at_floor)
        kept = target if isinstance(self.gate, Expert) else torch.ones_like(target)
        gates = fit(self.gate, labels.take(kept), places(kept, folds))
        return [HurdleModel(*pair, floor, facts).eval() for pair in zip(members, gates, strict=True)]

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> HurdleModel:
        """The fitted model that had these facts and this state."""
        member = self.member.restore(facts["members"][0], part(state, "members.0."))
        gate = None
        if facts["floor"] is not None:
            gate = self.gate.restore(facts["members"][1], part(state, "members.1."))
        own = {name: facts[name] for name in ("width", "sources")}
        return HurdleModel(member, gate, facts["floor"], own).eval()

    def _find(self, data: Data) -> float | None:
        """The floor, where there is one and rows at it."""
        y = data.Y[(data.fidelity == data.target) & ~data.bounded, 0]
        if not len(y) or data.classes.get(data.target):
            return None
        least = float(y.min())
        floor = self.floor if self.floor is not None else data.floor
        if floor is None:
            return least if least in data.atoms() else None
        if least < floor:
            raise FitError(
                f"a value {least:g} of {data.sources[-1]!r} below the floor {floor:g}",
                expected="no smaller value than the floor",
                fix="mend that row, or give the floor that holds",
            )
        return floor if least == floor else None


def _check_limits(data: Data, target: Tensor) -> None:
    if data.censored is not None and (below := int((target & (data.censored < 0)).sum())):
        raise FitError(
            f"{below} values of {data.sources[-1]!r} below a limit, with a floor",
            expected="values at the floor or above: below a limit may be either",
            fix="the member without Hurdle, or the floor as the value where that is what was found",
        )


def _relabel(data: Data, target: Tensor, at_floor: Tensor) -> Data:
    """The same rows, those of the target with labels in place of values: 0 at the floor, 1 above."""
    return data.revalue(target, (~at_floor).to(data.Y), {**data.classes, data.target: CLASSES})
