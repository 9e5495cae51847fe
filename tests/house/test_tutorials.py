"""Every tutorial runs, in its short version, and its page in the docs shows the code as it is."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorials"
TUTORIALS = sorted((ROOT / "tutorials").glob("*.py"))
LARGEST = 120_000

_spec = importlib.util.spec_from_file_location("make_tutorials", ROOT / "tools" / "make_tutorials.py")
assert _spec
assert _spec.loader
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.page
@pytest.mark.parametrize("path", TUTORIALS, ids=name_of)
def test_a_tutorial_runs(path: Path, tmp_path: Path) -> None:
    if "MFMAT_DATA" in tool.cells(path)[0][1] and not os.environ.get("MFMAT_DATA"):
        pytest.skip("the environment variable MFMAT_DATA names no folder of public tables")
    own = {"MFMAT_SMOKE": "1", "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, **own},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, "a reader would wonder"


@pytest.mark.parametrize("path", TUTORIALS, ids=name_of)
def test_the_page_shows_the_code_as_it_is(path: Path) -> None:
    page = (PAGES / f"{path.stem}.md").read_text(encoding="utf-8")
    nothing = ("" for kind, _ in tool.cells(path) if kind == "code")
    assert tool.bare(page) == tool.page(path, nothing), f"python tools/make_tutorials.py {path.stem}"


@pytest.mark.parametrize("path", TUTORIALS, ids=name_of)
def test_the_page_ends_with_a_picture_of_modest_size(path: Path) -> None:
    page = (PAGES / f"{path.stem}.md").read_text(encoding="utf-8")
    shown = re.findall(r"<!-- shown -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    linked = re.findall(r"\]\((\S+\.png)\)", page)
    assert shown[-1].endswith(f"({linked[-1]})")
    assert {file.name for file in PAGES.glob(f"{path.stem}-*.png")} == set(linked)
    assert [name for name in linked if (PAGES / name).stat().st_size > LARGEST] == []


def test_every_tutorial_is_in_the_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8") + (PAGES / "index.md").read_text(encoding="utf-8")
    assert [path.stem for path in TUTORIALS if contents.count(f"{path.stem}.md") < 2] == []
    assert {page.stem for page in PAGES.glob("*.md")} == {"index", *(path.stem for path in TUTORIALS)}


def test_what_a_cell_shows(tmp_path: Path) -> None:
    script = tmp_path / "small.py"
    script.write_text(
        "# %% [markdown]\n# # Two\n#\n# Words.\n\n# %%\nprint(1)\n2 + 2\n\n# %%\nx = 3\n", encoding="utf-8"
    )
    assert tool.cells(script) == [("text", "# Two\n\nWords."), ("code", "print(1)\n2 + 2"), ("code", "x = 3")]
    assert list(tool.run(script)) == ["```text\n1\n```\n\n```text\n4\n```", ""]
    page = tool.page(script, tool.run(script))
    assert "<!-- shown -->\n```text\n1\n```" in page
    assert tool.bare(page) == tool.page(script, iter(["", ""]))
