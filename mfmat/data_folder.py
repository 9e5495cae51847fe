"""The folder of public data that MFMAT_DATA names; every file read is checked first."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mfmat.errors import DownloadError

VARIABLE = "MFMAT_DATA"
SUMS = "SHA256SUMS"


def is_set() -> bool:
    """Whether a folder is named at all."""
    return bool(os.environ.get(VARIABLE))


def read_bytes(path: str) -> bytes:
    """The file at `path` of the folder.

    Raises:
        DownloadError: no folder is named; a file is missing, altered, or not on the folder's list.
    """
    root = _root()
    expected = _sums(root).get(path)
    if expected is None:
        raise DownloadError(
            f"{SUMS} in {root} without {path}",
            expected="a list with the SHA-256 of every file that is read",
            fix=f"check that {VARIABLE} names the whole folder, of the version this mfmat knows",
        )
    content = _bytes(root / path)
    if (found := hashlib.sha256(content).hexdigest()) != expected:
        raise DownloadError(
            f"{root / path} with SHA-256 {found}",
            expected=f"{expected}, as {SUMS} says",
            fix="the file was altered or cut short: copy it again",
        )
    return content


def _root() -> Path:
    if not is_set():
        raise DownloadError(
            f"no environment variable {VARIABLE}",
            expected="the folder that holds the public tables",
            fix=f"export {VARIABLE}=/path/to/folder (it holds {SUMS}), then load again",
        )
    return Path(os.environ[VARIABLE]).expanduser()


def _sums(root: Path) -> dict[str, str]:
    lines = _bytes(root / SUMS).decode().splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    # sha256sum marks files read as binary with an asterisk.
    return {path.removeprefix("*").removeprefix("./"): digest for digest, path in pairs}


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DownloadError(
            f"{file}: {error.strerror}",
            expected=f"a file of the folder that {VARIABLE} names",
            fix=f"check {VARIABLE}, or copy the file again",
        ) from error
