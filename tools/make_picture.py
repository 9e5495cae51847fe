"""Draw docs/picture.png: what computed band gaps do for 104 measured ones, from the embedded table.

    python tools/make_picture.py

Every point is predicted by a model that had not seen its compound. Takes a minute or two.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

import mfmat as mf
from mfmat.reports import figures

PATH = Path(__file__).parents[1] / "docs" / "picture.png"
ALONE = "#8a5a9e"
STYLE = {"font.size": 11, "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left"}


def main() -> None:
    """Cross-validate the target alone and the default recipe, and draw both."""
    table, schema = mf.datasets.load("semiconductor-gaps")
    alone = mf.cross_validate(table, schema, mf.Conformal(mf.TargetOnly(mf.GP())))
    draw(alone, mf.cross_validate(table, schema), schema.unit)


def draw(alone: pd.DataFrame, fused: pd.DataFrame, unit: str, path: Path = PATH) -> None:
    """The three panels, as a file."""
    mpl.use("agg")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        figure.get_layout_engine().set(wspace=0.08, w_pad=0.1)
        left, middle, right = figure.subplots(1, 3)
        figures.parity(alone, left, unit=unit, colour=ALONE).set_title("experiments alone")
        figures.parity(fused, middle, unit=unit).set_title("with computed gaps too")
        limits = [min(left.get_xlim()[0], middle.get_xlim()[0]), max(left.get_xlim()[1], middle.get_xlim()[1])]
        for ax in (left, middle):
            ax.set(xlim=limits, ylim=limits, xticks=range(0, 13, 2), yticks=range(0, 13, 2))
        figures.calibration(alone, right, label="experiments alone", colour=ALONE)
        figures.calibration(fused, right, label="with computed gaps too", chance=False)
        right.set_title("how often intervals hold")
        right.legend(frameon=False, loc="upper left", fontsize="small")
        figure.savefig(path, dpi=200)


if __name__ == "__main__":
    main()
