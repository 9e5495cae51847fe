"""What the cells say together: one table for each data set, and whether the best expert beats every peer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import record

from expert_table import contents, fusions
from expert_table.curve import learning
from expert_table.run import Row, current

BAND = (0.87, 0.93)
"""Where the coverage of 90% intervals, over all folds together, is to lie."""
SCORES = ("mae", "rmse", "nll", "crps", "coverage", "width")
SAYS = (
    "The best expert has lower MAE and NLL than every peer on {won} of {of} tables. Mean and standard deviation over "
    "the folds of a grouped 5-fold (no reduced formula on both sides; steels-matbench: the published folds). MAE is "
    "that of the median, RMSE of the mean; coverage and width are those of 90% intervals. Costs are means: seconds to "
    "fit include the first prediction and leave encoding out; rows per second give median, mean, deviation and "
    "interval, from features or, encoded, from formulas; peak memory is that of the whole process. Threads: {threads}; "
    "at most {limits} s a cell. Peers take the same columns: Median is a Gaussian around the training values' median, "
    "RandomForest has the variance a + b s² of out-of-bag errors, s² that of its trees, ModnetStyle likewise, s² that "
    "of its networks. Cells with one thread were measured while the machine did other work, too: their seconds are "
    "upper bounds."
)
FUSION = (
    "Mean and standard deviation over the folds of a grouped 5-fold over the target's rows (no reduced formula of the "
    "target on both sides; all rows of other sources are there). MAE is that of the median, coverage and width are of "
    "90% intervals; where one row in twenty has the smallest value exactly, rows above it and at it are also scored "
    "apart. A learning curve says how many rows of the target alone have the MAE of the default with all cheap rows. "
    "Threads: {threads}; with one, the machine did other work, too, and seconds are upper bounds."
)
COSTS = ("fit_s", "rows_per_s", "rows_per_s_encoded", "peak_MB")


def write(path: Path) -> None:
    """Sum up a file of cells as results/experts.json."""
    rows = current(path)
    if not rows:
        print(f"{path.name} holds nothing yet")
        return
    tables = {data: table([row for row in rows if row["data"] == data]) for data in contents.DATA}
    tables = {data: lines for data, lines in tables.items() if lines}
    verdicts = [verdict(data, [row for row in rows if row["data"] == data]) for data in tables]
    won = sum(bool(each["beats_every_peer"]) for each in verdicts)
    limits, threads = (
        ", ".join(f"{n:g}" for n in sorted({row[what] for row in rows})) for what in ("limit_s", "threads")
    )
    says = SAYS.format(won=won, of=len(verdicts), threads=threads, limits=limits)
    record(
        "experts",
        {"Best experts and best peers": verdicts, **tables},
        says=says,
        packages=("scikit-learn",),
        command="python benchmarks/experts.py",
    )


def write_fusion(path: Path) -> None:
    """Sum up a file of cells as results/fusion.json, one table for each data set and each number of training rows."""
    rows = current(path)
    if not rows:
        print(f"{path.name} holds nothing yet")
        return
    tables: dict[str, list[dict[str, Any]]] = {}
    for data in fusions.DATA:
        own = [row for row in rows if row["data"] == data]
        for size in sorted({(row["rows"] or 0, row["cheap"] or 0) for row in own}):
            name = (
                data
                if size == (0, 0)
                else f"{data}, {size[0] or 'all'} rows of the target and {size[1] or 'all'} cheap ones"
            )
            part = [row for row in own if (row["rows"] or 0, row["cheap"] or 0) == size]
            tables[name] = [fused(each, part) for each in table(part)]
        if len(lines := learning(own)) > 1:
            tables[f"{data}, the learning curve"] = lines
    threads = ", ".join(sorted({str(row["threads"]) for row in rows}))
    record("fusion", tables, says=FUSION.format(threads=threads), command="; ".join(commands(rows)))


def commands(rows: Sequence[Row]) -> list[str]:
    """What has to be typed for these cells, a line for each number of training rows."""
    data: dict[tuple[int, int], set[str]] = {}
    for row in rows:
        data.setdefault((row["rows"] or 0, row["cheap"] or 0), set()).add(row["data"])
    lines = []
    for (trusted, cheap), names in sorted(data.items()):
        size = (f" --rows {trusted}" if trusted else "") + (f" --cheap {cheap}" if cheap else "")
        lines.append(f"python benchmarks/fusion.py --data {' '.join(sorted(names))}{size}")
    return lines


def fused(line: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """A line of the table, with the scores of rows above the floor and the coverage at it, where there is one."""
    own = [row for row in rows if row["name"] == line["learner"] and "mae_above" in row]
    if not own:
        return line
    return line | {what: over_folds(own, what) for what in ("mae_above", "coverage_above", "coverage_at_floor")}


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line for each learner: scores and costs over folds, or why there are none."""
    lines = []
    for name in ordered(rows):
        own = [row for row in rows if row["name"] == name]
        finished = [row for row in own if row["status"] == "finished"]
        line: dict[str, Any] = {"learner": name, "folds": len(finished)}
        if finished:
            line |= {what: over_folds(finished, what) for what in SCORES}
            line |= {what: mean(finished, what) for what in COSTS if finished[0][what] is not None}
        failed = sorted({reason(row) for row in own if row["status"] != "finished"})
        lines.append(line | ({"note": "; ".join(failed)} if failed else {}))
    return lines


def ordered(rows: Sequence[Row]) -> list[str]:
    """The learners that were asked, mfmat's first."""
    known = [*contents.EXPERTS, contents.MIXTURE, *contents.PEERS, *fusions.NAMES]
    return sorted({row["name"] for row in rows}, key=lambda name: (known.index(_asked(name)), name))


def _asked(name: str) -> str:
    """The learner's name without the device."""
    return name if name in fusions.NAMES else name.split(" ", maxsplit=1)[0]


def over_folds(rows: Sequence[Row], what: str) -> dict[str, float]:
    """Mean and standard deviation."""
    return {"mean": mean(rows, what), "spread": float(np.std([row[what] for row in rows]))}


def reason(row: Row) -> str:
    """Why a cell has no numbers."""
    return (
        f"not finished in {row['limit_s']:g} s" if row["status"] == "not finished" else f"{row['status']}: {row['why']}"
    )


def verdict(data: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The best expert of a table beside the best peers, on the folds that both sides have finished.

    Of the experts with lower MAE and NLL than every peer, or of all where none has, those whose pooled coverage is in
    the band come first, and the one with the lowest MAE is the best.
    """
    whole = complete(rows)
    peers = {name: own for name, own in whole.items() if name in contents.PEERS}
    experts = {name: own for name, own in whole.items() if name not in contents.PEERS}
    line: dict[str, Any] = {
        "data": data,
        "rows": max(row.get("rows_train", 0) + row.get("rows_test", 0) for row in rows),
    }
    if not experts or not peers:
        return line | {"best": None, "beats_every_peer": None}
    least = {what: min(mean(own, what) for own in peers.values()) for what in ("mae", "nll")}

    def rank(name: str) -> tuple[bool, bool, float]:
        own = experts[name]
        wins = all(mean(own, what) < least[what] for what in least)
        return not wins, not BAND[0] <= pooled(own) <= BAND[1], mean(own, "mae")

    best = min(experts, key=rank)
    return line | {
        "best": best,
        "mae": mean(experts[best], "mae"),
        "lowest_mae_of_peers": least["mae"],
        "nll": mean(experts[best], "nll"),
        "lowest_nll_of_peers": least["nll"],
        "beats_every_peer": not rank(best)[0],
        "pooled_coverage": pooled(experts[best]),
        "within_the_band": not rank(best)[1],
    }


def complete(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The cells of every learner that finished all the folds that some expert and some peer finished."""
    finished: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "finished":
            finished.setdefault(row["name"], []).append(row)
    sides: tuple[set[int], set[int]] = (set(), set())
    for name, own in finished.items():
        sides[name in contents.PEERS].update(row["fold"] for row in own)
    folds = sides[0] & sides[1]
    shared = {name: [row for row in own if row["fold"] in folds] for name, own in finished.items()}
    return {name: own for name, own in shared.items() if {row["fold"] for row in own} == folds}


def mean(rows: Sequence[Row], what: str) -> float:
    """Over folds."""
    return float(np.mean([row[what] for row in rows]))


def pooled(rows: Sequence[Row]) -> float:
    """Share of all held-out rows within their 90% interval."""
    return float(np.average([row["coverage"] for row in rows], weights=[row["rows_test"] for row in rows]))
