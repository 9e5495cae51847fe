"""Write into pages of docs what their code prints today: `python tools/retell_pages.py docs/quickstart.md README.md`.

Without names, all pages. Blocks that still say what is printed, `...` and all, stay as they are; read the difference
before you commit it: the text around may speak of the old numbers.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.house.test_docs_code import BLOCK, PAGES, matches, run, told  # noqa: E402


def retell(page: str) -> int:
    """Run the page, write what it prints, and say how many blocks had said something else."""
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        done = run(page, Path(folder))
    if done.returncode:
        raise SystemExit(f"{page}: {done.stderr}")
    changed, found = 0, list(BLOCK.finditer(text))
    for each, new in reversed(list(zip(found, told(done.stdout, len(found)), strict=True))):
        if each[2] and not matches(each[2], new):
            text = text[: each.start(2)] + re.sub(r" +$", "", new, flags=re.MULTILINE) + text[each.end(2) :]
            changed += 1
    path.write_text(text, encoding="utf-8")
    return changed


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        print(f"{name}: {retell(name)} blocks", flush=True)
