"""The code in the README and in the pages that a newcomer reads runs as it stands, and prints what the page says.

Every page is one program: its ```python blocks in order, in an empty folder. A ```text block right after one of them
is what it prints; `...` stands for anything, and blanks and line breaks count alike.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEARNERS = sorted(
    path.relative_to(ROOT).as_posix()
    for family in ("experts", "stacks", "gates", "features", "calibrators", "acquisitions")
    for path in (ROOT / "docs" / family).glob("*.md")
)
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/quickstart.md",
    "docs/bad-input.md",
    "docs/labels.md",
    "docs/objectives.md",
    "docs/limits.md",
    "docs/crystals.md",
    "docs/calibration.md",
    "docs/backtest.md",
    "docs/campaigns.md",
    "docs/clusters.md",
    "docs/library.md",
    "docs/auto.md",
    "docs/shotgun.md",
    "docs/pretrained.md",
    "docs/which-stack.md",
    "docs/add-your-own.md",
    "docs/coming-from.md",
    "docs/notation.md",
    "docs/faq.md",
    "docs/figures.md",
    "docs/reference/sklearn.md",
    "docs/botorch.md",
    *LEARNERS,
]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n?^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
MARK = "----- block {} -----"


def blocks(page: str) -> list[tuple[str, str | None]]:
    """The code of a page, each block with what it should print, where the page says so."""
    return [(code, out or None) for code, out in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))]


def program(page: str) -> str:
    """One script of all blocks; a line of output marks where each begins. Line numbers are those of the page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [""] * text.count("\n")
    for number, found in enumerate(BLOCK.finditer(text)):
        start = text[: found.start(1)].count("\n")
        code = found[1].splitlines()
        lines[start : start + len(code)] = code
        lines[start - 1] = f"print({MARK.format(number)!r}, flush=True)"
    return "\n".join(lines) + "\n"


def run(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The page's program, in a folder of its own."""
    script = folder / "page.py"
    script.write_text(program(page), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"}
    options = {"cwd": folder, "env": environment, "capture_output": True, "encoding": "utf-8", "timeout": 600}
    return subprocess.run([sys.executable, str(script)], check=False, **options)


def told(printed: str, count: int) -> list[str]:
    """What each block printed; workers that start by reading the script print marks of their own."""
    return [printed.split(MARK.format(n) + "\n")[1].split(MARK.format(n + 1), maxsplit=1)[0] for n in range(count)]


def matches(expected: str, printed: str) -> bool:
    """Whether a page says what its code prints."""
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


@pytest.mark.page
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    done = run(page, tmp_path)
    assert done.returncode == 0, f"{page} (the lines below are those of the page)\n{done.stdout}\n{done.stderr}"
    said = blocks(page)
    for (_, expected), printed in zip(said, told(done.stdout, len(said)), strict=True):
        if expected is not None:
            assert matches(expected, printed), f"{page} says\n{expected}\nand prints\n{printed}"


def test_pages_that_should_have_code_have_some() -> None:
    assert {page: len(blocks(page)) for page in PAGES if not blocks(page)} == {}


def test_the_first_page_shows_the_code_of_the_readme() -> None:
    assert blocks("docs/index.md") == blocks("README.md")[:1]


def test_what_is_printed_is_found() -> None:
    assert BLOCK.findall("```python\nprint(1)\n```\n\n```text\n1\n```\n") == [("print(1)\n", "1\n")]
    assert BLOCK.findall("```python\nprint(1)\n```\n\nText.\n\n```text\n1\n```\n") == [("print(1)\n", "")]
