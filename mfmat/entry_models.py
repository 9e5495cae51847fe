"""What a library's entries hold, read once and kept in memory."""

from __future__ import annotations

from functools import lru_cache

from mfmat.errors import SavedFileError, SchemaError
from mfmat.library import Library
from mfmat.packing import unpack
from mfmat.surrogate import Surrogate

KEPT = 2048
"""Entries that stay in memory, of all libraries together."""


@lru_cache(maxsize=16)
def open_library(root: str) -> Library:
    """The library in that folder or behind that URL."""
    return Library(root)


def locate(address: str) -> tuple[str, str]:
    """Library and name of an entry.

    Raises:
        SchemaError: no address of an entry.

    >>> locate("https://host/models#band-gap")
    ('https://host/models', 'band-gap')
    """
    root, _, name = address.rpartition("#")
    if not root or not name:
        raise SchemaError(
            f"the entry {address!r}", expected="a library, #, and a name", fix='library.address("band-gap")'
        )
    return root, name


def find_digest(address: str) -> str:
    """The SHA-256 of an entry as it is now.

    Raises:
        UnknownNameError: there is none.
    """
    root, name = locate(address)
    return open_library(root).entry(name).sha256


def read_entry(address: str, sha256: str = "") -> Surrogate:
    """The surrogate of an entry; of one that has not changed the same object again.

    Raises:
        UnknownNameError: there is none.
        SavedFileError: its file is missing, cut short or altered, or has another SHA-256 than the one asked for.
    """
    now = find_digest(address)
    if sha256 and sha256 != now:
        raise SavedFileError(
            f"{address} with the SHA-256 {now[:12]}...",
            expected=f"the entry of {sha256[:12]}..., which this was fitted with",
            fix="the library as it was then, or fit again",
        )
    return _read(*locate(address), now)


@lru_cache(maxsize=KEPT)
def _read(root: str, name: str, _: str) -> Surrogate:
    """The content under that SHA-256, which is checked."""
    surrogate = unpack(open_library(root).content(name), compare=False)
    surrogate.model.requires_grad_(False)
    return surrogate
