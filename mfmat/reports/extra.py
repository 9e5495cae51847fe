"""The optional packages that reports are made with."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mfmat.errors import MfmatError


class MissingExtraError(MfmatError, ImportError):
    """A package of an optional extra that is not installed."""


def require(package: str, purpose: str) -> Any:
    """The imported package.

    Args:
        package: as it is imported.
        purpose: what it is needed for, for the message.

    Raises:
        MissingExtraError: it is not installed.

    >>> require("a_package_that_is_not_there", "a page")
    Traceback (most recent call last):
    mfmat.reports.extra.MissingExtraError: got no package 'a_package_that_is_not_there'; expected it for a page; ...
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"no package {package.partition('.')[0]!r}",
            expected=f"it for {purpose}",
            fix='pip install "mfmat[report]"',
        ) from error
