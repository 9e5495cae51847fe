"""Every public name is there, says what it takes, and costs nothing until it is used."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mfmat


@pytest.mark.parametrize("name", mfmat.__all__)
def test_resolves(name: str) -> None:
    assert getattr(mfmat, name) is getattr(mfmat, name)
    assert name in dir(mfmat)


@pytest.mark.parametrize("name", mfmat.__all__)
def test_is_described(name: str) -> None:
    thing = getattr(mfmat, name)
    text = inspect.getdoc(thing) or ""
    assert text, "no docstring"
    if isinstance(thing, ModuleType):
        public = [getattr(thing, each) for each in getattr(thing, "__all__", vars(thing)) if not each.startswith("_")]
        functions = [each for each in public if inspect.isfunction(each) and each.__module__.startswith(thing.__name__)]
        assert functions, "a module without functions"
        assert [each.__name__ for each in functions if not inspect.getdoc(each)] == []
    else:
        assert any(mark in text for mark in (">>>", "Args:", "Attributes:")), "neither an example nor its arguments"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Scheme"):
        _ = mfmat.Scheme


def test_importing_mfmat_loads_nothing_heavy() -> None:
    heavy = ("torch", "botorch", "gpytorch", "pandas", "numpy", "matplotlib")
    code = f"import sys, mfmat; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package() -> None:
    code = "import mfmat; from importlib.metadata import version; print(version('mfmat') == mfmat.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_folder_called_mfmat_does_not_hide_the_package(tmp_path: Path) -> None:
    # The clone is such a folder for a script that lies beside it.
    (tmp_path / "mfmat").mkdir()
    path = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import mfmat; print(mfmat.Schema.__name__)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=path)
    assert (done.stdout.strip(), done.stderr) == ("Schema", "")
