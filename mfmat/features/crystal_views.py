"""What every featurizer of crystals does: it asks backbones, and makes one view of each level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cells import make_problem
from mfmat.errors import Problem, SchemaError
from mfmat.features.backbones import Backbone, Level, RefusedError, recall
from mfmat.features.backbones.backbone import Arrays
from mfmat.features.composition import Composition
from mfmat.features.crystal_sets import average, find_members, gather, lay_out
from mfmat.features.crystals import Crystal, CrystalReading, read_crystals
from mfmat.features.families import family
from mfmat.features.featurizer import Featurizer
from mfmat.features.formulas import write_formula
from mfmat.small_sets import SetColumns

Numbers = NDArray[np.float64]
MOMENTS: dict[str, Callable[..., Numbers]] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}
"""What a set of atoms becomes, whatever their number and order; each atom counts once."""
SET = "set"
"""Beside moments: the atoms of each element, averaged, as a small set."""


@dataclass(frozen=True)
class CrystalViews(Featurizer, ABC):
    """The contract of featurizers with one view for each level of one or more backbones.

    Args:
        column: the table's column of crystals.
        moments: what the atoms of a level become: some of `mean`, `std`, `min` and `max`, and beside them `set`.
        fallback: `"composition"`: a crystal that a backbone refuses is known by its composition.
        typical: by view, what stands for a refused crystal there; read off the table unless given.
    """

    column: str
    moments: tuple[str, ...] = field(default=("mean", "std"), kw_only=True)
    fallback: Literal["composition"] | None = field(default=None, kw_only=True)
    typical: Mapping[str, tuple[float, ...]] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        moments = (self.moments,) if isinstance(self.moments, str) else tuple(self.moments)
        if not set(moments) - {SET} or len(set(moments)) < len(moments) or not set(moments) <= {*MOMENTS, SET}:
            raise SchemaError(
                f"moments={self.moments!r}",
                expected=f"some of {', '.join(MOMENTS)}, and {SET!r} beside them where a learner takes sets",
                fix='moments=("mean", "std"), or ("mean", "std", "set")',
            )
        if SET in moments and self.fallback and "mean" not in moments:
            raise SchemaError(
                f"moments={self.moments!r} with a fallback",
                expected="'mean' among them: it is the set of a refused crystal",
                fix='moments=("mean", "std", "set")',
            )
        if self.fallback not in (None, "composition"):
            raise SchemaError(
                f"fallback={self.fallback!r}", expected='None or "composition"', fix='fallback="composition"'
            )
        object.__setattr__(self, "moments", moments)
        object.__setattr__(self, "typical", {view: tuple(row) for view, row in self.typical.items()})

    @property
    @abstractmethod
    def plan(self) -> tuple[tuple[Backbone, tuple[str, ...]], ...]:
        """Each backbone, and the levels that are asked of it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def views(self) -> dict[str, tuple[str, ...]]:
        """One view a level, named after the column, the backbone and the level; then those of a fallback."""
        return self._own | (self._of_fallback if self.fallback else {})

    @property
    def kernels(self) -> dict[str, str]:
        """A linear term beside the learner's own for predictions: many a property is another, shifted and scaled."""
        return {view: " + linear" for view in self._own if view.endswith(".predictions")}

    def encode(self, table: pd.DataFrame) -> tuple[Numbers, list[Problem]]:
        """Numbers (n x d, one view after the other), and the crystals that cannot be read or are refused."""
        if self.fallback and not self.typical:
            return self.settle(table).encode(table)
        column = table[self.column]
        reading = read_crystals(column)
        block, refused = self._run(reading.crystals)
        if not self.fallback:
            hit = [i for i, code in enumerate(reading.codes) if code in refused]
            said = [make_problem(column, i, f"refused: {refused[reading.codes[i]]}") for i in hit]
            block[list(refused)] = np.nan
            return _spread(block, reading), sorted(reading.problems + said, key=lambda problem: problem.position)
        block = np.where(np.isnan(block), np.concatenate([self.typical[view] for view in self._own]), block)
        flags = np.zeros((len(block), 1))
        flags[list(refused)] = 1.0
        known, _ = Composition(self.column).encode(table)
        return np.hstack([_spread(block, reading), known, _spread(flags, reading)]), reading.problems

    @property
    def sets(self) -> dict[str, SetColumns]:
        """Where `set` is among the moments, each level of atoms: the shares of the elements, the mean atom of each."""
        return lay_out(self._widths) if SET in self.moments else {}

    def encode_sets(self, table: pd.DataFrame) -> Numbers:
        """See `Featurizer.encode_sets`; with a fallback, a refused crystal is a single member, the mean atom."""
        if not (sets := self.sets):
            return super().encode_sets(table)
        if self.fallback and not self.typical:
            return self.settle(table).encode_sets(table)
        reading = read_crystals(table[self.column])
        block = np.full((len(reading.crystals), max(found.members.stop for found in sets.values())), np.nan)
        if self.fallback:
            place = self._plain.index("mean")
            typical = {view: np.array(self.typical[view]).reshape(len(self._plain), -1) for view in self._widths}
            block[:] = average([moments[place] for moments in typical.values()])
        for i, atoms in enumerate(self._recall_atoms(reading.crystals)):
            # What is refused, `encode` says.
            with suppress(RefusedError):
                block[i] = block[i] if atoms is None else gather(reading.crystals[i].numbers, atoms)
        return _spread(block, reading)

    def settle(self, table: pd.DataFrame) -> Self:
        """With a fallback, this featurizer with the mean of each feature over the crystals that are not refused."""
        if not self.fallback or self.typical:
            return self
        block, _ = self._run(read_crystals(table[self.column]).crystals)
        # Where all are refused nothing is typical, and 0 as good as any number.
        row = np.nansum(block, axis=0) / np.maximum((~np.isnan(block)).sum(axis=0), 1)
        ends = np.cumsum([len(features) for features in self._own.values()])
        parts = np.split(row, ends[:-1])
        return replace(self, typical={view: part.tolist() for view, part in zip(self._own, parts, strict=True)})

    def groups(self, table: pd.DataFrame) -> NDArray[np.object_]:
        """Each row's reduced formula, None where there is none."""
        reading = read_crystals(table[self.column])
        return _named([write_formula(crystal.formula) for crystal in reading.crystals], reading)

    def families(self, table: pd.DataFrame) -> NDArray[np.object_]:
        """Each row's family by its anion, None where there is none."""
        reading = read_crystals(table[self.column])
        return _named([family(crystal.formula) for crystal in reading.crystals], reading)

    @property
    def _of_fallback(self) -> dict[str, tuple[str, ...]]:
        """The composition and the flag, under the name of the backbone, as other featurizers may have theirs."""
        name = f"{self.column}.{self.plan[0][0].name}"
        known = Composition(self.column).views.items()
        blocks = {name + view.removeprefix(self.column): features for view, features in known}
        return blocks | {f"{name}.refused": ("refused",)}

    @property
    def _plain(self) -> tuple[str, ...]:
        """The moments proper."""
        return tuple(moment for moment in self.moments if moment != SET)

    @property
    def _levels(self) -> dict[str, Level]:
        """Every level by the name of its view."""
        return {
            ".".join(dict.fromkeys((self.column, backbone.name, name))): backbone.levels[name]
            for backbone, levels in self.plan
            for name in levels
        }

    @property
    def _widths(self) -> dict[str, int]:
        """The number of features of each level of atoms."""
        return {view: len(level.features) for view, level in self._levels.items() if level.of == "atom"}

    @property
    def _own(self) -> dict[str, tuple[str, ...]]:
        return {
            view: tuple(f"{moment} {feature}" for moment in self._plain for feature in level.features)
            if level.of == "atom"
            else level.features
            for view, level in self._levels.items()
        }

    def _run(self, crystals: Sequence[Crystal]) -> tuple[Numbers, dict[int, RefusedError]]:
        """Each crystal's features, NaN where a backbone refuses it, and the reasons."""
        blocks, refused = [], {}
        for backbone, levels in self.plan:
            known = [backbone.levels[level] for level in levels]
            width = sum(len(each.features) * (len(self._plain) if each.of == "atom" else 1) for each in known)
            block = np.full((len(crystals), width), np.nan)
            for i, said in enumerate(recall(backbone, crystals, levels)):
                if isinstance(said, RefusedError):
                    refused[i] = said
                else:
                    block[i] = np.concatenate([self._flatten(said[level]) for level in levels])
            blocks.append(block)
        for i, crystal in enumerate(crystals if self.sets else ()):
            try:
                find_members(crystal.numbers)
            except RefusedError as reason:
                refused.setdefault(i, reason)
        return np.hstack(blocks), refused

    def _recall_atoms(self, crystals: Sequence[Crystal]) -> Iterator[list[Numbers] | None]:
        """Each crystal's atoms at every level of atoms; None where a backbone refuses it."""
        said = []
        for backbone, levels in self.plan:
            if of_atoms := [level for level in levels if backbone.levels[level].of == "atom"]:
                said.append([_in_order(found, of_atoms) for found in recall(backbone, crystals, of_atoms)])
        for parts in zip(*said, strict=True):
            found = [part for part in parts if part is not None]
            yield [atoms for part in found for atoms in part] if len(found) == len(parts) else None

    def _check_sets(self) -> None:
        """Nothing, where the sets that are asked for have atoms to be made of."""
        if SET in self.moments and not self._widths:
            raise SchemaError(
                f"{SET!r} among the moments, and no level of atoms ({', '.join(self._levels)})",
                expected="a level with features for each atom",
                fix='Structure("structure", level=("V3",), moments=("mean", "std", "set"))',
            )

    def _flatten(self, array: Numbers) -> Numbers:
        if array.ndim == 1:
            return array
        return np.concatenate([MOMENTS[moment](array, axis=0) for moment in self._plain])


def _in_order(found: Arrays | RefusedError, levels: Sequence[str]) -> list[Numbers] | None:
    return None if isinstance(found, RefusedError) else [found[level] for level in levels]


def _spread(block: Numbers, reading: CrystalReading) -> Numbers:
    """Each row's features, NaN where its cell cannot be read."""
    empty = np.full((1, block.shape[1]), np.nan)
    found: Numbers = np.vstack([block, empty])[reading.codes]
    return found


def _named(names: Sequence[str], reading: CrystalReading) -> NDArray[np.object_]:
    found: NDArray[np.object_] = np.array([*names, None], dtype=object)[reading.codes]
    return found
