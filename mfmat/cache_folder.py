"""The folder for what can be fetched or worked out again."""

from __future__ import annotations

import os
from pathlib import Path

import pooch

VARIABLE = "MFMAT_CACHE"


def cache() -> Path:
    """The folder that the environment variable MFMAT_CACHE names, else the user's usual cache folder."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path(pooch.os_cache("mfmat"))
