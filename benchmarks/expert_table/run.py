"""Measure cells one after the other, each in its own process, and keep every finished one at once."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from record import PACKAGES, machine, versions

from expert_table import contents, fusions
from expert_table.cell import Cell

FOLDER = Path(__file__).parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
GRACE_S = 300
"""Seconds beyond its limit after which a process is stopped from outside."""
CLOSED = ("refused", "not finished")
"""What would not be otherwise on another fold."""
Row = dict[str, Any]


def read(path: Path) -> dict[str, Row]:
    """The latest measurement of every cell in a file of one JSON object a line."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {row["key"]: row for row in map(json.loads, lines)}


def done(row: Row, limit_s: float) -> bool:
    """Whether a cell need not be measured again: what failed, or had less time than it would have now, is."""
    if row["status"] == "not finished":
        return bool(row["limit_s"] >= limit_s)
    return bool(row["status"] != "failed")


def run(cells: Sequence[Cell], path: Path, *, limit_s: float, threads: int, again: bool = False) -> None:
    """Measure what the file does not hold yet; one line a cell, with the time left.

    A learner that was refused or did not finish is not asked again for the same table: the other folds, and
    more rows, would only take as long.
    """
    known = {} if again else read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = [row for row in known.values() if done(row, limit_s)]
    closed = {series(row["key"]) for row in held if row["status"] in CLOSED}
    todo = [cell for cell in cells if cell.key not in {row["key"] for row in held} and series(cell.key) not in closed]
    seconds = {(row["data"], row["name"]): row["took_s"] for row in known.values()}
    print(f"{len(cells)} cells, {len(todo)} to measure; the others are in {path.name}", flush=True)
    while todo:
        cell = todo.pop(0)
        row = one(cell, limit_s, threads)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        seconds[cell.data, cell.name] = row["took_s"]
        if row["status"] in CLOSED:
            todo = [other for other in todo if series(other.key) != series(cell.key)]
        print(f"{line(row)}; {left(todo, seconds)}", flush=True)


def series(key: str) -> tuple[str, str, str]:
    """Table, learner and its options: what the cells of several folds or sizes have in common."""
    data, name, *_, options = key.split("/")
    return data, name, options


def one(cell: Cell, limit_s: float, threads: int) -> Row:
    """What is measured of a cell, with all that is needed to judge and repeat it."""
    asked = dataclasses.asdict(cell) | {"limit_s": limit_s, "threads": threads}
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "cell.json"
        command = [sys.executable, "-m", type(cell).__module__, json.dumps(asked), str(target)]
        try:
            ended = subprocess.run(
                command,
                cwd=FOLDER,
                env=environment,
                capture_output=True,
                text=True,
                timeout=limit_s + GRACE_S,
                check=False,
            )
            code, said = ended.returncode, ended.stderr
        except subprocess.TimeoutExpired:
            code, said = None, ""
        watch = target.with_suffix(".watch")
        late = code is None or (watch.exists() and watch.stat().st_size > 0)
        result = outcome(target, late, code, said)
    return {
        "key": cell.key,
        **dataclasses.asdict(cell),
        "name": cell.name,
        **result,
        "took_s": time.perf_counter() - started,
        "limit_s": limit_s,
        "threads": threads,
        "machine": machine(),
        "versions": versions([*PACKAGES, "scikit-learn"]),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def outcome(target: Path, late: bool, code: int | None, said: str) -> Row:
    """The result that a process wrote, or why there is none."""
    if target.exists():
        result: Row = json.loads(target.read_text(encoding="utf-8"))
        return result
    if late:
        return {"status": "not finished"}
    reason = f"ended by signal {-code} (out of memory?)" if code and code < 0 else said.strip().splitlines()[-1:]
    return {"status": "failed", "why": reason if isinstance(reason, str) else "".join(reason)}


def current(path: Path) -> list[Row]:
    """The latest measurements with the options that learners have today; those with other options stay in the file."""
    fields = [field.name for field in dataclasses.fields(Cell)]
    known = [row for row in read(path).values() if row["learner"] in (*contents.names(), *fusions.NAMES)]
    return [row for row in known if Cell(**{name: row[name] for name in fields if name in row}).key == row["key"]]


def commit() -> str | None:
    """The commit that was measured; + where the tree had changes."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    said = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    return said.stdout.strip() or None


def line(row: Row) -> str:
    """A cell in one line."""
    head = f"{row['data']} {row['name']} fold {row['fold']}" + (f" {row['rows']} rows" if row.get("rows") else "")
    if row["status"] == "not finished":
        return f"{head}: not finished in {row['limit_s']:g} s"
    if row["status"] != "finished":
        return f"{head}: {row['status']}, {row['why']}"
    speed = f", {row['rows_per_s']:.0f} rows/s" if row["rows_per_s"] else ""
    return (
        f"{head}: MAE {row['mae']:.4g}, NLL {row['nll']:.4g}, coverage {row['coverage']:.3f}, "
        f"fit {row['fit_s']:.1f} s{speed}, {row['peak_MB'] or 0:.0f} MB"
    )


def left(cells: Sequence[Cell], seconds: dict[tuple[str, str], float]) -> str:
    """Cells and time left, from what the same learner took on the same table, else from the mean cell so far."""
    mean = sum(seconds.values()) / len(seconds)
    total = sum(seconds.get((cell.data, cell.name), mean) for cell in cells)
    return f"{len(cells)} cells, about {total / 60:.0f} min left" if cells else "done"
