"""What backbones have worked out, kept on disk by crystal and level."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np

from mfmat.cache_folder import cache
from mfmat.errors import MfmatError, MfmatWarning, warn
from mfmat.features.backbones.backbone import Arrays, Backbone, RefusedError
from mfmat.features.crystals import Crystal
from mfmat.progress import track

AT_ONCE = 32
"""Crystals between two writes: what a stopped process loses at most."""
_TABLE = """CREATE TABLE IF NOT EXISTS features
    (crystal TEXT, level TEXT, numbers BLOB NOT NULL, PRIMARY KEY (crystal, level)) WITHOUT ROWID"""
_ASKED_AT_ONCE = 500
_WAIT = 30.0


class CacheWarning(MfmatWarning):
    """Features could not be kept on disk: they are right, and will be worked out again next time."""


def recall(backbone: Backbone, crystals: Sequence[Crystal], levels: Sequence[str]) -> list[Arrays | RefusedError]:
    """What `backbone.run` gives, each crystal worked out only once on this machine.

    A file for each backbone and version stands in the folder `crystals` of the cache (MFMAT_CACHE, else the user's);
    every `AT_ONCE` crystals are written as one transaction, so that stopped work goes on where it was.

    Warns:
        CacheWarning: the file cannot be read or written.
    """
    try:
        with _open(backbone) as kept:
            found = _read(kept, backbone, crystals, levels)
            missing = [c for c in crystals if set(levels) - set(found.get(c.identity, ()))]
            done = dict(_compute(kept, backbone, missing, levels))
    except MfmatError:
        raise  # of the backbone, and no fault of the file
    except (OSError, sqlite3.Error) as error:
        warn(
            CacheWarning,
            f"a cache of features that cannot be used ({error})",
            expected=f"a file in {cache()} to read and write",
            fix="name another folder in the environment variable MFMAT_CACHE",
        )
        return backbone.run(crystals, levels)
    return [done.get(c.identity) or {level: found[c.identity][level] for level in levels} for c in crystals]


def _compute(
    kept: sqlite3.Connection, backbone: Backbone, crystals: Sequence[Crystal], levels: Sequence[str]
) -> Iterator[tuple[str, Arrays | RefusedError]]:
    for batch in track(_batches(crystals, AT_ONCE), f"{backbone.name}: {len(crystals)} crystals"):
        answers = dict(zip([c.identity for c in batch], backbone.run(batch, levels), strict=True))
        with kept:
            for identity, arrays in answers.items():
                if not isinstance(arrays, RefusedError):
                    rows = [(identity, level, arrays[level].astype("<f8").tobytes()) for level in levels]
                    kept.executemany("INSERT OR IGNORE INTO features VALUES (?, ?, ?)", rows)
        yield from answers.items()


def _read(
    kept: sqlite3.Connection, backbone: Backbone, crystals: Sequence[Crystal], levels: Sequence[str]
) -> dict[str, Arrays]:
    found: dict[str, Arrays] = {}
    wanted = {level: backbone.levels[level] for level in levels}
    for batch in _batches(crystals, _ASKED_AT_ONCE):
        marks = ", ".join("?" * len(batch))
        query = f"SELECT crystal, level, numbers FROM features WHERE crystal IN ({marks})"
        for identity, level, numbers in kept.execute(query, [crystal.identity for crystal in batch]):
            if level in wanted:
                array = np.frombuffer(numbers, dtype="<f8").astype(np.float64)
                shape = (-1, len(wanted[level].features)) if wanted[level].of == "atom" else (-1,)
                found.setdefault(identity, {})[level] = array.reshape(shape)
    return found


def _batches(crystals: Sequence[Crystal], size: int) -> list[Sequence[Crystal]]:
    return [crystals[start : start + size] for start in range(0, len(crystals), size)]


@contextmanager
def _open(backbone: Backbone) -> Iterator[sqlite3.Connection]:
    folder = cache() / "crystals"
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]", "_", f"{backbone.name}-{backbone.version}")
    with closing(sqlite3.connect(folder / f"{name}.db", timeout=_WAIT)) as kept:
        kept.execute(_TABLE)
        yield kept
