"""Tables by name or by URL."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.csv_tables import read_csv
from mfmat.data_folder import is_set
from mfmat.datasets import folder
from mfmat.datasets.download import fetch
from mfmat.datasets.entry import Entry
from mfmat.datasets.fidelities import FIDELITIES
from mfmat.datasets.pools import POOLS
from mfmat.datasets.semiconductor_gaps import ENTRY as SEMICONDUCTOR_GAPS
from mfmat.datasets.tasks import EXPERIMENTS, TASKS
from mfmat.errors import SchemaError, UnknownNameError, nearest
from mfmat.schema import Schema

EMBEDDED = {"semiconductor-gaps": SEMICONDUCTOR_GAPS}
_PARTS = ("train", "val", "test")
OF_FOLDER = FIDELITIES | EXPERIMENTS | TASKS | POOLS


@dataclass(frozen=True, eq=False)
class Split:
    """A published division of a table's rows.

    Attributes:
        train: positions (for `table.iloc`) of the rows to learn from.
        validation: of the rows to choose with.
        test: of the rows to judge by.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def load(name: str, *, sha256: str | None = None, schema: Schema | None = None) -> tuple[pd.DataFrame, Schema]:
    """A public table and what its columns mean; crystals are JSON text in the column `structure`.

    Args:
        name: one of `names()`, or the URL of a CSV file (plain, .gz, .bz2, .xz or .zip).
        sha256: with a URL only, the SHA-256 of the file; see `fetch`.
        schema: with a URL only, what the columns mean.

    Raises:
        UnknownNameError: a name that no table has.
        SchemaError: a URL without `sha256` and `schema`, or a name with one of them.
        DownloadError: a file that is missing, altered or could not be fetched; no folder is named by MFMAT_DATA.

    >>> table, schema = load("semiconductor-gaps")
    >>> len(table), schema.sources
    (494, ('pbe', 'mbj', 'hse06', 'exp'))
    """
    if "://" in name:
        return _at(name, sha256, schema)
    if sha256 is not None or schema is not None:
        raise SchemaError(
            f"load({name!r}) with a checksum or a schema",
            expected="those with a URL; a table that has a name has its own",
            fix="load by name alone, and change the schema with dataclasses.replace",
        )
    entry = _entry(name)
    table = entry.table(_embedded if name in EMBEDDED else folder.read)
    if entry.structures:
        table["structure"] = table["structure_id"].map(folder.read_structures(entry.structures))
    return table, entry.schema


def splits(name: str) -> tuple[Split, ...]:
    """The published splits of a table, in the order of their seeds.

    Args:
        name: of the table, such as `"moe/mp_poisson_ratio"`.

    Raises:
        UnknownNameError: a name that no table has, or a table without published splits.
        DownloadError: a file that is missing or altered; no folder is named by MFMAT_DATA.
    """
    entry = _entry(name)
    if not entry.splits:
        raise UnknownNameError(
            f"splits of the dataset {name!r}",
            expected="a table with published splits, such as 'moe/mp_poisson_ratio'",
            fix="split by compounds yourself: mfmat.cross_validate does",
        )
    task, *paths = entry.splits
    table = entry.table(folder.read)
    place = dict(zip(table["row"], range(len(table)), strict=True))
    parts = [folder.read_json(path)[task] for path in paths]
    return tuple(Split(*(np.array([place[row] for row in part[key]]) for key in _PARTS)) for part in parts)


def names() -> list[str]:
    """The names that `load` takes here: the embedded ones and, where MFMAT_DATA is set, those of its folder.

    >>> "semiconductor-gaps" in names()
    True
    """
    return [*EMBEDDED, *(sorted(OF_FOLDER) if is_set() else ())]


def cite(name: str) -> str:
    """The work that a table's values come from.

    Raises:
        UnknownNameError: a name that no table has.

    >>> cite("hoip-perovskites")
    'Kim et al., Sci. Data 4, 170057 (2017), doi:10.1038/sdata.2017.57'
    """
    return _entry(name).citation


def _entry(name: str) -> Entry:
    known = EMBEDDED | OF_FOLDER
    if name not in known:
        raise UnknownNameError(
            f"dataset {name!r}",
            expected="a name of mfmat.datasets.names() or a URL",
            fix=nearest(name, known) + "print(mfmat.datasets.names()) lists them",
        )
    return known[name]


def _embedded(path: str) -> pd.DataFrame:
    with (resources.files("mfmat.datasets") / path).open("rb") as file:
        return read_csv(file)


def _at(url: str, sha256: str | None, schema: Schema | None) -> tuple[pd.DataFrame, Schema]:
    if sha256 is None or schema is None:
        raise SchemaError(
            f"a URL without {'sha256' if sha256 is None else 'schema'}",
            expected="the checksum of the file and what its columns mean",
            fix='load("https://.../gaps.csv.gz", sha256="...", schema=schema)',
        )
    return read_csv(fetch(url, sha256=sha256)), schema
