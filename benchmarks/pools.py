"""What it takes to choose from a large pool: 100,000 candidates in 5 sources for five recipes, 1,000,000 for one.

    python benchmarks/pools.py [--rows 100000] [--many 1000000]

Models of 300 rows in 8 columns. Each case runs in a process of its own, so that its peak memory is its own, on one
thread; the million comes from a generator of chunks of 50,000 and is never in memory at once.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from record import record

import mfmat as mf
from mfmat.pool import Pool

COLUMNS, SOURCES, KNOWN, CHUNK = 8, 5, 300, 50_000
RECIPES = {
    "Pooled(GP())": mf.Pooled(mf.GP()),
    "Difference([GP()])": mf.Difference([mf.GP()]),
    "Latent([GP()])": mf.Latent([mf.GP()]),
    "MultiTask()": mf.MultiTask(),
    "Auto()": mf.Auto(),
}


class Chunks:
    """A pool that is drawn when it is read, the same each time."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for start in range(0, self.rows, CHUNK):
            yield draw(min(CHUNK, self.rows - start), seed=start)


def draw(rows: int, *, seed: int) -> pd.DataFrame:
    """Candidates."""
    x = np.random.default_rng(seed).random((rows, COLUMNS))
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(COLUMNS)])


def fit(recipe: mf.Learner) -> mf.Surrogate:
    """A surrogate of a smooth function, noisier in the cheaper sources."""
    rng = np.random.default_rng(0)
    table = draw(KNOWN, seed=1)
    rank = np.arange(KNOWN) % SOURCES
    noise = 0.05 * (SOURCES - rank) * rng.normal(size=KNOWN)
    value = np.sin(2 * table.to_numpy() @ rng.normal(size=COLUMNS)) + noise
    table = table.assign(source=[f"s{r}" for r in rank], value=value)
    costs = {f"s{r}": 3.0**r for r in range(SOURCES)}
    return mf.fit(table, mf.Schema(mf.Columns(list(table.columns[:COLUMNS])), "value", "source", costs), recipe)


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor and of clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(recipe: str, rows: int, kind: str) -> dict[str, object]:
    """One case, in this process."""
    torch.set_num_threads(1)
    surrogate = fit(RECIPES[recipe])
    if kind == "chunks":
        parts = {"choose 1": timed(lambda: mf.suggest(surrogate, iter(Chunks(rows)), 1))}
    else:
        table = draw(rows, seed=2)
        pool = Pool.read(surrogate.schema, table)
        parts = {
            "read": timed(lambda: Pool.read(surrogate.schema, table)),
            "choose 1": timed(lambda: mf.suggest(surrogate, pool, 1)),
            "choose 8 in chunks": timed(lambda: mf.suggest(surrogate, Chunks(rows), 8)),
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = {
        f"{name}, {what} s": round(s, 2)
        for name, both in parts.items()
        for what, s in zip(("CPU", "wall"), both, strict=True)
    }
    return {"recipe": recipe, "candidates": rows, "from": kind, **seconds, "peak GB": round(peak, 2)}


def apart(*case: object) -> dict[str, object]:
    """One case, in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(found.stdout, end="", file=sys.stderr)
    row: dict[str, object] = json.loads(found.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--case", type=json.loads)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(*given.case)))
        return
    rows = [apart(recipe, given.rows, "table") for recipe in RECIPES]
    rows.append(apart("Pooled(GP())", given.many, "chunks"))
    first, last, auto = rows[0], rows[-1], rows[-2]
    record(
        "pools",
        rows,
        says=f"The best pair of {given.rows:,} candidates in {SOURCES} sources takes {first['choose 1, CPU s']} s of "
        f"one core for a Gaussian process, {auto['choose 1, CPU s']} s for what Auto chooses here; of {given.many:,} "
        f"that come in chunks {last['choose 1, CPU s']} s, reading included, in {last['peak GB']} GB.",
    )


if __name__ == "__main__":
    main()
