"""Tables by name or by URL."""

from __future__ import annotations

from importlib import resources

import pandas as pd

from mfmat.datasets import folder
from mfmat.datasets.download import fetch
from mfmat.datasets.entry import Entry, read_csv
from mfmat.datasets.fidelities import FIDELITIES
from mfmat.datasets.pools import POOLS
from mfmat.datasets.semiconductor_gaps import ENTRY as SEMICONDUCTOR_GAPS
from mfmat.datasets.tasks import EXPERIMENTS, TASKS
from mfmat.errors import SchemaError, UnknownNameError, nearest
from mfmat.schema import Schema

EMBEDDED = {"semiconductor-gaps": SEMICONDUCTOR_GAPS}
OF_FOLDER = FIDELITIES | EXPERIMENTS | TASKS | POOLS


def load(name: str, *, sha256: str | None = None, schema: Schema | None = None) -> tuple[pd.DataFrame, Schema]:
    """A public table and what its columns mean.

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
    return entry.table(_embedded if name in EMBEDDED else folder.read), entry.schema


def names() -> list[str]:
    """The names that `load` takes here: the embedded ones and, where MFMAT_DATA is set, those of its folder.

    >>> "semiconductor-gaps" in names()
    True
    """
    return [*EMBEDDED, *(sorted(OF_FOLDER) if folder.is_set() else ())]


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
