"""The contract of every acquisition: what one observation is worth for the target."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from mfmat.prospects import Prospects
from mfmat.values import Value


class Acquisition(Value, ABC):
    """A question about the target, asked of every (candidate, source) pair of a pool."""

    @property
    def context(self) -> int | None:
        """Candidates that must be at hand beside the one asked: a sample of so many, or all of the pool (None)."""
        return None

    @property
    def remembers(self) -> bool:
        """Whether it looks at the rows measured in the target (`Prospects.known`), not at their best value alone."""
        return False

    @property
    def several(self) -> bool:
        """Whether it is about several values of one measurement (`Prospects.objectives`)."""
        return False

    @abstractmethod
    def log_utility(self, prospects: Prospects) -> Tensor:
        """Logarithm of the utility of measuring each pair (n x m), minus infinity where it tells nothing.

        Args:
            prospects: what is believed of the pool, with all that is asked and not yet told.
        """

    @abstractmethod
    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """What that utility says, in words."""
