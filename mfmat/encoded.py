"""A model of rows that other fitted models have looked at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.learner import Facts, FittedModel, RowsOfInner
from mfmat.types import Covariance, Flags, Rows
from mfmat.view_weights import ViewWeights


@dataclass(frozen=True)
class Looker:
    """A fitted model that looks at some columns of a row.

    Attributes:
        name: of what it makes of them.
        model: the model.
        columns: those of X that it takes, in its own order.
    """

    name: str
    model: FittedModel
    columns: tuple[int, ...]

    def look(self, X: Rows) -> Tensor:
        """The units of its last hidden layer, or where it is no network mean and standard deviation (b x q x h)."""
        units = self.model.hidden(self.own(X))
        return self.say(X) if units is None else units

    def say(self, X: Rows) -> Tensor:
        """Mean and standard deviation of the noise-free value (b x q x 2)."""
        own = self.own(X)
        said = self.model.posterior(own.reshape(-1, 1, own.shape[-1]))
        return torch.cat([said.mean, said.variance.sqrt()], dim=-1).reshape(*own.shape[:-1], 2)

    def own(self, X: Rows) -> Tensor:
        """Its columns of the rows, at its own target."""
        columns = X[..., list(self.columns)]
        target = torch.full_like(columns[..., :1], len(self.model.facts["sources"]) - 1)
        return torch.cat([columns, target], dim=-1)


def seat(name: str, model: FittedModel, views: Mapping[str, slice], data: Data) -> Looker | None:
    """The model in front of these data; None where they lack a view of it, or have one of another width.

    Views agree by name, or by what follows the column in it: "formula.descriptors" is "composition.descriptors".
    """
    columns: list[int] = []
    for wanted, view in sorted(views.items(), key=lambda item: item[1].start):
        found = [data.views[wanted]] if wanted in data.views else _like(wanted, data.views)
        if len(found) != 1 or found[0].stop - found[0].start != view.stop - view.start:
            return None
        columns += range(found[0].start, found[0].stop)
    return Looker(name, model, tuple(columns)) if len(columns) == model.facts["width"] else None


def _like(wanted: str, views: Mapping[str, slice]) -> list[slice]:
    end = wanted.partition(".")[2]
    return [view for name, view in views.items() if end and name.partition(".")[2] == end]


def add_views(data: Data, lookers: Sequence[Looker]) -> Data:
    """The data with what each looker makes of a row as one more view, behind all that they have."""
    views, end = dict(data.views), data.X.shape[-1] - 1
    with torch.no_grad():
        blocks = [looker.look(data.X) for looker in lookers]
    for looker, block in zip(lookers, blocks, strict=True):
        views[f"{looker.name}.hidden"] = slice(end, end := end + block.shape[-1])
    return replace(data, X=_join(data.X, blocks), views=views)


def _join(X: Rows, blocks: Sequence[Tensor]) -> Tensor:
    return torch.cat([X[..., :-1], *blocks, X[..., -1:]], dim=-1)


class EncodedModel(RowsOfInner):
    """A model over the columns of a row and what lookers make of them; keeps the lookers, too.

    Args:
        inner: fitted to `add_views(data, lookers)`.
        lookers: in order.
        facts: what else is to be kept.
    """

    def __init__(self, inner: FittedModel, lookers: Sequence[Looker], facts: Facts) -> None:
        columns = [{"name": each.name, "columns": list(each.columns), "facts": each.model.facts} for each in lookers]
        super().__init__(inner, **facts, lookers=columns)
        self.encoders = torch.nn.ModuleList(each.model for each in lookers)
        self.lookers = tuple(lookers)

    def encode(self, X: Rows) -> Tensor:
        """Rows as the inner model takes them (b x q x (d+1) to b x q x (d+h+1))."""
        return _join(X, [each.look(X) for each in self.lookers])

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        return self.inner.joint(self.encode(X), observed)

    def moments(self, X: Rows) -> tuple[Tensor, Covariance, Tensor]:
        """See `FittedModel.moments`: one pass through the lookers."""
        return self.inner.moments(self.encode(X))

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`."""
        return self.inner.noise(self.encode(X))

    def posterior(self, X: Rows, *args: Any, **kwargs: Any) -> Any:
        """That of the inner model."""
        self.eval()
        return self.inner.posterior(self.encode(X), *args, **kwargs)

    def hidden(self, X: Rows) -> Tensor | None:
        """See `FittedModel.hidden`."""
        return self.inner.hidden(self.encode(X))

    def shares(self, X: Rows) -> dict[str, tuple[Tensor, Tensor]]:
        """See `FittedModel.shares`."""
        return self.inner.shares(self.encode(X))

    def weighings(self) -> dict[str, ViewWeights]:
        """See `FittedModel.weighings`: the entries are among the views."""
        return self.inner.weighings()

    def probabilities(self, X: Rows) -> Tensor:
        """See `FittedModel.probabilities`."""
        return self.inner.probabilities(self.encode(X))
