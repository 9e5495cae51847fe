"""Draw the pictures of docs/figures.md by the code that stands before each of them.

    python tools/make_figures.py

The page is one program: each of its ```python blocks runs, in order, and the figure that a block leaves is the picture
that follows it. Takes two minutes or so. With names (`parity cost`), only those pictures are written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from mfmat.reports import figures

PAGE = Path(__file__).parents[1] / "docs" / "figures.md"
PART = re.compile(r"^```python\n(.*?)^```$|^!\[[^\]]*\]\((figures/[\w.-]+)\)$", re.MULTILINE | re.DOTALL)
DOTS = 160
"""An inch: twice what a screen shows of the width of print."""


def main(wanted: list[str]) -> None:
    """Run the page, and write its pictures."""
    mpl.use("agg")
    names: dict[str, object] = {}
    with figures.paper(savefig_dpi=DOTS):
        for code, picture in PART.findall(PAGE.read_text(encoding="utf-8")):
            if code:
                plt.close("all")
                exec(compile(code, str(PAGE), "exec"), names)
            elif not wanted or Path(picture).stem in wanted:
                if not plt.get_fignums():
                    raise SystemExit(f"{picture} follows code that draws nothing")
                path = PAGE.parent / picture
                path.parent.mkdir(exist_ok=True)
                plt.gcf().savefig(path)
                print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
