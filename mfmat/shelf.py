"""Files in a folder or behind a URL: read whole, written whole or not at all, and a list that only grows."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock
from fsspec.core import url_to_fs

from mfmat.errors import SavedFileError

READ_ONLY = ("http", "https", "github", "zip", "tar")
LOCK = ".lock"
_WAIT_S = 120.0


@dataclass(frozen=True)
class Shelf:
    """A folder, or a URL of any file system that fsspec knows: HTTP(S) to read, S3 and its like to read and write.

    In a folder several processes may write at once: each change waits for its turn. Object stores have no locks: there
    one process at a time may write.

    Attributes:
        root: the folder or URL.
        options: for the file system, such as `{"anon": True}`.

    Raises:
        SavedFileError: a protocol that fsspec does not know, or whose package is not installed.
    """

    root: str
    options: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def folder(self) -> Path | None:
        """The folder; None where it is a URL."""
        if re.match(r"^[a-z][a-z0-9+.-]+://", self.root) and not self.root.startswith("file://"):
            return None
        return Path(self.root.removeprefix("file://")).expanduser()

    @property
    def writable(self) -> bool:
        """Whether files can be put there at all."""
        return self.folder is not None or not self.root.startswith(READ_ONLY)

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            SavedFileError: it is missing, or cannot be read now.
        """
        try:
            if self.folder is not None:
                return (self.folder / name).read_bytes()
            content: bytes = self._remote.cat_file(self._path(name))
            return content
        except (OSError, RuntimeError) as error:
            raise SavedFileError(
                f"{self.root} without a readable {name} ({type(error).__name__})",
                expected="a library with all its files, and a way to reach it",
                fix="check the path or URL, and whether it answers",
            ) from error

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.folder is not None:
            return (self.folder / name).is_file()
        return bool(self._remote.exists(self._path(name)))

    def names(self, folder: str) -> list[str]:
        """The files of a folder in it, as `folder/name`; none of a URL that cannot be listed."""
        if self.folder is not None:
            return sorted(f"{folder}/{file.name}" for file in (self.folder / folder).glob("*") if file.is_file())
        try:
            found = self._remote.ls(self._path(folder), detail=False)
        except (OSError, NotImplementedError):
            return []
        return sorted(f"{folder}/{PurePosixPath(path).name}" for path in found)

    def stamp(self, name: str) -> tuple[Any, ...] | None:
        """What changes whenever the file does; None where nobody can tell."""
        if self.folder is not None:
            stat = (self.folder / name).stat()
            return stat.st_mtime_ns, stat.st_size
        info = self._remote.info(self._path(name))
        mark = info.get("ETag") or info.get("etag") or info.get("LastModified") or info.get("created")
        return (str(mark), info.get("size")) if mark else None

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, in place of one of that name: whole, or not at all.

        Raises:
            SavedFileError: a place that can only be read.
        """
        self.check_writable()
        if self.folder is None:
            self._remote.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            self._remote.pipe_file(self._path(name), content)
            return
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(prefix=".", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).chmod(0o644)
        os.replace(fresh, path)

    def append(self, name: str, line: bytes) -> None:
        """Add a line to a file; what a stopped process left of one before it becomes a line of its own.

        Raises:
            SavedFileError: a place that can only be read.
        """
        self.check_writable()
        if self.folder is None:
            before = self.read(name) if self.has(name) else b""
            self.write(name, _ended(before) + line + b"\n")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / name).open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While this lasts no other process changes the folder."""
        if self.folder is None:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / LOCK, timeout=_WAIT_S):
            yield

    @cached_property
    def _remote(self) -> Any:
        try:
            return url_to_fs(self.root, **dict(self.options))[0]
        except (ImportError, ValueError) as error:
            raise SavedFileError(
                f"{self.root} ({error})",
                expected="a folder, or a URL that fsspec can read",
                fix='pip install "mfmat[remote]" for https://, s3fs for s3://',
            ) from error

    def _path(self, name: str) -> str:
        root: str = url_to_fs(self.root, **dict(self.options))[1]
        return f"{root.rstrip('/')}/{name}"

    def check_writable(self) -> None:
        """Nothing, where files can be put.

        Raises:
            SavedFileError: a place that can only be read.
        """
        if not self.writable:
            raise SavedFileError(
                f"{self.root}, which can only be read",
                expected="a folder, or a store that can be written to",
                fix="pull what you need into a folder: library.pull(query, into=...)",
            )


def _ended(content: bytes) -> bytes:
    return content if not content or content.endswith(b"\n") else content + b"\n"
