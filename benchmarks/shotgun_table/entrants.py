"""Who learns a property from a few rows: with the library, with one entry of it, and with none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from expert_table.peers import RandomForest

import mfmat as mf
from mfmat.data import Data
from mfmat.encoded import Looker, add_views
from mfmat.shotgun import Screened

Model = Any
"""Whatever has a `posterior`."""


class Frozen:
    """The paper's way: the best encoder's hidden layer, frozen, under a random forest."""

    def __init__(self, train: Data, lookers: list[Looker]) -> None:
        self.lookers = lookers
        self.forest = RandomForest().fit(self._seen(train))

    def posterior(self, X: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Of new measurements."""
        blocks = [looker.look(X) for looker in self.lookers]
        return self.forest.posterior(torch.cat([*blocks, X[..., -1:]], dim=-1), *args, **kwargs)

    def _seen(self, data: Data) -> Data:
        added = add_views(data, self.lookers)
        width = data.X.shape[-1] - 1
        views = {name: slice(v.start - width, v.stop - width) for name, v in added.views.items() if v.start >= width}
        return replace(added, X=added.X[:, width:], views=views)


def frozen(train: Data, library: str, query: str) -> Model:
    """The best entry by what a linear head on it says of rows left out."""
    return Frozen(train, list(Screened(library, query, keep=1).fit(train).lookers))


KIN = "Shotgun, same quantity"
ENTRANTS: dict[str, Callable[[Data, str, str], Model]] = {
    "direct": lambda train, library, query: mf.GP().fit(train),
    "RandomForest": lambda train, library, query: RandomForest().fit(train),
    "Shotgun": lambda train, library, query: mf.Shotgun(library, query).fit(train),
    KIN: lambda train, library, query: mf.Shotgun(library, query).fit(train),
    "best single source": lambda train, library, query: Screened(library, query, keep=1).fit(train),
    "best encoder + forest": frozen,
}
"""By what they are called: (rows, library, condition) to a fitted model. The condition of `KIN` lets entries of the
target's own quantity take part, as a computed band gap is of a measured one."""
