"""The contract of networks over crystals whose inner layers become features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mfmat.errors import UnknownNameError, nearest
from mfmat.features.crystals import Crystal
from mfmat.values import Value

Arrays = dict[str, NDArray[np.float64]]
"""One crystal's features by level: n_atoms x d, or d where the level is of the crystal."""
DECIMALS = 6
"""Of every feature: more than anybody needs, and fewer than the order of a sum can change."""


@dataclass(frozen=True)
class Level:
    """What one step of a hierarchy gives.

    Attributes:
        features: their names, in order.
        of: one row of them for each `"atom"`, or one for the `"crystal"`.
    """

    features: tuple[str, ...]
    of: Literal["atom", "crystal"] = "crystal"


class RefusedError(ValueError):
    """A crystal that a backbone cannot take; the message says why."""


class Backbone(Value, ABC):
    """A frozen value that turns a crystal into features, level by level: another network is one file.

    Three promises that everything above relies on: a crystal's features depend on that crystal alone, whatever is
    beside it; `version` changes whenever they would; and what cannot be computed is refused with a reason, never made
    up.

    Attributes:
        name: in the names of views and files.
        usual: the levels that serve most purposes.

    >>> from mfmat.features import Geometry
    >>> iron = Crystal.of([[-1.43, 1.43, 1.43], [1.43, -1.43, 1.43], [1.43, 1.43, -1.43]], [26], [[0, 0, 0]])
    >>> (found,) = Geometry().run([iron])
    >>> found["geometry"].shape == (len(Geometry().levels["geometry"].features),)
    True
    """

    name: ClassVar[str]
    usual: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def levels(self) -> Mapping[str, Level]:
        """Every level by name, from the elements to the predictions; known without the weights."""

    @property
    @abstractmethod
    def version(self) -> str:
        """What the features depend on beside the crystal: the weights, and how they are used."""

    @abstractmethod
    def compute(self, crystal: Crystal, levels: Sequence[str]) -> Arrays:
        """The features of one crystal at these levels.

        Raises:
            RefusedError: the crystal is beyond this backbone.
        """

    def run(self, crystals: Sequence[Crystal], levels: Sequence[str] = ()) -> list[Arrays | RefusedError]:
        """The features of each crystal at these levels (all, unless named), rounded; or why it is refused.

        Raises:
            UnknownNameError: a level that is not there.
        """
        return [self._try(crystal, levels or tuple(self.levels)) for crystal in crystals]

    def find_levels(self, names: Sequence[str]) -> tuple[str, ...]:
        """The levels of these names; where there are several networks, "hidden" stands for the one of each.

        Raises:
            UnknownNameError: a level that is not there.
        """
        found: list[str] = []
        for name in names:
            fitting = [level for level in self.levels if level == name or level.endswith(f".{name}")]
            if not fitting:
                ends = dict.fromkeys(level.rpartition(".")[2] for level in self.levels)
                raise UnknownNameError(
                    f"level {name!r} of {self.name}",
                    expected=f"one of {', '.join(map(repr, ends))}",
                    fix=nearest(name, ends) + f"level={self.usual!r}",
                )
            found += fitting
        return tuple(dict.fromkeys(found))

    def _try(self, crystal: Crystal, levels: Sequence[str]) -> Arrays | RefusedError:
        try:
            found = self.compute(crystal, levels)
        except RefusedError as reason:
            return reason
        if bad := [level for level in levels if not np.isfinite(found[level]).all()]:
            return RefusedError(f"{self.name} gives numbers that are not finite at {bad[0]}; do atoms overlap?")
        return {level: np.round(found[level], DECIMALS) + 0.0 for level in levels}
