"""Writes what the docs say of benchmarks/results: python benchmarks/make_page.py

docs/benchmarks.md is written anew; docs/which-stack.md and docs/comparison.md keep their words, and get their tables.
"""

from __future__ import annotations

from pages import benchmarks, comparison, which_stack
from pages.filling import fill
from pages.measured import DOCS, results

FILLED = {"which-stack.md": which_stack.BLOCKS, "comparison.md": comparison.BLOCKS}


def pages() -> dict[str, str]:
    """The text of each page, by its name in docs/, as the results have it."""
    made = {name: fill((DOCS / name).read_text(encoding="utf-8"), blocks) for name, blocks in FILLED.items()}
    return {"benchmarks.md": benchmarks.page(results())} | made


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
