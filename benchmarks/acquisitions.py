"""What each acquisition costs: the first pair and eight pairs of one pool, on one thread.

python benchmarks/acquisitions.py [--rows 10000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from record import record

import mfmat as mf
from mfmat import acquisitions
from mfmat.pool import Pool

COLUMNS, KNOWN = 8, 300
QUESTIONS = (
    acquisitions.Improvement(),
    acquisitions.NoisyImprovement(),
    acquisitions.VarianceReduction(),
    acquisitions.UpperConfidence(),
    acquisitions.Thompson(),
    acquisitions.MaxValueEntropy(),
    acquisitions.KnowledgeGradient(),
    acquisitions.LevelSet(1.0),
    acquisitions.TopK(),
)


def draw(rows: int, *, seed: int) -> pd.DataFrame:
    """Candidates."""
    x = np.random.default_rng(seed).random((rows, COLUMNS))
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(COLUMNS)])


def fit() -> list[mf.Surrogate]:
    """Two values of the same measurements, in a cheap source and a target."""
    rng, table = np.random.default_rng(0), draw(KNOWN, seed=1)
    target = np.arange(KNOWN) % 5 == 0
    for name in ("first", "second"):
        value = np.sin(2 * table.to_numpy()[:, :COLUMNS] @ rng.normal(size=COLUMNS))
        table[name] = value + 0.1 * rng.normal(size=KNOWN) * ~target
    table["source"] = np.where(target, "exp", "sim")
    inputs = mf.Columns([f"x{i}" for i in range(COLUMNS)])
    schema = mf.Schema(inputs, "first", "source", {"sim": 1, "exp": 20})
    return [mf.fit(table, each, mf.Pooled(mf.GP())) for each in (schema, replace(schema, value="second"))]


def seconds(surrogates: Sequence[mf.Surrogate], pool: Pool, goal: acquisitions.Acquisition, n: int) -> float:
    """Of the processor, to choose n pairs of a pool that was read."""
    started = time.process_time()
    mf.suggest(surrogates if len(surrogates) > 1 else surrogates[0], pool, n, goal=goal)
    return round(time.process_time() - started, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    rows = parser.parse_args().rows
    torch.set_num_threads(1)
    both = fit()
    pool = Pool.read(both[0].schema, draw(rows, seed=2))
    mf.suggest(both[0], pool, 1)  # what is imported late is imported
    cases = [(both[:1], each) for each in QUESTIONS] + [(both, acquisitions.Hypervolume())]
    record(
        "acquisitions",
        [
            {
                "acquisition": type(goal).__name__,
                "candidates": rows,
                "choose 1, CPU s": seconds(surrogates, pool, goal, 1),
                "choose 8, CPU s": seconds(surrogates, pool, goal, 8),
            }
            for surrogates, goal in cases
        ],
        says=f"One process of {KNOWN} rows, {rows:,} candidates in 2 sources, read before; one thread. Hypervolume "
        "asks two surrogates, the others one.",
    )


if __name__ == "__main__":
    main()
