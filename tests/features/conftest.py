"""A backbone without weights, for what every backbone goes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from mfmat.features.backbones import Backbone, Level, RefusedError
from mfmat.features.crystals import Crystal


@dataclass(frozen=True)
class Counting(Backbone, kind="counting-backbone"):
    """A backbone that notes what it was asked, and refuses helium."""

    asked: ClassVar[list[str]] = []
    weights: str = "1"
    name = "counting"
    usual = ("atoms", "sizes")

    @property
    def levels(self):
        return {"atoms": Level(("Z", "row"), "atom"), "sizes": Level(("n", "volume"))}

    @property
    def version(self):
        return self.weights

    def compute(self, crystal: Crystal, levels: Sequence[str]):
        self.asked.append(crystal.identity)
        if 2 in crystal.numbers:
            raise RefusedError("helium")
        atoms = np.column_stack([crystal.numbers, np.arange(len(crystal.numbers))]) / 3.0
        return {"atoms": atoms, "sizes": np.array([len(crystal.numbers), crystal.volume])}


@pytest.fixture
def counting() -> type[Backbone]:
    """The backbone, which has been asked nothing yet."""
    Counting.asked.clear()
    return Counting
