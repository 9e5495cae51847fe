"""The table of elements: one number for each property and element, hydrogen to californium."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Every element's properties, gaps filled and marked.

    Attributes:
        symbols: element symbols in the order of the atomic number; row i holds Z = i + 1.
        properties: property names.
        matrix: elements x properties, complete, read-only; units are those of `read_sources`.
        imputed: elements x properties, true where the source has no value.
    """

    symbols: tuple[str, ...]
    properties: tuple[str, ...]
    matrix: NDArray[np.float64]
    imputed: NDArray[np.bool_]

    def column(self, name: str) -> NDArray[np.float64]:
        """One property of all elements."""
        found: NDArray[np.float64] = self.matrix[:, self.properties.index(name)]
        return found


@cache
def load_elements() -> ElementTable:
    """The element table, 98 elements by 54 properties, with every gap filled.

    A missing value is the mean over the elements of the same group (column of the periodic table)
    that have one; where the whole group has none, it is the median over all elements.

    The 22 properties of Magpie's preset keep Magpie's names (Ward et al., npj Comput. Mater. 2, 16028
    (2016), doi:10.1038/npjcompumats.2016.28); `read_sources` names the source of each property.

    >>> table = load_elements()
    >>> len(table.symbols), len(table.properties)
    (98, 54)
    >>> float(table.column("Electronegativity")[table.symbols.index("O")])
    3.44
    """
    # Only an empty cell is a gap: the symbol of sodium must not be taken for one.
    given = pd.read_csv(_FOLDER / "elements.csv", index_col="symbol", keep_default_na=False, na_values=[""])
    given = given.astype(float)
    filled = given.fillna(given.groupby("Column").transform("mean")).fillna(given.median())
    matrix, imputed = filled.to_numpy(copy=True), given.isna().to_numpy(copy=True)
    matrix.setflags(write=False)
    imputed.setflags(write=False)
    return ElementTable(tuple(map(str, given.index)), tuple(map(str, given.columns)), matrix, imputed)


def read_sources() -> pd.DataFrame:
    """Unit, meaning, source and DOI of every property of the element table, by its name.

    >>> read_sources().loc["GSbandgap", "unit"]
    'eV'
    """
    return pd.read_csv(_FOLDER / "element_properties.csv", index_col="name", keep_default_na=False)
