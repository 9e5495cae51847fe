"""Tables, structures and splits of the folder of public data."""

from __future__ import annotations

import gzip
import io
import json
from functools import lru_cache
from typing import Any

import pandas as pd

from mfmat.csv_tables import read_csv
from mfmat.data_folder import read_bytes


def read(path: str) -> pd.DataFrame:
    """The table at `path` of the folder.

    Raises:
        DownloadError: no folder is named; a file is missing, altered, or not on the folder's list.
    """
    # From the bytes that were checked, so that nothing can change in between.
    return read_csv(io.BytesIO(gzip.decompress(read_bytes(path))))


def read_json(path: str) -> Any:
    """The JSON at `path` of the folder.

    Raises:
        DownloadError: as `read`.
    """
    return json.loads(read_bytes(path))


def read_structures(path: str) -> dict[str, str]:
    """Each structure at `path` of the folder by its id, as JSON text that `mfmat.Structure` reads.

    Raises:
        DownloadError: as `read`.
    """
    return dict(_structures(read_bytes(path)))


@lru_cache(maxsize=1)
def _structures(content: bytes) -> list[tuple[str, str]]:
    found = []
    for line in gzip.decompress(content).decode().splitlines():
        record = json.loads(line)
        found.append((record.pop("structure_id"), json.dumps(record)))
    return found
