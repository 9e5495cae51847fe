"""A surrogate as bytes: the folder that `Surrogate.save` writes, in a zip file."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from mfmat.surrogate import Surrogate, load


def pack(surrogate: Surrogate) -> bytes:
    """A surrogate as bytes that `unpack` reads."""
    with tempfile.TemporaryDirectory() as folder:
        surrogate.save(Path(folder, "model"))
        return zip_folder(Path(folder, "model"))


def unpack(content: bytes) -> Surrogate:
    """The surrogate that was packed, checked as `load` does."""
    with tempfile.TemporaryDirectory() as folder:
        unzip(content, Path(folder))
        return load(folder)


def zip_folder(folder: Path) -> bytes:
    """The files of a folder; equal files make equal bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(folder.iterdir()):
            # A fixed time, as that of the file would make every copy different.
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def unzip(content: bytes, folder: Path) -> None:
    """Write the files of `zip_folder` into a folder."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
