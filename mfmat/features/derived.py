"""One feature that is worked out from those of another featurizer."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

from mfmat.features.featurizer import Featurizer


@dataclass(frozen=True)
class Derived(Featurizer, ABC):
    """The contract of featurizers with one view of one feature, both called `feature`, that read what `inputs` reads.

    Args:
        inputs: the featurizer whose features it is worked out from.
    """

    feature: ClassVar[str]
    inputs: Featurizer

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the inputs."""
        return self.inputs.columns

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those of the inputs."""
        return self.inputs.numbers

    @property
    def views(self) -> dict[str, tuple[str, ...]]:
        """One view of one feature."""
        return {self.feature: (self.feature,)}
