"""Public files by URL and SHA-256, fetched once into a cache."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch

from mfmat.cache_folder import cache
from mfmat.errors import DownloadError, SchemaError

SECONDS = 30


def fetch(url: str, *, sha256: str) -> Path:
    """The local copy of a public file, downloaded the first time and checked every time.

    The file is written under another name and takes its own only when its checksum is right, so
    that a failed download leaves nothing behind. The cache is the user's usual cache folder, or the
    one that the environment variable MFMAT_CACHE names.

    Args:
        url: where the file stands, http or https.
        sha256: its SHA-256, 64 hexadecimal digits.

    Raises:
        SchemaError: a URL of another kind, or a checksum that is none.
        DownloadError: no connection, a connection cut short, a refusal, or a file other than the one expected.

    >>> fetch("https://example.org/gaps.csv.gz", sha256="not a checksum")
    Traceback (most recent call last):
    mfmat.errors.SchemaError: got sha256='not a checksum'; expected 64 hexadecimal digits; try: ...
    """
    _check(url, sha256)
    # Compressed in transit it would be unpacked on arrival, and the checksum is of the file as it is stored.
    downloader = pooch.HTTPDownloader(timeout=SECONDS, headers={"Accept-Encoding": "identity"})
    try:
        with _quiet(pooch.get_logger()):
            return Path(pooch.retrieve(url, sha256.lower(), path=cache(), downloader=downloader))
    except OSError as error:
        raise DownloadError(
            f"{url}: {_reason(error)}",
            expected="the whole file",
            fix="check the address and the network, then load again; nothing was kept",
        ) from error
    except ValueError as error:
        raise DownloadError(
            f"{url}: {error}",
            expected=f"a file with SHA-256 {sha256.lower()}",
            fix="ask the publisher what changed, and give the new checksum only if you trust it; nothing was kept",
        ) from error


def _check(url: str, sha256: str) -> None:
    if not re.match(r"https?://", url):
        raise SchemaError(
            f"url={url!r}",
            expected="an address that begins with https:// or http://",
            fix="read local files with pandas",
        )
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise SchemaError(
            f"sha256={sha256!r}", expected="64 hexadecimal digits", fix="run sha256sum on a copy that you trust"
        )


def _reason(error: OSError) -> str:
    # The errors of the HTTP library quote whole connection pools; what a user can act on is shorter.
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if error.errno is not None:
        return str(error)
    kinds = {
        "ChunkedEncodingError": "the connection was cut",
        "ConnectTimeout": "no answer",
        "ReadTimeout": "no answer",
    }
    return kinds.get(type(error).__name__, "no connection") + f" ({type(error).__name__})"


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
