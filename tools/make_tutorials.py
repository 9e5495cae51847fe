"""Run the tutorials and write them with all they print and draw into docs/tutorials/.

    python tools/make_tutorials.py            # all of them; some minutes each
    python tools/make_tutorials.py 01 07      # those whose names begin so

A tutorial is a Python file of cells, the percent format that VS Code, PyCharm, Spyder and Jupyter read: `# %%` begins
code, `# %% [markdown]` text. As in a notebook, the value of a cell's last line is shown. Needs MFMAT_DATA for some.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCE, PAGES = ROOT / "tutorials", ROOT / "docs" / "tutorials"
TEXT = "# %% [markdown]"
SHOWN = "<!-- shown -->\n{}\n<!-- end -->\n"
MARKED = re.compile(r"\n<!-- shown -->\n.*?\n<!-- end -->\n", re.DOTALL)


def cells(path: Path) -> list[tuple[str, str]]:
    """Kind (`"text"` or `"code"`) and content of every cell."""
    found = []
    for part in re.split(r"^(?=# %%)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        text = head == TEXT
        found.append(("text", re.sub(r"^# ?", "", body, flags=re.MULTILINE)) if text else ("code", body))
    return [(kind, body.strip("\n")) for kind, body in found]


def page(path: Path, outputs: Iterator[str]) -> str:
    """The page of a tutorial; each code cell is followed by what comes next from `outputs`."""
    parts = []
    for kind, body in cells(path):
        parts.append(body + "\n" if kind == "text" else f"```python\n{body}\n```\n")
        shown = next(outputs) if kind == "code" else ""
        parts += [SHOWN.format(shown)] if shown else []
    foot = f"*These cells are `tutorials/{path.name}`; `python tools/make_tutorials.py {path.stem}` makes this page.*\n"
    return "\n".join([*parts, foot])


def bare(text: str) -> str:
    """A page without what its cells showed."""
    return MARKED.sub("", text)


def run(path: Path) -> Iterator[str]:
    """What each code cell shows, as Markdown; figures become files beside the page."""
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
    drawn = 0
    for kind, body in cells(path):
        if kind == "text":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = execute(body, names, path)
        said = printed.getvalue().rstrip()
        parts = [f"```text\n{said}\n```"] if said else []
        parts += [shown] if (shown := show(value)) else []
        for number in plt.get_fignums():
            drawn += 1
            file = PAGES / f"{path.stem}-{drawn}.png"
            figure = plt.figure(number)
            save(figure, file)
            plt.close(figure)
            parts.append(f"![{label(figure)}]({file.name})")
        yield "\n\n".join(parts)


def execute(body: str, names: dict[str, Any], path: Path) -> object:
    """Run a cell; the value of its last line where that is an expression."""
    tree = ast.parse(body)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, path.name, "exec"), names)
    return eval(compile(ast.Expression(last.value), path.name, "eval"), names) if isinstance(last, ast.Expr) else None


def show(value: object) -> str:
    """A table as a table, a plot as nothing (its figure is shown), all else as text."""
    if isinstance(value, pd.DataFrame):
        return table(value)
    plot = any(
        "matplotlib" in type(each).__module__ for each in (value if isinstance(value, list | tuple) else [value])
    )
    return "" if value is None or plot else f"```text\n{value}\n```"


def table(frame: pd.DataFrame) -> str:
    """A Markdown table, numbers as pandas prints them; an index of row numbers is left out."""
    numbered = frame.index.name is None and pd.api.types.is_integer_dtype(frame.index)
    named = frame if numbered else frame.reset_index(names=frame.index.name or "")
    with pd.option_context("display.max_colwidth", None):
        columns = {str(name): named[name].to_string(index=False, header=False).split("\n") for name in named.columns}
    numbers = [pd.api.types.is_numeric_dtype(kind) for kind in named.dtypes]
    rows = [list(columns), ["--:" if right else "---" for right in numbers]]
    rows += [[cell.strip().replace("|", "\\|") for cell in row] for row in zip(*columns.values(), strict=True)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def save(figure: Any, file: Path) -> None:
    """A PNG of few colours, a third as large as one of all."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=150, bbox_inches="tight")
    Image.open(drawn).convert("RGB").quantize(128).save(file, optimize=True)


def label(figure: Any) -> str:
    """The alternative text: the titles and axes of a figure."""
    words = [f"{ax.get_title()} {ax.get_ylabel()} against {ax.get_xlabel()}".strip() for ax in figure.axes]
    return "; ".join(words).replace("\n", " ")


def main(wanted: list[str]) -> None:
    """Make the pages of the tutorials whose names begin with one of `wanted`; of all, if there is none."""
    mpl.use("agg")
    os.environ.pop("MFMAT_SMOKE", None)
    PAGES.mkdir(exist_ok=True)
    for path in sorted(SOURCE.glob("*.py")):
        if not path.name.startswith(tuple(wanted or [""])):
            continue
        start = time.perf_counter()
        for old in PAGES.glob(f"{path.stem}-?.png"):
            old.unlink()
        # What a tutorial writes (a database, a library) goes with the folder.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            (PAGES / f"{path.stem}.md").write_text(page(path, run(path)), encoding="utf-8")
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
