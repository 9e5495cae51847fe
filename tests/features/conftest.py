from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine is slow at times; a slow example is no fault.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def mfmat_data() -> Path:
    folder = os.environ.get("MFMAT_DATA")
    if not folder:
        pytest.skip("MFMAT_DATA does not name the folder of public tables")
    return Path(folder)
