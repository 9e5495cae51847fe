"""What is known of a table that has a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mfmat.schema import Schema

Reader = Callable[[str], pd.DataFrame]


@dataclass(frozen=True)
class Entry:
    """Where a table stands, what its columns mean, and whom to cite.

    Attributes:
        path: of its file, from the folder that holds it.
        schema: what its columns mean; rows of sources that it does not price are left out.
        citation: the work the values come from, with its DOI where it has one.
        where: a column and the text that the rows to keep hold there.
        features: path of a second file whose columns are joined to the rows by `id`; "" for none.
        structures: path of a file of crystals, which the column `structure` gets by `structure_id`; "" for none.
        splits: the name of the table in its published splits, then the path of each; () for none.
        prepare: the last step, for what the file lacks or spells otherwise.
    """

    path: str
    schema: Schema
    citation: str
    where: tuple[str, str] | None = None
    features: str = ""
    structures: str = ""
    splits: tuple[str, ...] = ()
    prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = None

    def table(self, read: Reader) -> pd.DataFrame:
        """The rows to keep, numbered from 0; `read` turns a path into the file's table."""
        table = read(self.path)
        if self.where is not None:
            column, kept = self.where
            table = table[table[column] == kept]
        if self.features:
            table = table.merge(read(self.features), on="id", how="inner", validate="many_to_one")
        if self.prepare is not None:
            table = self.prepare(table)
        if self.schema.source is not None:
            table = table[table[self.schema.source].isin(list(self.schema.costs or ()))]
        return table.dropna(subset=[self.schema.value]).reset_index(drop=True)
