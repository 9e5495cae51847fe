"""Error against rows, level by level of a pretrained hierarchy: the tables, and the picture of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from expert_table.cost import STYLE
from expert_table.run import Row, read
from expert_table.summary import mean, over_folds, pooled, reason
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from record import record

from transfer_table import contents
from transfer_table.cell import Cell

TASKS = {
    "mp_poisson_ratio": "Poisson ratio",
    "mp_eps_electronic": "electronic dielectric constant, log",
    "expt_eform": "formation energy, eV/atom",
}
"""What is predicted, by the task's short name."""
PICTURE = Path(__file__).parents[2] / "docs" / "levels.png"
LINES = {
    contents.FRACTIONS: {"color": "#d1495b", "lw": 2.4, "ls": "--"},
    **{name: {"color": mpl.colormaps["viridis"](0.9 - 0.2 * i), "lw": 1.8} for i, name in enumerate(contents.ATOMS)},
    "V0 to V4": {"color": "#222222", "lw": 2.4},
    "crystal": {"color": "#e8963a", "lw": 1.8},
    "GP of all levels": {"color": "#888888", "lw": 1.8, "ls": ":"},
}
"""Who is drawn, and how; the table has all."""
SAYS = (
    "Mean absolute error (of the median) by rows to learn from, mean and standard deviation over the authors' splits "
    "that are finished; coverage of 90% intervals, over all test rows of all sizes. V0 (the elements' embedding) to V4 "
    "are CHGNet's levels of atoms, the mean atom of each element taken as a set by AtomSet; `{fractions}` is the same "
    "network over element fractions, where nothing is pretrained: embeddings that it learns itself, beside a table of "
    "element properties. `crystal` is a network with the same Bayesian last layer on CHGNet's readout, `{stack}` the "
    "level that makes the validation rows "
    "likeliest. Smaller training parts are within larger ones, their validation parts smaller in proportion. Settings "
    "({settings}) were chosen by cross-validation in the training part of Poisson ratio's first split. Threads: "
    "{threads}."
)


def write(path: Path) -> None:
    """Sum up a file of cells as results/levels.json, and draw docs/levels.png."""
    rows = current(path)
    tables = {task: table([row for row in rows if row["data"] == task]) for task in TASKS}
    tables = {task: lines for task, lines in tables.items() if lines}
    if not tables:
        print(f"{path.name} holds nothing yet")
        return
    threads = ", ".join(sorted({str(row["threads"]) for row in rows}))
    settings = ", ".join(f"{name}={value}" for name, value in contents.SETTINGS.items())
    says = SAYS.format(fractions=contents.FRACTIONS, stack=contents.STACK, settings=settings, threads=threads)
    told = {"packages": ("chgnet",), "picture": PICTURE.name, "command": "python benchmarks/levels.py"}
    record("levels", tables, says, **told)
    draw([row for row in rows if row["status"] == "finished"])


def current(path: Path) -> list[Row]:
    """The latest measurements of learners as they are today."""
    names = (*contents.LEVELS, contents.OWN)
    known = [row for row in read(path).values() if row["learner"] in names and row["data"] in TASKS]
    fields = ("data", "learner", "fold", "grouped", "rows")
    return [row for row in known if Cell(**{name: row[name] for name in fields}).key == row["key"]]


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line for each learner, one column for each size."""
    lines, at = [], sizes(rows)
    for name in (*contents.LEVELS, contents.OWN):
        own = [row for row in rows if row["learner"] == name]
        finished = [row for row in own if row["status"] == "finished"]
        line: dict[str, Any] = {"level": name}
        for rows_learned in at:
            here = [row for row in finished if row["rows"] == rows_learned]
            line[f"{rows_learned or 'all'} rows"] = over_folds(here, "mae") if here else None
        if finished:
            line |= {"coverage": pooled(finished), "fit_s": mean(finished, "fit_s")}
            line["splits"] = len({row["fold"] for row in finished})
        failed = sorted({reason(row) for row in own if row["status"] != "finished"})
        if own:
            lines.append(line | ({"note": "; ".join(failed)} if failed else {}))
    return lines


def sizes(rows: Sequence[Row]) -> list[int | None]:
    """Those that were measured; None, all rows, last."""
    return sorted({row["rows"] for row in rows}, key=lambda n: n or np.inf)


def draw(rows: Sequence[Row], path: Path = PICTURE) -> None:
    """A panel for each task, a line for each level."""
    mpl.use("agg")
    tasks = [task for task in TASKS if any(row["data"] == task for row in rows)]
    lines = {name: style for name, style in LINES.items() if any(row["learner"] == name for row in rows)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.6 * len(tasks) + 2.2, 4.2), layout="constrained")
        panels = figure.subplots(1, len(tasks), squeeze=False)[0]
        for ax, task in zip(panels, tasks, strict=True):
            panel(ax, [row for row in rows if row["data"] == task], lines, TASKS[task])
        panels[0].set_ylabel("mean absolute error")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False)
        figure.savefig(path, dpi=200)


def panel(ax: Axes, rows: Sequence[Row], lines: Mapping[str, dict[str, Any]], title: str) -> None:
    """The errors of one task."""
    largest = max((row["rows_learned"] for row in rows if row["rows"] is None), default=0)
    for name, style in lines.items():
        own = [row for row in rows if row["learner"] == name]
        errors = {n or largest: mean([row for row in own if row["rows"] == n], "mae") for n in sizes(own)}
        ax.plot(errors.keys(), errors.values(), "o", ms=4, label=name, **({"ls": "-"} | style))
    ticks = [n or largest for n in sizes(rows)]
    ax.set(xscale="log", xlabel="rows", title=title)
    ax.set_xticks(ticks, [f"{n:,}".replace(",", " ") for n in ticks])
    ax.tick_params(which="minor", length=0, labelbottom=False)
    ax.grid(color="#dddddd", lw=0.8)
    ax.spines[["top", "right"]].set_visible(False)
