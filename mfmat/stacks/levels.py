"""What stacks of levels, one for each source in order of trust, have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import UnknownNameError
from mfmat.learner import FittedModel, Learner
from mfmat.types import Codes


class MeasuredLevel:
    """One source's level, which knows what was measured there: `keys` (sorted) of materials, and `values` theirs."""

    keys: Codes
    values: Tensor

    def measured(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Which of these materials were measured here, and their values (0 elsewhere)."""
        if not len(self.keys):
            return torch.zeros_like(keys, dtype=torch.bool), torch.zeros_like(keys, dtype=torch.double)
        at = torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)
        found = self.keys[at] == keys
        return found, torch.where(found, self.values[at], 0.0)


class LevelledLearner(Learner):
    """A stack of levels; a concrete class says how those below the target are fitted, and how the target's is."""

    leave_out: tuple[str, ...]

    @abstractmethod
    def _lower(self, data: Data) -> list[Any]:
        """The levels of all sources but the target."""

    @abstractmethod
    def _top(self, data: Data, lower: list[Any]) -> FittedModel:
        """The model whose last level is fitted to the target's rows in these data."""

    def fit(self, data: Data) -> FittedModel:
        """The model of these data."""
        return self.cross_fit(data, [torch.zeros(0, dtype=torch.long)])[0]

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """One model for each fold of target rows; the levels below, which no fold touches, are fitted once."""
        if any(bool((data.fidelity[fold] < data.target).any()) for fold in folds):
            return super().cross_fit(data, folds, executor)
        top = partial(self._top, lower=self._lower(data))
        parts = [data.without(fold) for fold in folds]
        return list(executor.map(top, parts)) if executor else [top(part) for part in parts]

    def _check_left_out(self, data: Data) -> None:
        if unknown := set(self.leave_out) - set(data.sources[:-1]):
            raise UnknownNameError(
                f"leave_out={min(unknown)!r}",
                expected=f"some of {', '.join(map(repr, data.sources[:-1]))}",
                fix="name a source that is not the target",
            )
