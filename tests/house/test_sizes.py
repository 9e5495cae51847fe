"""One idea a file: no file over 400 lines, and no long function without a sentence on what it does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "mfmat").rglob("*.py"))
LINES = 400
UNDOCUMENTED = 40


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_file_is_too_long(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_long_functions_say_what_they_do(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f for f in functions if (f.end_lineno or f.lineno) - f.lineno >= UNDOCUMENTED]
    assert [f.name for f in long if ast.get_docstring(f) is None] == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_file_says_what_it_is(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
