"""Plain columns as numbers: numeric ones as they are, categorical ones one-hot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cells import find_levels, is_missing, make_problem, name_level, read_numbers
from mfmat.errors import Problem, SchemaError
from mfmat.features.featurizer import Featurizer

HINT = " (convert it with pandas.to_numeric, or declare the column in categories)"


@dataclass(frozen=True, init=False)
class Columns(Featurizer, kind="columns"):
    """Numeric columns as they are (view `numeric`) and categorical columns one-hot (view `categories`).

    A categorical column with levels l_1, ..., l_k gives k features, 1 where the cell's text is l_j and else 0.

    Args:
        names: one or several numeric columns; their units are the table's.
        categories: categorical columns; a mapping gives each one's levels, as text. Levels left open are
            read off the table that the featurizer is settled on, sorted.
        name: put before the views' names ("name.numeric"), for a schema with several `Columns`.

    Errors: SchemaError for no column or one named twice. Missing, infinite or textual cells of a numeric
    column, and missing or unknown levels of a category, are `Problem`s, and their rows NaN.

    >>> table = pd.DataFrame({"T": [300, 77], "phase": ["cubic", "hexagonal"]})
    >>> X, problems = Columns("T", categories="phase").encode(table)
    >>> X
    array([[300., 1., 0.], [ 77., 0., 1.]])
    """

    names: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    name: str

    def __init__(
        self,
        names: str | Sequence[str] = (),
        *,
        categories: str | Sequence[str] | Mapping[str, Sequence[object]] = (),
        name: str = "",
    ) -> None:
        open_ = (categories,) if isinstance(categories, str) else categories
        levels = open_ if isinstance(open_, Mapping) else dict.fromkeys(open_, ())
        object.__setattr__(self, "names", (names,) if isinstance(names, str) else tuple(names))
        object.__setattr__(self, "categories", {key: tuple(map(name_level, given)) for key, given in levels.items()})
        object.__setattr__(self, "name", name)
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise SchemaError(
                f"columns {list(self.columns)}",
                expected="one or more, each named once, as a number or as a category",
                fix="name every column once, in names or in categories",
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Numeric columns, then categorical ones."""
        return (*self.names, *self.categories)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric columns."""
        return self.names

    @property
    def views(self) -> dict[str, tuple[str, ...]]:
        """`numeric` and `categories`, whichever has features."""
        levels = tuple(f"{column}={level}" for column, known in self.categories.items() for level in known)
        prefix = f"{self.name}." if self.name else ""
        named = {"numeric": self.names, "categories": levels}
        return {prefix + view: features for view, features in named.items() if features}

    def settle(self, table: pd.DataFrame) -> Self:
        """This featurizer with the open levels read off `table`."""
        known = {column: levels or find_levels(table[column]) for column, levels in self.categories.items()}
        return replace(self, categories=known)

    def encode(self, table: pd.DataFrame) -> tuple[NDArray[np.float64], list[Problem]]:
        """Numbers (n x d) and the cells that cannot be read."""
        problems: list[Problem] = []
        blocks = []
        for column in self.names:
            numbers, bad = read_numbers(table[column], HINT)
            blocks.append(numbers[:, None])
            problems += bad
        for column, levels in self.settle(table).categories.items():
            blocks.append(_one_hot(table[column], levels, problems))
        X = np.hstack(blocks)
        X[[problem.position for problem in problems]] = np.nan
        return X, sorted(problems, key=lambda problem: problem.position)


def _one_hot(column: pd.Series, levels: tuple[str, ...], problems: list[Problem]) -> NDArray[np.float64]:
    codes = {level: code for code, level in enumerate(levels)}
    block = np.zeros((len(column), len(levels)))
    for position, cell in enumerate(column):
        if not is_missing(cell) and name_level(cell) in codes:
            block[position, codes[name_level(cell)]] = 1.0
        else:
            what = "level missing" if is_missing(cell) else f"not one of the known levels {', '.join(levels)}"
            problems.append(make_problem(column, position, what))
    return block
