"""What is installed holds everything that is needed at run time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = {".csv", ".jinja", ".css", ".js", ".json"}


def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins() -> dict[str, str]:
    """Each pinned package and its version."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def canonical(requirement: str) -> str:
    """The name in a requirement, as the index writes it."""
    return re.split(r"[\[;<>=!~ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_every_requirement_is_pinned() -> None:
    project = settings()["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    known = {canonical(name) for name in pins()}
    assert {canonical(name) for name in asked} - known - {"mfmat"} == set()


def test_pins_are_versions_that_any_index_knows() -> None:
    assert [name for name, version in pins().items() if "+" in version or not version[0].isdigit()] == []
    assert pins()["torch"] == "2.13.0"


def test_the_embedded_files_are_in_the_package() -> None:
    for name in (
        "features/elements.csv",
        "features/element_properties.csv",
        "features/xenonpy_elements.csv",
        "datasets/semiconductor_gaps.csv",
    ):
        assert resources.files("mfmat").joinpath(name).is_file()


@pytest.mark.promise
def test_the_wheel_holds_every_file(tmp_path: Path) -> None:
    # Built from a copy, so that nothing is written into the working tree.
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "mfmat", copy / "mfmat", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (copy / "mfmat").rglob("*") if path.suffix in {".py", ".typed", *DATA}]
    wanted = {path.relative_to(copy).as_posix() for path in files}
    assert wanted - inside == set()
    assert any(name.endswith("licenses/LICENSE") for name in inside)
