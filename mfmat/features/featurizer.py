"""The contract of every featurizer: columns of a table become numbers, in named blocks called views."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import Problem, SchemaError
from mfmat.small_sets import SetColumns
from mfmat.values import Value


class Featurizer(Value, ABC):
    """A frozen value that turns the columns it names into numbers.

    Two promises that everything above relies on: a row's numbers depend on that row alone, to the
    bit (a material is recognised by them), and nothing raises for a bad cell (it is returned as a
    `Problem` and its row holds NaN).
    """

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The table's columns that are read."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those of `columns` whose cells must be numbers."""
        return ()

    @property
    @abstractmethod
    def views(self) -> dict[str, tuple[str, ...]]:
        """Each view's name and the names of its features, in the order of `encode`'s columns."""

    @property
    def kernels(self) -> dict[str, str]:
        """The family of kernels that suits a view, by its name; most leave that to the learner.

        See `mfmat.kernel_families`.
        """
        return {}

    @property
    def features(self) -> list[str]:
        """The names of all features, view after view."""
        return [name for features in self.views.values() for name in features]

    def reads(self, table: pd.DataFrame) -> bool:
        """Whether a table has all `columns`."""
        return all(column in table.columns for column in self.columns)

    @abstractmethod
    def encode(self, table: pd.DataFrame) -> tuple[NDArray[np.float64], list[Problem]]:
        """Numbers (n x d, views side by side) and what could not be read; all `columns` are present."""

    @property
    def sets(self) -> Mapping[str, SetColumns]:
        """The small set that a view also is, by the view's name: where it stands among the columns of `encode_sets`."""
        return {}

    def encode_sets(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """The columns of all sets (n x d), whatever they are where `encode` names a problem."""
        return np.zeros((len(table), 0))

    def settle(self, table: pd.DataFrame) -> Self:
        """This featurizer with whatever it leaves open (the levels of a category) read off `table`."""
        return self

    def groups(self, table: pd.DataFrame) -> NDArray[np.object_] | None:
        """Each row's compound (a reduced formula), for splits that never divide it; None where there is none."""
        return None

    def families(self, table: pd.DataFrame) -> NDArray[np.object_] | None:
        """Each row's family of compounds, coarse enough to compare; None where the columns tell of none."""
        return None


class Places(NamedTuple):
    """Where everything stands among the columns of X: views side by side, then the sets that some of them also are."""

    views: dict[str, slice]
    sets: dict[str, SetColumns]
    width: int


def find_places(featurizers: Sequence[Featurizer]) -> Places:
    """Where the views and sets of these featurizers stand."""
    end, views, sets = 0, {}, {}
    for each in featurizers:
        for name, features in each.views.items():
            views[name] = slice(end, end := end + len(features))
    for each in featurizers:
        for name, (weights, members) in each.sets.items():
            sets[name] = SetColumns(_move(weights, end), _move(members, end))
        end = max([end, *(found.members.stop for found in sets.values())])
    return Places(views, sets, end)


def encode_all(featurizers: Sequence[Featurizer], table: pd.DataFrame) -> tuple[NDArray[np.float64], list[Problem]]:
    """What all of these featurizers read off a table, where `find_places` says, and what could not be read."""
    encoded = [each.encode(table) for each in featurizers]
    blocks = [block for block, _ in encoded] + [each.encode_sets(table) for each in featurizers]
    return np.concatenate(blocks, axis=1), [problem for _, problems in encoded for problem in problems]


def _move(columns: slice, by: int) -> slice:
    return slice(columns.start + by, columns.stop + by)


def read_blocks(blocks: str | Sequence[str], known: Iterable[str], usual: Sequence[str]) -> tuple[str, ...]:
    """The blocks that a featurizer is asked for, by name, one name as well as several.

    Raises:
        SchemaError: none, one that is not known, or one twice.
    """
    names = (blocks,) if isinstance(blocks, str) else tuple(blocks)
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        raise SchemaError(
            f"blocks={blocks!r}",
            expected=f"some of {', '.join(known)}",
            fix=f"leave blocks out to have {' and '.join(usual)}",
        )
    return names


def check_distinct(names: Sequence[str], what: str) -> None:
    """Nothing, for names that are all different.

    Raises:
        SchemaError: one is there twice.
    """
    if twice := {name for name in names if names.count(name) > 1}:
        raise SchemaError(
            f"two {what} {min(twice)!r}",
            expected="different names",
            fix="give each featurizer its own columns or its own name",
        )


def columns_of(featurizers: Iterable[Featurizer]) -> list[str]:
    """The columns that featurizers read, each once, as several of them may read one."""
    return list(dict.fromkeys(column for featurizer in featurizers for column in featurizer.columns))
