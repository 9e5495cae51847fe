"""What the cells say together: our errors beside published ones, each task's table, and the weights of the sources."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from expert_table.run import Row, read
from expert_table.summary import SCORES, mean, over_folds, pooled, reason
from record import RESULTS, record
from scipy.stats import binom

from transfer_table import contents, importance
from transfer_table.cell import Cell
from transfer_table.tasks import PUBLISHED

WIDER = 0.01
"""Beyond the 99% binomial band on either side."""
BESIDE = (
    contents.OWN,
    contents.PAIR,
    contents.GATE,
    contents.STACK,
    contents.PLAIN,
    "mixture",
    "GP, value or logarithm",
    contents.DEFAULT,
)
SAYS = (
    "Mean and standard deviation over the authors' splits that are finished (of five; grouped: no reduced formula on "
    "two sides). MAE is that of the median, coverage and width are of 90% intervals. Pooled coverage is over all test "
    "rows of the splits, and holds where it lies in the band that 99% of right models would (binomial), widened by "
    "0.01; parts of different splits overlap, so the band is narrower than it should be. Recipes learn from the "
    "training part alone, but `Auto` from the validation part, too, as it chooses by folds of its own; networks end "
    "at the epoch that is best on the validation part, a pair is chosen there, and networks are as uncertain as they "
    "were wrong there. Seconds are those to learn, crystals' features (`encode s`, next to nothing once they are "
    "remembered) apart. Published: MAE of an independent replication of a single-task CGCNN and of the mixture of 18, "
    "and of MoMa. Leak: share of rows whose formula is in a table of an akin source, see Transfer leak. Weights of "
    "the sources are shares of a process's prior variance (or those of the gate), ± their spread over splits and, of "
    "a process, the posterior standard deviation within one; rank correlation is the mean between two splits, and of "
    "the means with the gate's. Threads: {threads}; with one, the machine did other work, too, and seconds are upper "
    "bounds."
)


def write(path: Path) -> None:
    """Sum up a file of cells as results/transfer.json."""
    rows = current(path)
    if not rows:
        print(f"{path.name} holds nothing yet")
        return
    tables: dict[str, list[dict[str, Any]]] = {"Beside published errors": []}
    for task in PUBLISHED:
        own = [row for row in rows if row["data"] == task]
        for grouped in (False, True):
            part = [row for row in own if row["grouped"] == grouped]
            if part:
                tables[f"{task}, grouped" if grouped else task] = table(part)
        if published := [row for row in own if not row["grouped"] and row["status"] == "finished"]:
            tables["Beside published errors"].append(beside(task, published))
    if weights := weighed(rows):
        tables["Weights of the sources"] = weights
    threads = ", ".join(sorted({str(row["threads"]) for row in rows}))
    packages = ("chgnet", "scikit-learn")
    record("transfer", tables, SAYS.format(threads=threads), packages=packages, command="python benchmarks/transfer.py")


def current(path: Path) -> list[Row]:
    """The latest measurements of learners as they are today."""
    known = [row for row in read(path).values() if row["learner"] in contents.names() and row["data"] in PUBLISHED]
    fields = ("data", "learner", "fold", "grouped")
    return [row for row in known if Cell(**{name: row[name] for name in fields}).key == row["key"]]


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line for each learner."""
    lines = []
    for name in contents.LEARNERS:
        own = [row for row in rows if row["learner"] == name]
        finished = [row for row in own if row["status"] == "finished"]
        line: dict[str, Any] = {"learner": name, "splits": len(finished)}
        if finished:
            line |= {what: over_folds(finished, what) for what in SCORES} | covered(finished)
            line |= {what: mean(finished, what) for what in ("fit_s", "encode_s", "peak_MB")}
        failed = sorted({reason(row) for row in own if row["status"] != "finished"})
        if own:
            lines.append(line | ({"note": "; ".join(failed)} if failed else {}))
    return lines


def covered(rows: Sequence[Row]) -> dict[str, Any]:
    """Coverage over all test rows together, and whether it lies in the band."""
    share, count = pooled(rows), sum(row["rows_test"] for row in rows)
    low, high = (float(end) / count for end in binom.interval(0.99, count, 0.9))
    return {"pooled_coverage": share, "holds": bool(low - WIDER <= share <= high + WIDER)}


def beside(task: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Errors of a task beside the published ones, and what the default is worth."""
    alone, gate, best = PUBLISHED[task] or (None, None, None)
    by_name = {name: [row for row in rows if row["learner"] == name] for name in BESIDE}
    errors = {name: mean(own, "mae") if own else None for name, own in by_name.items()}
    line: dict[str, Any] = {"task": task, "published_CGCNN": alone, "published_mixture": gate, "best_published": best}
    line |= errors
    default, error = by_name[contents.DEFAULT], errors[contents.DEFAULT]
    if default and error is not None:
        if gate is not None and best is not None:
            line |= {"below_mixture": error < gate, "below_best": error < best}
        line |= {"splits": len(default)} | covered(default) | {"longest_fit_s": max(row["fit_s"] for row in default)}
    return line | {"leak": leaks().get(task)}


def leaks() -> dict[str, float]:
    """By task, what was measured with --leak."""
    path = RESULTS / "transfer_leak.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else []
    return {row["task"]: row["akin"] for row in rows}


def weighed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The weights of the sources, of every learner over all of them that tells its weights."""
    told = [row for row in rows if not row["grouped"] and np.any(importance.per_source(row.get("weights", {})))]
    series = dict.fromkeys((row["data"], row["learner"]) for row in told)

    def cells(task: str, name: str) -> list[Row]:
        return [row for row in told if (row["data"], row["learner"]) == (task, name)]

    return [
        importance.line(task, name, cells(task, name), cells(task, contents.GATE) if name != contents.GATE else [])
        for task, name in sorted(series, key=lambda each: (list(PUBLISHED).index(each[0]), each[1]))
    ]
