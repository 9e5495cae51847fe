"""Packages of optional extras, which only some work needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mfmat.errors import MfmatError


class MissingExtraError(MfmatError, ImportError):
    """A package of an optional extra that is not installed."""


def require(package: str, purpose: str, extra: str) -> Any:
    """The imported package.

    Args:
        package: as it is imported.
        purpose: what it is needed for, for the message.
        extra: the extra of mfmat that it belongs to.

    Raises:
        MissingExtraError: it is not installed.

    >>> require("a_package_that_is_not_there", "a page", "report")
    Traceback (most recent call last):
    mfmat.extras.MissingExtraError: got no package 'a_package_that_is_not_there'; expected it for a page; ...
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"no package {package.partition('.')[0]!r}",
            expected=f"it for {purpose}",
            fix=f'pip install "mfmat[{extra}]"',
        ) from error
