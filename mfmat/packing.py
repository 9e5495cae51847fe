"""A surrogate as bytes: the folder that `Surrogate.save` writes, in a zip file."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mfmat.errors import SavedFileError
from mfmat.surrogate import Surrogate, load

LEVEL = 3
"""Of compression: half the time of the usual 6, for 3% more bytes of a network."""


def pack(surrogate: Surrogate, beside: Mapping[str, bytes] | None = None) -> bytes:
    """A surrogate as bytes that `unpack` reads, with other files beside it by their names."""
    with tempfile.TemporaryDirectory() as folder:
        surrogate.save(Path(folder, "model"))
        for name, content in (beside or {}).items():
            Path(folder, "model", name).write_bytes(content)
        return zip_folder(Path(folder, "model"))


def read_packed(content: bytes, name: str) -> bytes:
    """One file of those that were packed.

    Raises:
        SavedFileError: bytes that are no such zip file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SavedFileError(
            f"{len(content)} bytes without a readable {name}",
            expected="a packed surrogate",
            fix="copy the file again: it was cut short, or is something else",
        ) from error


def unpack(content: bytes, *, compare: bool = True) -> Surrogate:
    """The surrogate that was packed, checked as `load` does."""
    with tempfile.TemporaryDirectory() as folder:
        unzip(content, Path(folder))
        return load(folder, compare=compare)


def zip_folder(folder: Path) -> bytes:
    """The files of a folder; equal files make equal bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(folder.iterdir()):
            # A fixed time, as that of the file would make every copy different.
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED, LEVEL)
    return content.getvalue()


def unzip(content: bytes, folder: Path) -> None:
    """Write the files of `zip_folder` into a folder."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
