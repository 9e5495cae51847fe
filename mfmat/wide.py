"""Wide tables, one column for each source, and the long tables that everything else reads."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mfmat.cells import is_missing
from mfmat.errors import TableError, nearest


def lengthen(table: pd.DataFrame, sources: Sequence[str], value: str, source: str) -> pd.DataFrame:
    """One row for each value, with its column's name as the source.

    Args:
        table: n rows; a cell of a source that is missing was not measured.
        sources: the columns that hold values.
        value: the new column of values.
        source: the new column of the sources' names, also the last level of the new index.

    Raises:
        TableError: a source that is no column, or a new column that the table has already.

    >>> wide = pd.DataFrame({"formula": ["Si", "Ge"], "pbe": [0.6, 0.1], "exp": [1.1, None]})
    >>> lengthen(wide, ["pbe", "exp"], "gap", "method")["gap"].tolist()
    [0.6, 0.1, 1.1]
    """
    for name in sources:
        if name not in table.columns:
            raise TableError(
                f"a wide table without the column {name!r} (it has {', '.join(map(repr, table.columns))})",
                expected=f"the columns {', '.join(map(repr, sources))}",
                fix=nearest(name, table.columns) + "name the columns of values in costs",
            )
    for name in (value, source):
        if name in table.columns:
            raise TableError(
                f"a wide table that has a column {name!r} already",
                expected="another name for the new column",
                fix='Schema.from_wide(..., value="value", source="source") with names that are free',
            )
    shared = table.drop(columns=list(sources))
    parts = []
    for name in sources:
        measured = ~table[name].map(is_missing).astype(bool)
        parts.append(shared[measured].assign(**{source: name}).assign(**{value: table.loc[measured, name]}))
    # The name of the source in the index tells an error in one cell of a row from one in another.
    index = pd.MultiIndex.from_tuples(
        [(row, name) for name, part in zip(sources, parts, strict=True) for row in part.index]
    )
    return pd.concat(parts).set_axis(index)
